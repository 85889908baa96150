//! The audit log: what has happened, by filters, in pages.

use askama::Template;

use super::super::{
    Answer, assets,
    calls::rpc,
    fields::{Fields, query},
    frame::Frame,
    refused::Refused,
    shown::{When, device, method_of_word, when},
    texts::{ENGLISH, KINDS, Texts, Tone, of_kind},
    visit::Visit,
};
use crate::wire::pb;

/// What the log calls a read.
const READ: &str = "authz_admin";
/// What the log calls a challenge that was opened.
const CHALLENGE: &str = "authn_challenge_created";
/// The filters, by their names in forms and in queries.
const FILTERS: [&str; 6] = ["kind", "user", "admin", "source", "from", "before"];

#[derive(Template)]
#[template(path = "console/pages/admin_audit.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    script: &'static str,
    filter: Filter,
    kinds: Vec<(&'static str, &'static str)>,
    rows: Vec<Row>,
    next: Option<String>,
    /// Where the log is followed from here on; None = this is not its end.
    live: Option<String>,
    is_filtered: bool,
}

/// A record of the log, as a line of a table.
#[derive(Template)]
#[template(path = "console/pages/audit_row.html", config = ".askama.toml")]
pub struct RowPage {
    /// The texts.
    pub t: &'static Texts,
    /// The record.
    pub row: Row,
}

/// A record.
pub struct Row {
    position: i64,
    kind: String,
    text: String,
    tone: Tone,
    reason: String,
    method: &'static str,
    count: i64,
    time: Option<When>,
    user: String,
    user_name: String,
    admin: String,
    admin_name: String,
    source: String,
    device: String,
    user_agent: String,
    request_id: String,
    note: String,
}

/// What is looked for.
pub struct Filter {
    kind: String,
    user: String,
    admin: String,
    source: String,
    from: String,
    before: String,
}

impl From<pb::AuditEvent> for Row {
    fn from(event: pb::AuditEvent) -> Self {
        let (text, tone) = of_kind(&event.kind);
        // Of a session it is a step-up, and no sign-in.
        let is_step_up = event.kind == CHALLENGE && !event.session_id.is_empty();
        let text = if is_step_up { Some(ENGLISH.audit_step_up) } else { text };
        Self {
            position: event.position,
            text: text.unwrap_or(&event.kind).to_owned(),
            kind: event.kind,
            tone,
            reason: event.reason,
            method: method_of_word(&event.method),
            count: event.count,
            time: event.create_time.map(when),
            user_name: shortened(&event.user_id),
            user: event.user_id,
            admin_name: shortened(&event.admin_user_id),
            admin: event.admin_user_id,
            source: event.source,
            device: if event.user_agent.is_empty() { String::new() } else { device(&event.user_agent) },
            user_agent: event.user_agent,
            request_id: event.request_id,
            note: event.note,
        }
    }
}

impl Filter {
    /// What a query says.
    pub fn read(query: &Fields) -> Self {
        let [kind, user, admin, source, from, before] = FILTERS.map(|name| query.trimmed(name));
        Self { kind, user, admin, source, from, before }
    }

    /// The words that are looked for; none = all. What administrators have read is left out unless it is asked for: looking at this
    /// page is a read, too.
    pub fn kinds(&self) -> Vec<String> {
        match self.kind.as_str() {
            "" => KINDS.iter().map(|(word, _, _)| (*word).to_owned()).filter(|word| word != READ).collect(),
            "all" => Vec::new(),
            one => vec![one.to_owned()],
        }
    }

    fn values(&self) -> [&str; 6] {
        [&self.kind, &self.user, &self.admin, &self.source, &self.from, &self.before]
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        FILTERS.into_iter().zip(self.values())
    }

    /// The request that follows the log.
    pub fn watch(&self, resume_token: String) -> pb::WatchAuditEventsRequest {
        pb::WatchAuditEventsRequest {
            resume_token,
            kinds: self.kinds(),
            user_id: self.user.clone(),
            admin_user_id: self.admin.clone(),
            source: self.source.clone(),
            from_time: day(&self.from),
            before_time: day(&self.before),
        }
    }
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let filter = Filter::read(&visit.query);
    let page_token = visit.query.trimmed("page");
    let request = pb::ListAuditEventsRequest {
        page_size: 40,
        page_token: page_token.clone(),
        kinds: filter.kinds(),
        user_id: filter.user.clone(),
        admin_user_id: filter.admin.clone(),
        source: filter.source.clone(),
        from_time: day(&filter.from),
        before_time: day(&filter.before),
    };
    let (listed, refused) = match rpc!(visit, admin.list_audit_events(request)) {
        Ok(listed) => (listed, None),
        Err(refused) if refused.is("INVALID_ARGUMENT") => (pb::ListAuditEventsResponse::default(), Some(refused)),
        Err(refused) => return Err(refused),
    };
    let frame = visit.frame(ENGLISH.audit_title, "admin/audit").await?;
    let next = Some(listed.next_page_token.as_str()).filter(|token| !token.is_empty());
    let next = next.map(|token| format!("/console/admin/audit?{}", query(filter.fields().chain([("page", token)]))));
    // Of nothing that is known yet it is what is sealed from now on.
    let last = listed.audit_events.first().map(|event| event.position.to_string()).unwrap_or_default();
    let live = format!("/console/admin/audit/live?{}", query(filter.fields().chain([("after", last.as_str())])));
    let is_end = page_token.is_empty() && refused.is_none() && filter.before.is_empty();
    let page = Page {
        frame: &frame,
        alert: refused.as_ref(),
        script: assets::audit_script(),
        kinds: KINDS.iter().map(|(word, text, _)| (*word, *text)).collect(),
        rows: listed.audit_events.into_iter().map(Row::from).collect(),
        next,
        live: is_end.then_some(live),
        is_filtered: filter.values().iter().any(|value| !value.is_empty()),
        filter,
    };
    visit.page_after(refused.as_ref(), &page)
}

/// The beginning of a day, in UTC, written as browsers send it.
fn day(text: &str) -> Option<prost_types::Timestamp> {
    let with_time = format!("{text}T00:00:00Z");
    with_time.parse().ok()
}

/// An id, in as few letters as tell it apart.
pub fn shortened(id: &str) -> String {
    let (prefix, digits) = id.split_once('_').unwrap_or(("", id));
    match digits.len().checked_sub(8).and_then(|from| digits.get(from..)) {
        Some(tail) => format!("{prefix}_…{tail}"),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_and_nonsense_is_none() {
        assert_eq!(day("2027-01-15").map(|time| time.seconds), Some(1_799_971_200));
        assert_eq!(day("").or_else(|| day("yesterday")), None);
    }

    #[test]
    fn an_id_is_told_by_its_last_digits() {
        assert_eq!(shortened("usr_0193a7c2d4e87f6189ab0123456789ab"), "usr_…456789ab");
        assert_eq!((shortened(""), shortened("usr_1")), (String::new(), "usr_1".to_owned()));
    }
}
