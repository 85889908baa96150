//! The versions of the policy: what was changed when, and by whom.

use askama::Template;

use super::{
    super::{
        Answer,
        calls::rpc,
        fields::query,
        frame::Frame,
        shown::{When, when},
        texts::ENGLISH,
        visit::Visit,
    },
    audit::shortened,
    settings::{Change, changes},
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/admin_versions.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    versions: Vec<Version>,
    next: Option<String>,
}

struct Version {
    etag: String,
    time: Option<When>,
    admin: String,
    admin_name: String,
    changes: Vec<Change>,
    is_first: bool,
}

/// The page.
pub async fn page(visit: &mut Visit<'_>) -> Answer {
    // One more than is shown: the last one is told apart from the one before it.
    let request = pb::ListSettingsVersionsRequest { page_size: 21, page_token: visit.query.trimmed("page") };
    let listed = rpc!(visit, admin.list_settings_versions(request))?;
    let frame = visit.frame(ENGLISH.versions_title, "admin/settings").await?;
    let all = &listed.settings_versions;
    let versions = all.iter().enumerate().filter_map(|(at, version)| {
        let settings = version.settings.as_ref()?;
        let before = all.get(at + 1).and_then(|before| before.settings.as_ref());
        Some(Version {
            etag: settings.etag.clone(),
            time: settings.update_time.map(when),
            admin_name: shortened(&version.admin_user_id),
            admin: version.admin_user_id.clone(),
            changes: before.map(|before| changes(before, settings)).unwrap_or_default(),
            is_first: before.is_none(),
        })
    });
    let next = Some(listed.next_page_token.as_str()).filter(|token| !token.is_empty());
    visit.page(&Page {
        frame: &frame,
        versions: versions.collect(),
        next: next.map(|token| format!("/console/admin/settings/versions?{}", query([("page", token)]))),
    })
}
