//! The policy: Admin Panel → Authentication → Settings. Whom a change touches is shown before it is saved.

use askama::Template;

use super::super::{
    Answer,
    calls::rpc,
    fields::Fields,
    frame::Frame,
    refused::Refused,
    shown::{self, When, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb::{self, Method, RequiredFor};

const DAY: i64 = 24 * 60 * 60;
/// Parts of a day that a form shows.
const PARTS: i64 = 100_000;

#[derive(Template)]
#[template(path = "console/pages/admin_settings.html", config = ".askama.toml")]
struct Form<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    s: Typed,
    changed: Option<When>,
}

#[derive(Template)]
#[template(path = "console/pages/admin_settings_preview.html", config = ".askama.toml")]
struct Preview<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    kept: Vec<(String, String)>,
    changes: Vec<Change>,
    groups: Vec<Group>,
    is_harmless: bool,
}

/// The policy, as it stands in the form.
pub struct Typed {
    two_fa_enabled: bool,
    app: bool,
    phone: bool,
    backup_code: bool,
    prefers_phone: bool,
    backup_codes_enabled: bool,
    required_for: i32,
    grace_days: String,
    admin_grace_days: String,
    totp_digits: i32,
    sms_digits: i32,
    sms_code_life: String,
    etag: String,
}

/// Something that would be another way.
pub struct Change {
    /// What, as proto has it.
    pub field: &'static str,
    /// What.
    pub name: &'static str,
    /// How it is.
    pub old: String,
    /// How it would be.
    pub new: String,
}

/// Accounts that a change touches.
struct Group {
    title: &'static str,
    text: &'static str,
    count: i64,
    examples: Vec<(String, String)>,
    more: i64,
    is_grave: bool,
}

impl Typed {
    fn of(settings: &pb::Settings) -> Self {
        let allows = |method: Method| settings.allowed_methods().any(|allowed| allowed == method);
        Self {
            two_fa_enabled: settings.two_fa_enabled.unwrap_or_default(),
            app: allows(Method::Totp),
            phone: allows(Method::Phone),
            backup_code: allows(Method::BackupCode),
            prefers_phone: settings.preferred_method() == Method::Phone,
            backup_codes_enabled: settings.backup_codes_enabled.unwrap_or_default(),
            required_for: settings.required_for,
            grace_days: days(settings.grace_period.as_ref()),
            admin_grace_days: days(settings.admin_grace_period.as_ref()),
            totp_digits: settings.totp_digits,
            sms_digits: settings.sms_digits,
            sms_code_life: settings.sms_code_life.map_or(0, |life| life.seconds).to_string(),
            etag: settings.etag.clone(),
        }
    }
}

/// What is typed, as a message.
fn typed(form: &Fields) -> Result<pb::Settings, Refused> {
    let number = |name: &str| form.trimmed(name).parse::<i32>().unwrap_or_default();
    let methods = [("app", Method::Totp), ("phone", Method::Phone), ("backup_code", Method::BackupCode)];
    Ok(pb::Settings {
        two_fa_enabled: Some(form.has("two_fa_enabled")),
        allowed_methods: methods
            .iter()
            .filter(|(name, _)| form.has(name))
            .map(|(_, method)| (*method).into())
            .collect(),
        preferred_method: if form.get("preferred") == "phone" { Method::Phone } else { Method::Totp }.into(),
        backup_codes_enabled: Some(form.has("backup_codes_enabled")),
        required_for: number("required_for"),
        grace_period: Some(span(form, "grace_days", ENGLISH.settings_grace)?),
        admin_grace_period: Some(span(form, "admin_grace_days", ENGLISH.settings_admin_grace)?),
        totp_digits: number("totp_digits"),
        sms_digits: number("sms_digits"),
        sms_code_life: Some(prost_types::Duration { seconds: number("sms_code_life").into(), nanos: 0 }),
        etag: form.trimmed("etag"),
        update_time: None,
    })
}

fn span(form: &Fields, name: &str, label: &str) -> Result<prost_types::Duration, Refused> {
    let text = form.trimmed(name).replace(',', ".");
    let days: f64 = text.parse().ok().filter(|days: &f64| (0.0..=365.0).contains(days)).ok_or_else(|| {
        let text = shown::filled(ENGLISH.settings_bad_days, "field", label);
        Refused::new("INVALID_ARGUMENT").saying(&text)
    })?;
    // At most 365 days: no digit is lost.
    #[allow(clippy::cast_possible_truncation, reason = "the range was looked at")]
    let seconds = (days * 86_400.0).round() as i64;
    Ok(prost_types::Duration { seconds, nanos: 0 })
}

