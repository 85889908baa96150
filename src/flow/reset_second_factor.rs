//! Takes every second factor away from an account whose owner has lost them, by its operator or an administrator.

use super::{Call, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, FailureKey, Method, UserId},
    store::{Store, Tx},
    swap::Swap,
};

/// Removes every factor and every backup code; answers how many factors. Every session and every open challenge of the account ends.
pub async fn reset_second_factor(store: &Store, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    again(|| reset_once(store, user, reason, call)).await
}

async fn reset_once(store: &Store, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    let tx = store.begin().await?;
    let removed = reset_in(&tx, user, reason, call).await?;
    tx.commit().await?;
    Ok(removed)
}

/// The same in a transaction that is open.
pub(super) async fn reset_in(tx: &Tx, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    for method in Method::ALL {
        tx.clear_failures(user, FailureKey::Method(method)).await?;
        tx.clear_failures(user, FailureKey::Enrolment(method)).await?;
    }
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    // Unopened: also one that is damaged goes, and one of a method that this release does not know.
    tx.delete_factors(user, Some(Method::BackupCode)).await?;
    let removed = tx.delete_factors(user, None).await?;
    if tx.raise_security_version(user).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    tx.delete_sessions(user, None).await?;
    // One that was asked for the factor, too, would be enough alone now.
    tx.delete_password_tokens(user).await?;
    tx.record(&Event::of(EventKind::SecondFactorReset, user, &call.origin).note(reason), call.now).await?;
    Ok(removed)
}
