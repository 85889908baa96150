//! Lists the sessions of the caller.

use super::{Call, Kit, paging::Page};
use crate::{
    error::Error,
    model::{Principal, SessionDetails, SessionId},
};

/// A page of sessions.
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<SessionDetails>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<SessionId>,
}

/// A page of the caller's sessions.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn list_sessions(
    kit: &Kit,
    principal: &Principal,
    page: Page<SessionId>,
    call: &Call,
) -> Result<SessionPage, Error> {
    let sessions = kit.store.sessions(principal.user, page.after, page.one_more(), call.now).await?;
    let (sessions, next) = page.cut(sessions, |details| details.session.id);
    Ok(SessionPage { sessions, next })
}
