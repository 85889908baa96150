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
    let page_token = visit.query.trimmed("page");
    let request = pb::ListSettingsVersionsRequest { page_size: 20, page_token };
    let listed = rpc!(visit, admin.list_settings_versions(request))?;
    let next = Some(listed.next_page_token).filter(|token| !token.is_empty());
    let mut all = listed.settings_versions;
    let count = all.len();
    // What the last one has changed is told by the one before it, which is on the next page.
    if let Some(page_token) = next.clone() {
        let request = pb::ListSettingsVersionsRequest { page_size: 1, page_token };
        all.extend(rpc!(visit, admin.list_settings_versions(request))?.settings_versions);
    }
    let frame = visit.frame(ENGLISH.versions_title, "admin/settings").await?;
    let versions = all.iter().take(count).enumerate().filter_map(|(at, version)| {
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
    visit.page(&Page {
        frame: &frame,
        versions: versions.collect(),
        next: next.map(|token| format!("/console/admin/settings/versions?{}", query([("page", token.as_str())]))),
    })
}
