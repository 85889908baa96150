//! Issues a one-time password token: with it, whoever is given it sets the password of an account.

use std::time::Duration;

use super::{Call, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, UserId},
    secret::{self, Secret},
    store::{Store, Tx},
};

/// How long a token is good.
pub const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const PREFIX: &str = "pwt_";

/// A token that is to be issued.
pub(super) struct NewToken(Secret<[u8; 32]>);

impl NewToken {
    pub(super) fn make() -> anyhow::Result<Self> {
        Ok(Self(Secret::new(secret::random::<32>()?)))
    }

    pub(super) fn to_text(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}", secret::to_text(self.0.expose())))
    }
}

/// Issues a token for 24 h; those before it end.
pub async fn issue_password_token(
    store: &Store,
    user: UserId,
    reason: &str,
    call: &Call,
) -> Result<Secret<String>, Error> {
    let token = NewToken::make()?;
    again(|| issue(store, user, &token, reason, call)).await?;
    Ok(token.to_text())
}

async fn issue(store: &Store, user: UserId, token: &NewToken, reason: &str, call: &Call) -> Result<(), Error> {
    let tx = store.begin().await?;
    issue_in(&tx, user, token, reason, call).await?;
    tx.commit().await
}

/// The same in a transaction that is open.
pub(super) async fn issue_in(tx: &Tx, user: UserId, token: &NewToken, reason: &str, call: &Call) -> Result<(), Error> {
    tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    tx.delete_password_tokens(user).await?;
    keep(tx, user, token, reason, call).await
}

/// Keeps a token and records it, for an account that has no other.
pub(super) async fn keep(tx: &Tx, user: UserId, token: &NewToken, reason: &str, call: &Call) -> Result<(), Error> {
    tx.insert_password_token(&secret::fingerprint(token.0.expose()), user, call.now.plus(LIFE)).await?;
    let event = Event::of(EventKind::PasswordTokenCreated, user, &call.origin).note(reason);
    tx.record(&event, call.now).await
}

/// The hash that stands for a token at rest; None when it is no token.
pub(super) fn hash(token: &str) -> Option<[u8; 32]> {
    let own: Secret<[u8; 32]> = Secret::new(secret::from_text(token.strip_prefix(PREFIX)?)?);
    Some(secret::fingerprint(own.expose()))
}