/// Days, with as many digits as tell every second apart.
fn days(span: Option<&prost_types::Duration>) -> String {
    let seconds = span.map_or(0, |span| span.seconds);
    let parts = (seconds % DAY * PARTS + DAY / 2) / DAY;
    let text = format!("{}.{parts:05}", seconds / DAY);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A span as it is: in days, or to the second where it is no whole number of them.
fn exactly(span: Option<&prost_types::Duration>) -> String {
    let seconds = span.map_or(0, |span| span.seconds);
    let (text, count) =
        if seconds % DAY == 0 { (ENGLISH.settings_days, seconds / DAY) } else { (ENGLISH.settings_seconds, seconds) };
    shown::filled(text, "count", &count.to_string())
}

/// What is typed, less the spans whose text is what the form has shown: those stay what they are, to the second.
fn wanted(form: &Fields, now: &pb::Settings) -> Result<pb::Settings, Refused> {
    let mut settings = typed(form)?;
    for (name, now, typed) in [
        ("grace_days", &now.grace_period, &mut settings.grace_period),
        ("admin_grace_days", &now.admin_grace_period, &mut settings.admin_grace_period),
    ] {
        if form.trimmed(name) == days(now.as_ref()) {
            typed.clone_from(now);
        }
    }
    Ok(settings)
}

/// The form.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    show(visit, None).await
}

async fn current(visit: &mut Visit<'_>) -> Result<pb::Settings, Refused> {
    let settings = rpc!(visit, admin.get_settings(pb::GetSettingsRequest {}))?.settings;
    settings.ok_or_else(|| Refused::new("INTERNAL"))
}

async fn show(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    let now = current(visit).await?;
    let frame = visit.frame(ENGLISH.settings_title, "admin/settings").await?;
    // What was typed stays, unless it was decided by what is not so any more.
    let kept = refused.filter(|refused| !refused.is("VERSION_MISMATCH")).and_then(|_| typed(&visit.form).ok());
    let s = Typed::of(kept.as_ref().unwrap_or(&now));
    visit.page_after(refused, &Form { frame: &frame, alert: refused, s, changed: now.update_time.map(when) })
}

/// Shows whom the change touches, and asks whether it is meant.
pub async fn preview(visit: &mut Visit<'_>) -> Answer {
    let old = current(visit).await?;
    let settings = match wanted(&visit.form, &old) {
        Ok(settings) => settings,
        Err(refused) => return show(visit, Some(&refused)).await,
    };
    let changes = changes(&old, &settings);
    if changes.is_empty() {
        return visit.lead_on("/console/admin/settings", "settings_same");
    }
    let update_mask = Some(mask(&changes));
    let request = pb::PreviewSettingsRequest { settings: Some(settings), update_mask };
    let preview = match rpc!(visit, admin.preview_settings(request)) {
        Ok(preview) => preview,
        Err(refused) => return refuse(visit, refused).await,
    };
    let groups = groups(preview);
    let frame = visit.frame(ENGLISH.settings_title, "admin/settings").await?;
    let kept = visit.form.kept(|name| name != super::super::origin::FIELD && !name.starts_with("step_up"));
    let is_harmless = groups.is_empty();
    visit.page(&Preview { frame: &frame, alert: None, kept, changes, groups, is_harmless })
}

/// Saves the change.
pub async fn save(visit: &mut Visit<'_>) -> Answer {
    let old = current(visit).await?;
    if visit.form.trimmed("etag") != old.etag {
        return refuse(visit, Refused::new("VERSION_MISMATCH")).await;
    }
    let settings = match wanted(&visit.form, &old) {
        Ok(settings) => settings,
        Err(refused) => return show(visit, Some(&refused)).await,
    };
    let changes = changes(&old, &settings);
    if changes.is_empty() {
        return visit.lead_on("/console/admin/settings", "settings_same");
    }
    let update_mask = Some(mask(&changes));
    let request = pb::UpdateSettingsRequest { settings: Some(settings), update_mask };
    match rpc!(visit, admin.update_settings(request)) {
        Ok(_) => visit.lead_on("/console/admin/settings", "settings_saved"),
        Err(refused) => refuse(visit, refused).await,
    }
}

