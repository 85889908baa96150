//! Changes the policy.

use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again},
    model::{Event, EventKind, Settings, SettingsChange, UserId},
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
pub async fn update_settings(
    kit: &Kit,
    admin: UserId,
    request: &SettingsRequest,
    call: &Call,
) -> Result<Settings, Error> {
    let settings = again(|| update_once(kit, admin, request, call)).await?;
    kit.follow(settings.clone());
    Ok(settings)
}

async fn update_once(kit: &Kit, admin: UserId, request: &SettingsRequest, call: &Call) -> Result<Settings, Error> {
    let tx = kit.store.begin().await?;
    let old = tx.lock_settings().await?;
    let new = next(kit, &old, request, call)?;
    if tx.save_settings(&old, &new, admin).await? == Swap::Stale {
        return Err(Refusal::VersionMismatch.into());
    }
    let note = policy::differences(&old, &new).join(", ");
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
