//! What has happened to the account.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    fields::query,
    frame::Frame,
    shown::{When, device, method_of_word, when},
    texts::{ENGLISH, Tone, of_kind},
    visit::Visit,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/activity.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    events: Vec<Event>,
    next: Option<String>,
}

struct Event {
    text: String,
    tone: Tone,
    method: &'static str,
    by_admin: bool,
    device: String,
    user_agent: String,
    source: String,
    time: Option<When>,
}

impl From<pb::SecurityEvent> for Event {
    fn from(event: pb::SecurityEvent) -> Self {
        let (text, tone) = of_kind(&event.kind);
        Self {
            text: text.unwrap_or(&event.kind).to_owned(),
            tone,
            method: method_of_word(&event.method),
            by_admin: event.by_admin,
            device: if event.user_agent.is_empty() { String::new() } else { device(&event.user_agent) },
            user_agent: event.user_agent,
            source: event.source,
            time: event.create_time.map(when),
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let frame = visit.frame(ENGLISH.activity_title, "activity").await?;
    let request = pb::ListSecurityEventsRequest { page_size: 30, page_token: visit.query.trimmed("page") };
    let listed = rpc!(visit, sessions.list_security_events(request))?;
    let next = Some(listed.next_page_token).filter(|token| !token.is_empty());
    visit.page(&Page {
        frame: &frame,
        events: listed.security_events.into_iter().map(Event::from).collect(),
        next: next.map(|token| format!("/console/activity?{}", query([("page", token.as_str())]))),
    })
}
