//! Text messages: what is sent of the day's budget, and where they go.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    frame::Frame,
    shown::{When, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/admin_sms.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    configured: bool,
    sent: i64,
    budget: i64,
    left: i64,
    percent: i64,
    is_low: bool,
    prefixes: Vec<Prefix>,
}

struct Prefix {
    digits: String,
    sent: i64,
    verified: i64,
    is_closed: bool,
    end: Option<When>,
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let usage = rpc!(visit, admin.get_sms_usage(pb::GetSmsUsageRequest {}))?;
    let frame = visit.frame(ENGLISH.sms_title, "admin/sms").await?;
    let prefix = |usage: pb::SmsPrefixUsage| Prefix {
        digits: usage.prefix,
        sent: usage.sent_messages,
        verified: usage.verified_codes,
        is_closed: usage.closed,
        end: usage.end_time.map(when),
    };
    visit.page(&Page {
        frame: &frame,
        configured: usage.configured,
        sent: usage.sent_messages,
        budget: usage.daily_budget,
        left: (usage.daily_budget - usage.sent_messages).max(0),
        percent: (usage.sent_messages.saturating_mul(100) / usage.daily_budget.max(1)).min(100),
        is_low: usage.running_low,
        prefixes: usage.prefixes.into_iter().map(prefix).collect(),
    })
}
