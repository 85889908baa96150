//! Pages for administrators: the policy, accounts, and how the service does.

mod adoption;
mod audit;
mod create_user;
mod keys;
mod live;
mod settings;
mod sms;
mod user;
mod users;
mod versions;

pub use live::over;

use super::{Answer, routes::nothing, visit::Visit};

/// The page of a path below `/console/admin`.
pub async fn page(visit: &mut Visit<'_>, parts: &[&str]) -> Answer {
    match (visit.is_post, parts) {
        (false, []) => visit.lead_to("/console/admin/settings"),
        (false, ["settings"]) => settings::form(visit).await,
        (true, ["settings", "preview"]) => settings::preview(visit).await,
        (true, ["settings"]) => settings::save(visit).await,
        (false, ["settings", "preview"]) => visit.lead_to("/console/admin/settings"),
        (false, ["settings", "versions"]) => versions::page(visit).await,
        (false, ["users"]) => users::page(visit).await,
        (false, ["users", "new"]) => create_user::form(visit, None).await,
        (true, ["users", "new"]) => create_user::submit(visit).await,
        (false, ["users", id]) => user::page(visit, id, None).await,
        (true, ["users", id, verb]) => user::act(visit, id, verb).await,
        (false, ["users", id, _]) => visit.lead_to(&format!("/console/admin/users/{id}")),
        (false, ["adoption"]) => adoption::page(visit).await,
        (false, ["audit"]) => audit::page(visit).await,
        (false, ["audit", "live"]) => live::stream(visit).await,
        (false, ["sms"]) => sms::page(visit).await,
        (false, ["keys"]) => keys::page(visit).await,
        (_, _) => nothing(),
    }
}
