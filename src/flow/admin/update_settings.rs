//! Changes the policy.

use super::must_administer;
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again},
    model::{Event, EventKind, Principal, Settings, SettingsChange},
    policy,
    swap::Swap,
};

/// What is to be changed of the policy.
pub struct SettingsRequest {
    /// The change.
    pub change: SettingsChange,
    /// What the policy was when this was decided; None = whatever it is.
    pub version: Option<i64>,
}

/// Changes the policy. This replica goes by it at once, the others within seconds.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn update_settings(
    kit: &Kit,
    admin: &Principal,
    request: &SettingsRequest,
    call: &Call,
) -> Result<Settings, Error> {
    let settings = again(|| update_once(kit, admin, request, call)).await?;
    kit.follow(settings.clone());
    Ok(settings)
}

async fn update_once(kit: &Kit, admin: &Principal, request: &SettingsRequest, call: &Call) -> Result<Settings, Error> {
    let tx = kit.store.begin().await?;
    let old = tx.lock_settings().await?;
    must_administer(&tx, admin, call).await?;
    let new = next(kit, &old, request, call)?;
    let differences = policy::differences(&old, &new);
    if differences.is_empty() {
        // No version for what is as it was.
        let event = Event::about_nobody(EventKind::AdminRead, &call.origin).note("UpdateSettings");
        tx.record(&event, call.now).await?;
        tx.commit().await?;
        return Ok(old);
    }
    if tx.save_settings(&old, &new, admin.user).await? == Swap::Stale {
        return Err(Refusal::VersionMismatch.into());
    }
    let note = differences.join(", ");
    let event = Event::about_nobody(EventKind::SettingsUpdated, &call.origin).note(&note);
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(new)
}

/// The policy that a change would make, if it may.
pub(super) fn next(kit: &Kit, old: &Settings, request: &SettingsRequest, call: &Call) -> Result<Settings, Refusal> {
    if request.version.is_some_and(|version| version != old.version) {
        return Err(Refusal::VersionMismatch);
    }
    let wanted = request.change.applied_to(old);
    let violations = policy::violations(&wanted, kit.sms.is_some());
    if !violations.is_empty() {
        return Err(Refusal::InvalidArgument(violations));
    }
    Ok(policy::succeed(old, &wanted, call.now))
}
