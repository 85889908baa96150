//! How far two-factor authentication has come, as a chart.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    frame::Frame,
    shown::{self, When, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb;

/// The circle of the chart: its length, with a radius of 54.
const CIRCLE: f64 = 339.292;

#[derive(Template)]
#[template(path = "console/pages/admin_adoption.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    users: i64,
    enrolled: i64,
    never: i64,
    lost: i64,
    admins: i64,
    enrolled_admins: i64,
    admins_without: i64,
    percent: i64,
    admin_percent: i64,
    /// How long the part of each circle is, and the rest.
    arc: (String, String),
    admin_arc: (String, String),
    methods: Vec<Method>,
}

struct Method {
    name: &'static str,
    text: String,
    /// Of all accounts, in percent.
    width: i64,
    recent_width: i64,
    last: Option<When>,
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    let report = rpc!(visit, admin.get_adoption_report(pb::GetAdoptionReportRequest {}))?;
    let frame = visit.frame(ENGLISH.adoption_title, "admin/adoption").await?;
    let users = report.users;
    let method = |adoption: &pb::MethodAdoption| Method {
        name: shown::method(adoption.method()),
        text: text(adoption, users),
        width: percent(adoption.users, users),
        recent_width: percent(adoption.recent_users, users),
        last: adoption.last_use_time.map(when),
    };
    let mut adoptions = report.methods;
    adoptions.sort_by_key(|adoption| adoption.method);
    visit.page(&Page {
        frame: &frame,
        users,
        enrolled: report.enrolled_users,
        never: report.never_enrolled_users,
        lost: (users - report.enrolled_users - report.never_enrolled_users).max(0),
        admins: report.admins,
        enrolled_admins: report.enrolled_admins,
        percent: percent(report.enrolled_users, users),
        admin_percent: percent(report.enrolled_admins, report.admins),
        arc: arc(report.enrolled_users, users),
        admin_arc: arc(report.enrolled_admins, report.admins),
        admins_without: report.admins - report.enrolled_admins,
        methods: adoptions.iter().map(method).collect(),
    })
}

fn text(adoption: &pb::MethodAdoption, users: i64) -> String {
    let text = shown::filled(ENGLISH.adoption_count, "count", &adoption.users.to_string());
    let text = shown::filled(&text, "all", &users.to_string());
    shown::filled(&text, "recent", &adoption.recent_users.to_string())
}

fn percent(part: i64, whole: i64) -> i64 {
    if whole <= 0 { 0 } else { part.saturating_mul(100) / whole }
}

#[allow(clippy::cast_precision_loss, reason = "a chart is not exact")]
fn arc(part: i64, whole: i64) -> (String, String) {
    let share = if whole <= 0 { 0.0 } else { (part as f64 / whole as f64).clamp(0.0, 1.0) };
    (format!("{:.2}", CIRCLE * share), format!("{:.2}", CIRCLE * (1.0 - share)))
}
