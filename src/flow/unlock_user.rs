//! Ends the waits of an account, by its operator.

use super::{Call, again::again, local_auth::owner, send_code};
use crate::{
    error::Error,
    model::{Account, Event, EventKind, FailureKey, Method},
    seal::KeyRing,
    store::{Store, Tx},
};

/// Sets back every count of wrong codes, wrong passwords and text messages of an account.
pub async fn unlock_user(
    store: &Store,
    ring: &KeyRing,
    account: &Account,
    reason: &str,
    call: &Call,
) -> Result<(), Error> {
    again(|| unlock_once(store, ring, account, reason, call)).await
}

async fn unlock_once(store: &Store, ring: &KeyRing, account: &Account, reason: &str, call: &Call) -> Result<(), Error> {
    let tx = store.begin().await?;
    unlock_in(&tx, ring, account, reason, call).await?;
    tx.commit().await
}

/// The same in a transaction that is open.
pub(super) async fn unlock_in(
    tx: &Tx,
    ring: &KeyRing,
    account: &Account,
    reason: &str,
    call: &Call,
) -> Result<(), Error> {
    for method in Method::ALL {
        tx.clear_failures(account.id, FailureKey::Method(method)).await?;
        tx.clear_failures(account.id, FailureKey::Enrolment(method)).await?;
    }
    tx.clear_buckets_of(&owner(ring, &account.email)?).await?;
    tx.clear_buckets_of(&send_code::owner(ring, account.id)?).await?;
    tx.record(&Event::of(EventKind::UserUnlocked, account.id, &call.origin).note(reason), call.now).await
}
