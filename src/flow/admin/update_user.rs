//! Changes an account: its e-mail address, its role.

use super::{SeenUser, begin_alone, is_current, may_go, user::seen};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again, local_auth::owner},
    model::{Account, Email, Event, EventKind, Role, UserId},
    store::Tx,
    swap::Swap,
};

/// What is to be changed.
pub struct UpdateUserRequest {
    /// The account.
    pub user: UserId,
    /// What the account was when this was decided; empty = whatever it is.
    pub etag: String,
    /// The new e-mail address; None = as it is.
    pub email: Option<String>,
    /// The new role; None = as it is.
    pub role: Option<Role>,
}

/// Changes an account.
pub async fn update_user(kit: &Kit, request: &UpdateUserRequest, call: &Call) -> Result<SeenUser, Error> {
    let email = request.email.as_deref().map(Email::parse).transpose();
    let email = email.map_err(|problem| Refusal::field("user.email", problem))?;
    again(|| update_once(kit, request, email.as_ref(), call)).await?;
    seen(kit, request.user).await
}

async fn update_once(kit: &Kit, request: &UpdateUserRequest, email: Option<&Email>, call: &Call) -> Result<(), Error> {
    let tx = begin_alone(kit).await?;
    let account = tx.lock_account(request.user).await?.ok_or(Refusal::NotFound)?;
    is_current(kit, &account, &request.etag)?;
    if let Some(role) = request.role.filter(|role| *role != account.role) {
        change_role(&tx, &account, role, call).await?;
    }
    if let Some(email) = email.filter(|email| email.typed() != account.email.typed()) {
        change_email(kit, &tx, &account, email, call).await?;
    }
    tx.commit().await
}

async fn change_role(tx: &Tx, account: &Account, role: Role, call: &Call) -> Result<(), Error> {
    may_go(tx, account).await?;
    if tx.save_role(account.id, role).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    if account.role == Role::Admin {
        tx.delete_sessions(account.id, None).await?;
    }
    let event = Event::of(EventKind::RoleChanged, account.id, &call.origin).note(role.as_str());
    tx.record(&event, call.now).await
}

/// What was learned of the old address is of no use for the new one, and a token that was sent there opens nothing.
async fn change_email(kit: &Kit, tx: &Tx, account: &Account, email: &Email, call: &Call) -> Result<(), Error> {
    if tx.save_email(account.id, email).await? == Swap::Stale {
        return Err(Refusal::AlreadyExists.into());
    }
    tx.delete_password_tokens(account.id).await?;
    if email.canonical() != account.email.canonical() {
        tx.forget_networks_of(&owner(&kit.ring, &account.email)?).await?;
    }
    tx.record(&Event::of(EventKind::UserUpdated, account.id, &call.origin).note("email"), call.now).await
}
