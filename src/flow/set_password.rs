//! Sets the password of an account, by its operator.

use anyhow::anyhow;

use super::Call;
use crate::{
    error::{Error, Refusal},
    factor::password::Password,
    hash::Hasher,
    model::{Email, Event, EventKind},
    secret::Secret,
    store::Store,
    swap::Swap,
};

/// Sets a password. Every session and every open challenge of the account ends.
pub async fn set_password(
    store: &Store,
    hasher: &Hasher,
    email: &str,
    password: &Secret<String>,
    call: &Call,
) -> Result<(), Error> {
    let email = Email::parse(email).map_err(|problem| Refusal::field("email", problem))?;
    let account = store.find_account_by_email(&email).await?.ok_or_else(no_account)?;
    let hash = Password::parse_new(password)?.hash(hasher).await?;
    let tx = store.begin().await?;
    if tx.save_password_hash(account.id, &hash).await? == Swap::Stale {
        return Err(no_account().into());
    }
    tx.delete_sessions(account.id, None).await?;
    tx.record(&Event::of(EventKind::PasswordChange, account.id, &call.origin), call.now).await?;
    tx.commit().await
}

fn no_account() -> anyhow::Error {
    anyhow!("there is no account with this e-mail address")
}
