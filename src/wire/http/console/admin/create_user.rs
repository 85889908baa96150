//! Making an account. Whoever it is for sets the password themselves, with a one-time token.

use askama::Template;

use super::{
    super::{Answer, calls::rpc, frame::Frame, refused::Refused, texts::ENGLISH, visit::Visit},
    user::show_token,
};
use crate::{secret, wire::pb};

#[derive(Template)]
#[template(path = "console/pages/admin_user_new.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    email: String,
    notice_email: String,
    phone_number: String,
    is_admin: bool,
    request_id: String,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    let frame = visit.frame(ENGLISH.new_user_title, "admin/users").await?;
    // Sent twice, it makes one account; and changed after a refusal, it is another request.
    let request_id = secret::to_text(&secret::random::<16>().map_err(|_| Refused::new("INTERNAL"))?);
    let page = Page {
        frame: &frame,
        alert: refused,
        email: visit.form.trimmed("email"),
        notice_email: visit.form.trimmed("notice_email"),
        phone_number: visit.form.trimmed("phone_number"),
        is_admin: visit.form.get("role") == "admin",
        request_id,
    };
    visit.page_after(refused, &page)
}

/// Makes it.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    let role = if visit.form.get("role") == "admin" { pb::Role::Admin } else { pb::Role::User };
    let phone_number = visit.form.trimmed("phone_number");
    let user = pb::User {
        email: visit.form.trimmed("email"),
        notice_email: visit.form.trimmed("notice_email"),
        phone_number: phone_number.chars().filter(|c| !" -()./".contains(*c)).collect(),
        role: role.into(),
        ..pb::User::default()
    };
    let request = pb::CreateUserRequest {
        user: Some(user),
        password: String::new(),
        request_id: visit.form.trimmed("request_id"),
    };
    match rpc!(visit, admin.create_user(request)) {
        Ok(made) => {
            let user = made.user.unwrap_or_default();
            show_token(visit, user, made.password_token, made.password_token_expire_time).await
        }
        Err(refused) if refused.is("ALREADY_EXISTS") || refused.is("INVALID_ARGUMENT") => {
            form(visit, Some(&refused)).await
        }
        Err(refused) => Err(refused),
    }
}
