//! Changing the password.

use askama::Template;

use super::{
    super::{Answer, calls::rpc, frame::Frame, refused::Refused, texts::ENGLISH, visit::Visit},
    app::goes_up,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/password.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    show(visit, None).await
}

/// Changes it.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    let request = pb::ChangePasswordRequest {
        current_password: visit.form.get("current_password").to_owned(),
        new_password: visit.form.get("new_password").to_owned(),
        ..pb::ChangePasswordRequest::default()
    };
    match rpc!(visit, sessions.change_password(request)) {
        Ok(_) => visit.lead_on("/console", "password_changed"),
        Err(refused) if refused.is("INVALID_CREDENTIALS") => {
            show(visit, Some(&refused.saying(ENGLISH.password_wrong))).await
        }
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => show(visit, Some(&refused)).await,
    }
}

async fn show(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    let frame = visit.frame(ENGLISH.password_title, "password").await?;
    visit.page_after(refused, &Page { frame: &frame, alert: refused })
}
