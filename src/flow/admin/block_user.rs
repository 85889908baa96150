//! Blocks an account, or lets it in again.

use super::{SeenUser, begin_alone, may_go, user::seen};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again},
    model::{Event, EventKind, Principal, UserId},
    swap::Swap,
};

/// Blocks an account. Every session and every open challenge of it ends.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn block_user(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    reason: &str,
    call: &Call,
) -> Result<SeenUser, Error> {
    again(|| set(kit, admin, user, true, reason, call)).await?;
    seen(kit, user).await
}

/// Lets a blocked account sign in again.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn unblock_user(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    reason: &str,
    call: &Call,
) -> Result<SeenUser, Error> {
    again(|| set(kit, admin, user, false, reason, call)).await?;
    seen(kit, user).await
}

async fn set(
    kit: &Kit,
    admin: &Principal,
    user: UserId,
    blocked: bool,
    reason: &str,
    call: &Call,
) -> Result<(), Error> {
    let tx = begin_alone(kit, admin, call).await?;
    let account = tx.lock_account(user).await?.ok_or(Refusal::NotFound)?;
    if account.blocked != blocked {
        may_go(&tx, &account).await?;
        if tx.save_blocked(user, blocked).await? == Swap::Stale {
            return Err(Refusal::NotFound.into());
        }
        tx.delete_sessions(user, None).await?;
        if blocked {
            tx.delete_password_tokens(user).await?;
        }
    }
    // That it was asked for is recorded also where nothing was to be done.
    let kind = if blocked { EventKind::UserBlocked } else { EventKind::UserUnblocked };
    tx.record(&Event::of(kind, user, &call.origin).note(reason), call.now).await?;
    tx.commit().await
}
