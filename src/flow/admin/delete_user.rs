//! Removes an account. What the audit log has of it stays, under an id that leads nowhere.

use super::{begin_alone, is_current, may_go};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again, generate_backup_codes, local_auth, notify::tell_old_address, send_code},
    model::{Event, EventKind, FailureKey, Method, NoticeKind, Principal, UserId},
    store::Tx,
    swap::Swap,
};

/// Removes an account; with an etag, only if it is what it was then.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn delete_user(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    etag: &str,
    reason: &str,
    call: &Call,
) -> Result<(), Error> {
    again(|| delete_once(kit, admin, user, etag, reason, call)).await
}

async fn delete_once(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    etag: &str,
    reason: &str,
    call: &Call,
) -> Result<(), Error> {
    let tx = begin_alone(kit, admin, call).await?;
    touch_counts(&tx, user).await?;
    let account = tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    is_current(kit, &account, etag)?;
    may_go(&tx, &account).await?;
    for address in [Some(&account.email), account.notice_email.as_ref()].into_iter().flatten() {
        tell_old_address(kit, &tx, user, address, NoticeKind::AccountDeleted, call).await?;
    }
    if tx.delete_account(user).await? == Swap::Stale {
        return Err(Refusal::NotFound.into());
    }
    let by_address = local_auth::owner(&kit.ring, &account.email)?;
    tx.forget_networks_of(&by_address).await?;
    tx.delete_buckets_of(&by_address).await?;
    tx.delete_buckets_of(&send_code::owner(&kit.ring, user)?).await?;
    tx.delete_buckets_of(&generate_backup_codes::owner(&kit.ring, user)?).await?;
    tx.record(&Event::of(EventKind::UserDeleted, user, &call.origin).note(reason), call.now).await?;
    tx.commit().await
}

/// Locks the counts that go, before the account: the order of every transaction.
async fn touch_counts(tx: &Tx, user: UserId) -> Result<(), Error> {
    for method in Method::ALL {
        tx.touch_failures(user, FailureKey::Method(method)).await?;
        tx.touch_failures(user, FailureKey::Enrolment(method)).await?;
    }
    Ok(())
}
