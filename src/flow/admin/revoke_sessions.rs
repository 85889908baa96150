//! Ends every session of an account, and what would become one.

use super::begin;
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again},
    model::{Event, EventKind, Principal, UserId},
    swap::Swap,
};

/// Ends every session of an account, and every open challenge and enrolment; answers how many sessions.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn revoke_sessions(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    reason: &str,
    call: &Call,
) -> Result<u64, Error> {
    again(|| revoke_once(kit, admin, user, reason, call)).await
}

async fn revoke_once(kit: &Kit, admin: &Principal, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    let tx = begin(kit, admin, call).await?;
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    if tx.raise_security_version(user).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    let ended = tx.delete_sessions(user, None).await?;
    let count = i64::try_from(ended).ok();
    let event = Event { count, ..Event::of(EventKind::SessionEnded, user, &call.origin).note(reason) };
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(ended)
}
