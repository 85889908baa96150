//! Changes an account: its e-mail address, its role.

use super::{
    SeenUser, begin_alone,
    create_user::{notice_email, same_address},
    is_current, may_go,
    user::seen,
};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again, local_auth::owner, notify::tell_old_address},
    model::{Account, Email, Event, EventKind, NoticeKind, PhoneNumber, Principal, Role, UserId},
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
    /// The new second address, empty = none; None = as it is.
    pub notice_email: Option<String>,
    /// The new role; None = as it is.
    pub role: Option<Role>,
    /// What was sent along of what this does not change.
    pub blocked: bool,
    /// The same.
    pub phone_number: String,
}

/// Changes an account.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn update_user(
    kit: &Kit,
    admin: &Principal,
    request: &UpdateUserRequest,
    call: &Call,
) -> Result<SeenUser, Error> {
    let email = request.email.as_deref().map(Email::parse).transpose();
    let email = email.map_err(|problem| Refusal::field("user.email", problem))?;
    let notice_email = request.notice_email.as_deref().map(notice_email).transpose()?;
    let addresses = Addresses { email, notice_email };
    again(|| update_once(kit, admin, request, &addresses, call)).await?;
    seen(kit, request.user).await
}

/// The new addresses; None = as it is.
struct Addresses {
    email: Option<Email>,
    notice_email: Option<Option<Email>>,
}

async fn update_once(
    kit: &Kit,
    admin: &Principal,
    request: &UpdateUserRequest,
    addresses: &Addresses,
    call: &Call,
) -> Result<(), Error> {
    let tx = begin_alone(kit, admin, call).await?;
    let account = tx.lock_account(request.user).await?.ok_or(Refusal::NotFound)?;
    is_current(kit, &account, &request.etag)?;
    request.is_possible(&account)?;
    let role = request.role.filter(|role| *role != account.role);
    let email = addresses.email.as_ref().filter(|email| email.typed() != account.email.typed());
    let notice_email = addresses.notice_email.as_ref().filter(|email| **email != account.notice_email);
    if let Some(role) = role {
        change_role(&tx, &account, role, call).await?;
    }
    if let Some(email) = email {
        change_email(kit, &tx, &account, email, call).await?;
    }
    if let Some(notice_email) = notice_email {
        change_notice_email(kit, &tx, &account, notice_email.as_ref(), call).await?;
    }
    if role.is_none() && email.is_none() && notice_email.is_none() {
        tx.record(&Event::of(EventKind::AdminRead, account.id, &call.origin).note("UpdateUser"), call.now).await?;
    }
    tx.commit().await
}

impl UpdateUserRequest {
    /// A user may be sent back whole, as it was read. What is not changed by this call must then be what it is.
    fn is_possible(&self, account: &Account) -> Result<(), Refusal> {
        if self.blocked && !account.blocked {
            return Err(Refusal::field("user.blocked", "is changed by BlockUser and UnblockUser."));
        }
        let number = account.phone.as_ref().map(PhoneNumber::masked).unwrap_or_default();
        if !self.phone_number.is_empty() && self.phone_number != number {
            return Err(Refusal::field("user.phone_number", "is changed by its user, who enrols another phone."));
        }
        Ok(())
    }
}

async fn change_role(tx: &Tx, account: &Account, role: Role, call: &Call) -> Result<(), Error> {
    may_go(tx, account).await?;
    if tx.save_role(account.id, role, call.now).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    if account.role == Role::Admin {
        tx.delete_sessions(account.id, None).await?;
    }
    tx.delete_password_tokens(account.id).await?;
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
    tell_old_address(kit, tx, account.id, &account.email, NoticeKind::AddressChanged, call).await?;
    tx.record(&Event::of(EventKind::UserUpdated, account.id, &call.origin).note("email"), call.now).await
}

async fn change_notice_email(
    kit: &Kit,
    tx: &Tx,
    account: &Account,
    email: Option<&Email>,
    call: &Call,
) -> Result<(), Error> {
    if email.is_some_and(|email| email.canonical() == account.email.canonical()) {
        return Err(same_address().into());
    }
    if tx.save_notice_email(account.id, email).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    if let Some(old) = &account.notice_email {
        tell_old_address(kit, tx, account.id, old, NoticeKind::AddressChanged, call).await?;
    }
    tx.record(&Event::of(EventKind::UserUpdated, account.id, &call.origin).note("notice_email"), call.now).await
}
