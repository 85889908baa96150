//! Takes every second factor away from an account whose owner has lost them, by its operator or an administrator.

use super::{Call, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, FailureKey, Method, UserId},
    store::Store,
    swap::Swap,
};

/// Removes every factor and every backup code. Every session and every open challenge of the account ends.
pub async fn reset_second_factor(store: &Store, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    again(|| reset_once(store, user, reason, call)).await
}

async fn reset_once(store: &Store, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    let tx = store.begin().await?;
    for method in Method::ALL {
        tx.clear_failures(user, FailureKey::Method(method)).await?;
        tx.clear_failures(user, FailureKey::Enrolment(method)).await?;
    }
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    let removed = tx.delete_factors(user, None).await?;
    if tx.raise_security_version(user).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    tx.delete_sessions(user, None).await?;
    tx.record(&Event::of(EventKind::SecondFactorReset, user, &call.origin).note(reason), call.now).await?;
    tx.commit().await?;
    Ok(removed)
}
