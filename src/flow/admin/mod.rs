//! What administrators do: to accounts, and to the policy. Each verb records itself in its own transaction, and the call says by whom
//! (`Origin::admin`, which the guard sets).

mod adoption_report;
mod block_user;
mod create_user;
mod delete_user;
mod list_keys;
mod preview_settings;
mod reset_two_fa;
mod revoke_sessions;
mod settings;
mod sms_usage;
mod update_settings;
mod update_user;
mod user;
mod user_sessions;

pub use adoption_report::{AdoptionReport, adoption_report};
pub use block_user::{block_user, unblock_user};
pub use create_user::{CreateUserRequest, Created, create_user};
pub use delete_user::delete_user;
pub use list_keys::list_keys;
pub use preview_settings::{Preview, UserGroup, preview_settings};
pub use reset_two_fa::reset_two_fa;
pub use revoke_sessions::revoke_sessions;
pub use settings::{SettingsPage, list_settings_versions, read_settings};
pub use sms_usage::sms_usage;
pub use update_settings::{SettingsRequest, update_settings};
pub use update_user::{UpdateUserRequest, update_user};
pub use user::{MethodLock, SeenUser, issue_password_reset, read_user, read_users, unlock};
pub use user_sessions::read_user_sessions;

use super::{Call, Kit, again::again};
use crate::{
    error::{Error, Refusal},
    model::{Account, Email, Event, EventKind, Principal, Role, UserId},
    store::Tx,
};

/// Records that an administrator has read something of an account, or of all.
pub(super) async fn record_read(kit: &Kit, what: &str, subject: Option<UserId>, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    let event = Event { subject, ..Event::about_nobody(EventKind::AdminRead, &call.origin).note(what) };
    tx.record(&event, call.now).await?;
    tx.commit().await
}

/// Opens the transaction for something that an administrator does, who must be one still: a call may have waited for a hash.
async fn begin(kit: &Kit, admin: &Principal, call: &Call) -> Result<Tx, Error> {
    let tx = kit.store.begin().await?;
    must_administer(&tx, admin, call).await?;
    Ok(tx)
}

/// The same for something after which an account may be an administrator no more, or is a new one: one such at a time, so that whoever
/// was blocked a moment before does nothing more.
async fn begin_alone(kit: &Kit, admin: &Principal, call: &Call) -> Result<Tx, Error> {
    let tx = kit.store.begin().await?;
    tx.lock_settings().await?;
    must_administer(&tx, admin, call).await?;
    Ok(tx)
}

async fn must_administer(tx: &Tx, admin: &Principal, call: &Call) -> Result<(), Error> {
    let live = tx.find_live_session(admin.session).await?;
    let live = live.filter(|live| live.session.is_alive(call.now) && !live.blocked).ok_or(Refusal::Unauthenticated)?;
    if live.role == Role::Admin { Ok(()) } else { Err(Refusal::PermissionDenied.into()) }
}

/// Records that an administrator was refused something, though they might have asked: what was tried is worth to be known.
pub async fn record_refusal(
    kit: &Kit,
    what: &str,
    subject: Option<UserId>,
    refusal: &Refusal,
    call: &Call,
) -> Result<(), Error> {
    again(|| async {
        let tx = kit.store.begin().await?;
        let event = Event::about_nobody(EventKind::AdminRead, &call.origin).note(what).reason(refusal.reason());
        tx.record(&Event { subject, ..event }, call.now).await?;
        tx.commit().await
    })
    .await
}

/// Refuses to let the last administrator go who can sign in. Asked behind `begin_alone`.
async fn may_go(tx: &Tx, account: &Account) -> Result<(), Error> {
    let counts = account.role == Role::Admin && !account.blocked && account.password_hash.is_some();
    if counts && tx.count_other_admins(account.id).await? == 0 {
        return Err(Refusal::LastAdmin.into());
    }
    Ok(())
}

/// What changes with an account: who decides by what was read shows it again.
pub fn etag(kit: &Kit, account: &Account) -> Result<String, Error> {
    let Account { security_version, email, notice_email, role, blocked, .. } = account;
    let notice_email = notice_email.as_ref().map(Email::typed).unwrap_or_default();
    let content = format!("{security_version} {} {blocked} {} {notice_email}", role.as_str(), email.typed());
    let hash = kit.ring.index("user etag", &[account.id.bytes().as_slice(), content.as_bytes()].concat())?;
    Ok(crate::secret::to_text(&hash[..12]))
}

/// Refuses what was decided by what an account no longer is; an etag that is empty is not asked for.
fn is_current(kit: &Kit, account: &Account, shown: &str) -> Result<(), Error> {
    if shown.is_empty() || shown == etag(kit, account)? { Ok(()) } else { Err(Refusal::VersionMismatch.into()) }
}
