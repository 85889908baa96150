//! Ends every session of an account.

use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again},
    model::{Event, EventKind, UserId},
};

/// Ends every session of an account; answers how many.
pub async fn revoke_sessions(kit: &Kit, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    again(|| revoke_once(kit, user, reason, call)).await
}

async fn revoke_once(kit: &Kit, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    let tx = kit.store.begin().await?;
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    let ended = tx.delete_sessions(user, None).await?;
    let count = i64::try_from(ended).ok();
    let event = Event { count, ..Event::of(EventKind::SessionEnded, user, &call.origin).note(reason) };
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(ended)
}
