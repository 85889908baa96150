//! Ends one session of the caller.

use super::{Call, Kit, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, Principal, SessionId},
    swap::Swap,
};

/// Ends a session of the caller's account.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn delete_session(kit: &Kit, principal: &Principal, id: SessionId, call: &Call) -> Result<(), Error> {
    again(|| delete_once(kit, principal, id, call)).await
}

async fn delete_once(kit: &Kit, principal: &Principal, id: SessionId, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    if tx.delete_session(principal.user, id).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    tx.record(&Event::of(EventKind::SessionEnded, principal.user, &call.origin).session(id), call.now).await?;
    tx.commit().await
}
