//! Removes an account. What the audit log has of it stays, under an id that leads nowhere.

use super::{begin_alone, is_current, may_go};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again, local_auth, send_code},
    model::{Event, EventKind, FailureKey, Method, UserId},
    store::Tx,
    swap::Swap,
};

/// Removes an account; with an etag, only if it is what it was then.
pub async fn delete_user(kit: &Kit, user: UserId, etag: &str, call: &Call) -> Result<(), Error> {
    again(|| delete_once(kit, user, etag, call)).await
}

async fn delete_once(kit: &Kit, user: UserId, etag: &str, call: &Call) -> Result<(), Error> {
    let tx = begin_alone(kit).await?;
    touch_counts(&tx, user).await?;
    let account = tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    is_current(kit, &account, etag)?;
    may_go(&tx, &account).await?;
    if tx.delete_account(user).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    let by_address = local_auth::owner(&kit.ring, &account.email)?;
    tx.forget_networks_of(&by_address).await?;
    tx.delete_buckets_of(&by_address).await?;
    tx.delete_buckets_of(&send_code::owner(&kit.ring, user)?).await?;
    tx.record(&Event::of(EventKind::UserDeleted, user, &call.origin), call.now).await?;
    tx.commit().await
}

/// Locks the counts that go, before the account: the order of every transaction.
async fn touch_counts(tx: &Tx, user: UserId) -> Result<(), Error> {
    for method in Method::ALL {
        tx.touch_failures(user, FailureKey::Method(method)).await?;
        tx.touch_failures(user, FailureKey::Enrolment(method)).await?;
    }
    Ok(())
}
