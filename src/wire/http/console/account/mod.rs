//! Pages about one's own account.

mod activity;
mod app;
mod backup_codes;
pub mod code;
mod enrol;
mod overview;
mod password;
mod phone;
mod remove;
mod sessions;
mod set_password;
pub mod sign_in;
mod sign_out;

pub use overview::Factor;
pub use sessions::Session;

use super::{Answer, routes::nothing, step_up, visit::Visit};

/// Pages that need no session.
pub async fn open_page(visit: &mut Visit<'_>, parts: &[&str]) -> Answer {
    match (visit.is_post, parts) {
        (false, ["sign-in"]) => sign_in::form(visit).await,
        (true, ["sign-in"]) => sign_in::submit(visit).await,
        (false, ["sign-in", "code"]) => code::form(visit).await,
        (true, ["sign-in", "code"]) => code::submit(visit).await,
        (true, ["sign-out"]) => sign_out::submit(visit).await,
        (false, ["set-password"]) => set_password::form(visit),
        (true, ["set-password"]) => set_password::submit(visit).await,
        (false, ["set-password", "code"]) => set_password::code_form(visit),
        (true, ["set-password", "code"]) => set_password::code_submit(visit).await,
        (_, _) => nothing(),
    }
}

/// Pages that enrol a factor: with a session, or before there is one.
pub async fn enrolment_page(visit: &mut Visit<'_>, parts: &[&str]) -> Answer {
    match (visit.is_post, parts) {
        (false, ["enrol"]) => enrol::choose(visit).await,
        (false, ["factors", "app"]) => app::form(visit).await,
        (true, ["factors", "app"]) => app::start(visit).await,
        (true, ["factors", "app", "confirm"]) => app::confirm(visit).await,
        (false, ["factors", "app", "confirm"]) => visit.lead_to("/console/factors/app"),
        (false, ["factors", "phone"]) => phone::form(visit).await,
        (true, ["factors", "phone"]) => phone::start(visit).await,
        (false, ["factors", "phone", "confirm"]) => phone::code_form(visit).await,
        (true, ["factors", "phone", "confirm"]) => phone::confirm(visit).await,
        (_, _) => nothing(),
    }
}

/// Pages of a session.
pub async fn page(visit: &mut Visit<'_>, parts: &[&str]) -> Answer {
    match (visit.is_post, parts) {
        (false, []) => overview::page(visit).await,
        (true, ["step-up"]) => step_up::go_on(visit),
        (false, ["factors", id, "remove"]) => remove::form(visit, id).await,
        (true, ["factors", id, "remove"]) => remove::submit(visit, id).await,
        (false, ["backup-codes"]) => backup_codes::form(visit, None).await,
        (true, ["backup-codes"]) => backup_codes::make(visit).await,
        (true, ["backup-codes", "saved"]) => visit.lead_on("/console", "codes_saved"),
        (false, ["sessions"]) => sessions::page(visit, None).await,
        (true, ["sessions", "end-others"]) => sessions::end_others(visit).await,
        (true, ["sessions", id, "end"]) => sessions::end(visit, id).await,
        (false, ["activity"]) => activity::page(visit).await,
        (false, ["password"]) => password::form(visit).await,
        (true, ["password"]) => password::submit(visit).await,
        (_, _) => nothing(),
    }
}
