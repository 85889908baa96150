//! Ends one session of the caller.

use super::{Call, Kit};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, Principal, SessionId},
    swap::Swap,
};

/// Ends a session of the caller's account.
pub async fn delete_session(kit: &Kit, principal: &Principal, id: SessionId, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    if tx.delete_session(principal.user, id).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    tx.record(&Event::of(EventKind::SessionEnded, principal.user, &call.origin).session(id), call.now).await?;
    tx.commit().await
}
