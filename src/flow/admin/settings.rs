//! Reads the policy, and what it was before.

use super::record_read;
use crate::{
    error::Error,
    flow::{Call, Kit, Page},
    model::{Settings, SettingsVersion},
};

/// A page of versions.
pub struct SettingsPage {
    /// The versions, the newest first.
    pub versions: Vec<SettingsVersion>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<i64>,
}

/// The policy as the database has it: what was saved a moment ago is there already.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn read_settings(kit: &Kit, call: &Call) -> Result<Settings, Error> {
    let settings = kit.store.settings().await?;
    record_read(kit, "GetSettings", None, call).await?;
    Ok(settings)
}

/// A page of versions of the policy. What was never changed has none but the one that holds.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn list_settings_versions(kit: &Kit, page: Page<i64>, call: &Call) -> Result<SettingsPage, Error> {
    let mut versions = kit.store.settings_versions(page.after, page.one_more()).await?;
    if versions.is_empty() && page.after.is_none() {
        versions.push(SettingsVersion { settings: kit.store.settings().await?, admin: None });
    }
    record_read(kit, "ListSettingsVersions", None, call).await?;
    let (versions, next) = page.cut(versions, |version| version.settings.version);
    Ok(SettingsPage { versions, next })
}
