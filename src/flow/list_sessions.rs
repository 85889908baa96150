//! Lists the sessions of the caller.

use super::{Call, Kit};
use crate::{
    error::{Error, Refusal},
    model::{Principal, SessionDetails, SessionId},
};

const DEFAULT_SIZE: u64 = 50;
const MAX_SIZE: u64 = 200;

/// A page of sessions.
pub struct SessionPage {
    /// The sessions, newest first.
    pub sessions: Vec<SessionDetails>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<SessionId>,
}

/// A page of the caller's sessions: of `size` (0 = as many as is usual), after the one that `token` names.
pub async fn list_sessions(
    kit: &Kit,
    principal: &Principal,
    size: i32,
    token: &str,
    call: &Call,
) -> Result<SessionPage, Error> {
    let size = u64::try_from(size).map_err(|_| Refusal::field("page_size", "must not be negative."))?;
    let size = if size == 0 { DEFAULT_SIZE } else { size.min(MAX_SIZE) };
    let after = match token {
        "" => None,
        token => Some(token.parse().map_err(|_| Refusal::field("page_token", "must be a next_page_token."))?),
    };
    let mut sessions = kit.store.sessions(principal.user, after, size + 1, call.now).await?;
    let is_last = sessions.len() <= usize::try_from(size).unwrap_or(usize::MAX);
    if !is_last {
        sessions.pop();
    }
    let next = sessions.last().map(|last| last.session.id).filter(|_| !is_last);
    Ok(SessionPage { sessions, next })
}