async fn refuse(visit: &mut Visit<'_>, refused: Refused) -> Answer {
    if refused.is("VERSION_MISMATCH") {
        return show(visit, Some(&refused.saying(ENGLISH.settings_conflict))).await;
    }
    if refused.is("INVALID_ARGUMENT") {
        return show(visit, Some(&refused)).await;
    }
    Err(refused)
}

/// What is changed, and nothing else.
fn mask(changes: &[Change]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: changes.iter().map(|change| change.field.to_owned()).collect() }
}

/// What two policies differ in.
pub fn changes(old: &pb::Settings, new: &pb::Settings) -> Vec<Change> {
    let rows = |s: &pb::Settings| {
        let switch = |on: Option<bool>| if on.unwrap_or_default() { ENGLISH.on } else { ENGLISH.off }.to_owned();
        let mut methods: Vec<_> = s.allowed_methods().collect();
        methods.sort_unstable();
        let methods: Vec<_> = methods.into_iter().map(shown::method).collect();
        let seconds = s.sms_code_life.map_or(0, |life| life.seconds).to_string();
        [
            ("two_fa_enabled", ENGLISH.settings_enabled, switch(s.two_fa_enabled)),
            ("allowed_methods", ENGLISH.settings_methods, methods.join(", ")),
            ("preferred_method", ENGLISH.settings_preferred, shown::method(s.preferred_method()).to_owned()),
            ("backup_codes_enabled", ENGLISH.settings_backup, switch(s.backup_codes_enabled)),
            ("required_for", ENGLISH.settings_required, required(s.required_for()).to_owned()),
            ("grace_period", ENGLISH.settings_grace, exactly(s.grace_period.as_ref())),
            ("admin_grace_period", ENGLISH.settings_admin_grace, exactly(s.admin_grace_period.as_ref())),
            ("totp_digits", ENGLISH.settings_totp_digits, s.totp_digits.to_string()),
            ("sms_digits", ENGLISH.settings_sms_digits, s.sms_digits.to_string()),
            ("sms_code_life", ENGLISH.settings_sms_life, shown::filled(ENGLISH.settings_seconds, "count", &seconds)),
        ]
    };
    let pairs = rows(old).into_iter().zip(rows(new));
    let differing = pairs.filter(|((_, _, old), (_, _, new))| old != new);
    differing.map(|((field, name, old), (_, _, new))| Change { field, name, old, new }).collect()
}

fn required(required_for: RequiredFor) -> &'static str {
    match required_for {
        RequiredFor::Nobody => ENGLISH.required_nobody,
        RequiredFor::Admins => ENGLISH.required_admins,
        RequiredFor::All => ENGLISH.required_all,
        RequiredFor::Unspecified => "",
    }
}

fn groups(preview: pb::PreviewSettingsResponse) -> Vec<Group> {
    let told = [
        (preview.unready_at_once, ENGLISH.group_at_once, ENGLISH.group_at_once_text, true),
        (preview.unready, ENGLISH.group_unready, ENGLISH.group_unready_text, false),
        (preview.losing_only_method, ENGLISH.group_losing, ENGLISH.group_losing_text, false),
        (preview.touched, ENGLISH.group_touched, ENGLISH.group_touched_text, false),
    ];
    let groups = told.into_iter().filter_map(|(group, title, text, is_grave)| {
        let group = group.filter(|group| group.count > 0)?;
        let more = group.count - i64::try_from(group.examples.len()).unwrap_or(i64::MAX);
        let examples = group.examples.into_iter().map(|user| (user.user_id, user.email)).collect();
        Some(Group { title, text, count: group.count, examples, more, is_grave })
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_in_days_is_the_same_to_the_second() -> Result<(), Refused> {
        for seconds in [0, 1, 863, 3600, 86_399, 86_400, 100_000, 604_800, 31_535_999, 31_536_000] {
            let text = days(Some(&prost_types::Duration { seconds, nanos: 0 }));
            assert!(text.len() <= 9, "{text} has a place in the form");
            let form = Fields::parse(format!("days={text}").as_bytes());
            assert_eq!(span(&form, "days", "")?.seconds, seconds, "{text}");
        }
        Ok(())
    }
}
