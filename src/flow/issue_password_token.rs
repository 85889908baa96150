//! Issues a one-time password token: with it, whoever is given it sets the password of an account.

use std::time::Duration;

use super::{Call, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, UserId},
    secret::{self, Secret},
    store::Store,
};

const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
pub(super) const PREFIX: &str = "pwt_";

/// Issues a token for 24 h; those before it end.
pub async fn issue_password_token(store: &Store, user: UserId, call: &Call) -> Result<Secret<String>, Error> {
    let own = Secret::new(secret::random::<32>()?);
    again(|| keep(store, user, &own, call)).await?;
    Ok(Secret::new(format!("{PREFIX}{}", secret::to_text(own.expose()))))
}

async fn keep(store: &Store, user: UserId, own: &Secret<[u8; 32]>, call: &Call) -> Result<(), Error> {
    let tx = store.begin().await?;
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    tx.delete_password_tokens(user).await?;
    tx.insert_password_token(&secret::fingerprint(own.expose()), user, call.now.plus(LIFE)).await?;
    tx.record(&Event::of(EventKind::PasswordTokenCreated, user, &call.origin), call.now).await?;
    tx.commit().await
}

/// The hash that stands for a token at rest; None when it is no token.
pub(super) fn hash(token: &str) -> Option<[u8; 32]> {
    let own: Secret<[u8; 32]> = Secret::new(secret::from_text(token.strip_prefix(PREFIX)?)?);
    Some(secret::fingerprint(own.expose()))
}
