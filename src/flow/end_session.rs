//! Ends the caller's session, or all of them.

use super::{Call, Kit, again::again};
use crate::{
    challenge,
    error::Error,
    model::{Enrollee, Event, EventKind, Principal},
    swap::Swap,
};

/// Ends the session of the caller; with `all`, every session of the account.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn end_session(kit: &Kit, principal: &Principal, all: bool, call: &Call) -> Result<(), Error> {
    again(|| end_once(kit, principal, all, call)).await
}

async fn end_once(kit: &Kit, principal: &Principal, all: bool, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    let ended = if all {
        tx.delete_sessions(principal.user, None).await? > 0
    } else {
        tx.delete_session(principal.user, principal.session).await? == Swap::Done
    };
    if ended {
        let event = Event::of(EventKind::SessionEnded, principal.user, &call.origin);
        let event = if all { event } else { event.session(principal.session) };
        tx.record(&event, call.now).await?;
    }
    tx.commit().await
}

/// Ends an enrolment token.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn end_enrolment_token(kit: &Kit, enrollee: &Enrollee, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    tx.record(&Event::of(EventKind::SessionEnded, enrollee.user, &call.origin), call.now).await?;
    tx.commit().await?;
    kit.ephemeral.close(challenge::shelf(&kit.ring, enrollee.user)?, enrollee.token).await
}
