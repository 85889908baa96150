//! Sessions: where the account is signed in, and ending that.

use std::time::Duration;

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    fields::query,
    frame::Frame,
    refused::Refused,
    shown::{When, device, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::{clock::steady_now, wire::pb};

/// Sessions that one request ends.
const AT_ONCE: usize = 100;
/// And how long it goes on.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Template)]
#[template(path = "console/pages/sessions.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    sessions: Vec<Session>,
    has_others: bool,
    next: Option<String>,
}

/// A session.
pub struct Session {
    /// Its id.
    pub id: String,
    /// Whether it is that of this browser.
    pub is_current: bool,
    /// What its client is, in a few words.
    pub device: String,
    /// What its client calls itself.
    pub user_agent: String,
    /// Where it was begun from.
    pub source: String,
    /// When it was begun.
    pub begun: Option<When>,
    /// When it was last refreshed.
    pub seen: Option<When>,
    /// Whether it was proven by two factors.
    pub has_two_factors: bool,
}

impl From<pb::Session> for Session {
    fn from(session: pb::Session) -> Self {
        Self {
            id: session.session_id,
            is_current: session.current,
            device: device(&session.user_agent),
            user_agent: session.user_agent,
            source: session.source,
            begun: session.create_time.map(when),
            seen: session.refresh_time.or(session.create_time).map(when),
            has_two_factors: session.acr.ends_with(":2"),
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    let frame = visit.frame(ENGLISH.sessions_title, "sessions").await?;
    let request = pb::ListSessionsRequest { page_size: 20, page_token: visit.query.trimmed("page") };
    let listed = rpc!(visit, sessions.list_sessions(request))?;
    let mut sessions: Vec<Session> = listed.sessions.into_iter().map(Session::from).collect();
    sessions.sort_by_key(|session| !session.is_current);
    let next = Some(listed.next_page_token).filter(|token| !token.is_empty());
    visit.page_after(
        refused,
        &Page {
            frame: &frame,
            alert: refused,
            has_others: sessions.iter().any(|session| !session.is_current),
            sessions,
            next: next.map(|token| format!("/console/sessions?{}", query([("page", token.as_str())]))),
        },
    )
}

/// Ends one.
pub async fn end(visit: &mut Visit<'_>, id: &str) -> Answer {
    match rpc!(visit, sessions.delete_session(pb::DeleteSessionRequest { session_id: id.to_owned() })) {
        Ok(_) => visit.lead_on("/console/sessions", "session_gone"),
        // It has ended meanwhile.
        Err(refused) if refused.is("NOT_FOUND") => visit.lead_on("/console/sessions", "session_gone"),
        Err(refused) => Err(refused),
    }
}

/// Ends all but this one: as many as a request has time for. Where some are left, the page says so.
pub async fn end_others(visit: &mut Visit<'_>) -> Answer {
    let (begun, mut left) = (steady_now(), AT_ONCE);
    let mut page_token = String::new();
    loop {
        let listed = rpc!(visit, sessions.list_sessions(pb::ListSessionsRequest { page_size: 200, page_token }))?;
        for session in listed.sessions.into_iter().filter(|session| !session.current) {
            if left == 0 || begun.elapsed() > PATIENCE {
                return visit.lead_on("/console/sessions", "sessions_left");
            }
            left -= 1;
            match rpc!(visit, sessions.delete_session(pb::DeleteSessionRequest { session_id: session.session_id })) {
                Ok(_) => {}
                Err(refused) if refused.is("NOT_FOUND") => {}
                Err(refused) => return Err(refused),
            }
        }
        if listed.next_page_token.is_empty() {
            return visit.lead_on("/console/sessions", "sessions_gone");
        }
        page_token = listed.next_page_token;
    }
}
