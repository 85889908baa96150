//! Lists the sessions of an account, for administrators.

use super::record_read;
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, Page, SessionPage},
    model::{SessionId, UserId},
};

/// A page of the sessions of an account.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn read_user_sessions(
    kit: &Kit,
    user: UserId,
    page: Page<SessionId>,
    call: &Call,
) -> Result<SessionPage, Error> {
    kit.store.find_account(user).await?.ok_or(Refusal::NotFound)?;
    let sessions = kit.store.sessions(user, page.after, page.one_more(), call.now).await?;
    record_read(kit, "ListUserSessions", Some(user), call).await?;
    let (sessions, next) = page.cut(sessions, |details| details.session.id);
    Ok(SessionPage { sessions, next })
}
