//! Makes an account.

use anyhow::anyhow;

use super::Call;
use crate::{
    error::Error,
    factor::password::{Names, Password},
    hash::Hasher,
    model::{Account, Email, Event, EventKind, PhoneNumber, Role, UserId},
    secret::Secret,
    store::Store,
    swap::Swap,
};

/// An account that is to be made.
pub struct NewUser<'a> {
    /// The name of the service, which its password must not be made of.
    pub service: &'a str,
    /// Its e-mail address.
    pub email: Email,
    /// Its password.
    pub password: &'a Secret<String>,
    /// Its role.
    pub role: Role,
    /// Its phone number, where one is known.
    pub phone: Option<PhoneNumber>,
    /// Its second address, where there is one.
    pub notice_email: Option<Email>,
}

/// Makes an account.
pub async fn add_user(store: &Store, hasher: &Hasher, new: NewUser<'_>, call: &Call) -> Result<UserId, Error> {
    let names = Names { service: new.service, email: &new.email };
    let hash = Password::parse_new("password", new.password, &names)?.hash(hasher).await?;
    let account = Account {
        id: UserId::new(call.now),
        email: new.email,
        role: new.role,
        blocked: false,
        security_version: 1,
        password_hash: Some(hash),
        phone: new.phone,
        notice_email: new.notice_email,
        create_time: call.now,
        role_time: call.now,
    };
    let tx = store.begin().await?;
    if tx.insert_account(&account).await? == Swap::Stale {
        return Err(anyhow!("there is an account with this e-mail address").into());
    }
    tx.record(&Event::of(EventKind::UserCreated, account.id, &call.origin), call.now).await?;
    tx.commit().await?;
    Ok(account.id)
}
