//! Makes an account.

use anyhow::anyhow;

use super::Call;
use crate::{
    error::{Error, Refusal},
    factor::password::Password,
    hash::Hasher,
    model::{Account, Email, Event, EventKind, Role, UserId},
    secret::Secret,
    store::Store,
    swap::Swap,
};

/// An account that is to be made.
pub struct NewUser<'a> {
    /// Its e-mail address.
    pub email: &'a str,
    /// Its password.
    pub password: &'a Secret<String>,
    /// Its role.
    pub role: Role,
}

/// Makes an account.
pub async fn add_user(store: &Store, hasher: &Hasher, new: NewUser<'_>, call: &Call) -> Result<UserId, Error> {
    let email = Email::parse(new.email).map_err(|problem| Refusal::field("email", problem))?;
    let hash = Password::parse_new(new.password)?.hash(hasher).await?;
    let account = Account {
        id: UserId::new(call.now),
        email,
        role: new.role,
        blocked: false,
        security_version: 1,
        password_hash: Some(hash),
        create_time: call.now,
    };
    let tx = store.begin().await?;
    if tx.insert_account(&account).await? == Swap::Stale {
        return Err(anyhow!("there is an account with this e-mail address").into());
    }
    tx.record(&Event::of(EventKind::UserCreated, account.id, &call.origin), call.now).await?;
    tx.commit().await?;
    Ok(account.id)
}
