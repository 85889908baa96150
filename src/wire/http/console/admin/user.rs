//! One account, and what can be done for it.

use askama::Template;

use super::super::{
    Answer,
    account::{Factor, Session},
    calls::rpc,
    frame::Frame,
    refused::Refused,
    routes::nothing,
    shown::{self, When, filled, when},
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/admin_user.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    u: pb::User,
    typed: Typed,
    is_admin: bool,
    is_self: bool,
    created: Option<When>,
    factors: Vec<Factor>,
    locks: Vec<Lock>,
    sessions: Vec<Session>,
    has_more_sessions: bool,
    codes: String,
    /// What was typed into the form that was refused.
    reason: String,
    refused_verb: String,
}

#[derive(Template)]
#[template(path = "console/pages/admin_token.html", config = ".askama.toml")]
struct TokenPage<'a> {
    frame: &'a Frame,
    email: String,
    user_id: String,
    link: String,
    token: String,
    end: Option<When>,
}

/// The account, as it stands in the form.
struct Typed {
    email: String,
    notice_email: String,
    is_admin: bool,
}

struct Lock {
    method: &'static str,
    failures: i32,
    end: Option<When>,
}

/// The page.
pub async fn page(visit: &mut Visit<'_>, id: &str, refused: Option<(&Refused, &str)>) -> Answer {
    let read = rpc!(visit, admin.get_user(pb::GetUserRequest { user_id: id.to_owned() }))?;
    let user = read.user.ok_or_else(|| Refused::new("NOT_FOUND"))?;
    let request = pb::ListUserSessionsRequest { user_id: id.to_owned(), page_size: 20, page_token: String::new() };
    let listed = rpc!(visit, admin.list_user_sessions(request))?;
    let who = visit.who().await?;
    let frame = visit.frame(ENGLISH.user_title, "admin/users").await?;
    let lock = |lock: pb::MethodLock| Lock {
        method: shown::method(lock.method()),
        failures: lock.failures,
        end: lock.end_time.map(when),
    };
    // What was typed stays, unless it was decided by what is not so any more.
    let is_kept = refused.is_some_and(|(refused, verb)| verb == "update" && !refused.is("VERSION_MISMATCH"));
    let typed = Typed {
        email: if is_kept { visit.form.trimmed("email") } else { user.email.clone() },
        notice_email: if is_kept { visit.form.trimmed("notice_email") } else { user.notice_email.clone() },
        is_admin: if is_kept { visit.form.get("role") == "admin" } else { user.role() == pb::Role::Admin },
    };
    let page = Page {
        frame: &frame,
        typed,
        alert: refused.map(|(refused, _)| refused),
        is_admin: user.role() == pb::Role::Admin,
        is_self: who.is_some_and(|who| who.user_id == user.user_id),
        created: user.create_time.map(when),
        factors: user.factors.iter().map(Factor::new).collect(),
        sessions: listed.sessions.into_iter().map(Session::from).collect(),
        has_more_sessions: !listed.next_page_token.is_empty(),
        locks: read.locks.into_iter().map(lock).collect(),
        codes: filled(ENGLISH.codes_left, "count", &user.backup_codes_remaining.to_string()),
        reason: visit.form.trimmed("reason"),
        refused_verb: refused.map(|(_, verb)| verb.to_owned()).unwrap_or_default(),
        u: user,
    };
    visit.page_after(page.alert, &page)
}

/// Does what a button says.
pub async fn act(visit: &mut Visit<'_>, id: &str, verb: &str) -> Answer {
    let (user_id, reason) = (id.to_owned(), visit.form.trimmed("reason"));
    let done = match verb {
        "block" => rpc!(visit, admin.block_user(pb::BlockUserRequest { user_id, reason })).map(|_| "user_blocked"),
        "unblock" => {
            rpc!(visit, admin.unblock_user(pb::UnblockUserRequest { user_id, reason })).map(|_| "user_unblocked")
        }
        "unlock" => rpc!(visit, admin.unlock_user(pb::UnlockUserRequest { user_id, reason })).map(|_| "user_unlocked"),
        "reset" => rpc!(visit, admin.reset_two_fa(pb::ResetTwoFaRequest { user_id, reason })).map(|_| "user_reset"),
        "revoke" => {
            rpc!(visit, admin.revoke_sessions(pb::RevokeSessionsRequest { user_id, reason })).map(|_| "user_revoked")
        }
        "update" => update(visit, user_id).await.map(|()| "user_updated"),
        "delete" => {
            let etag = visit.form.trimmed("etag");
            match rpc!(visit, admin.delete_user(pb::DeleteUserRequest { user_id, etag, reason })) {
                Ok(_) => return visit.lead_on("/console/admin/users", "user_deleted"),
                Err(refused) => Err(refused),
            }
        }
        "password-token" => return password_token(visit, id).await,
        _ => return nothing(),
    };
    match done {
        Ok(deed) => visit.lead_on(&format!("/console/admin/users/{id}"), deed),
        Err(refused) => refuse(visit, id, refused, verb).await,
    }
}

/// What another page answers goes on; everything else is told on this one.
async fn refuse(visit: &mut Visit<'_>, id: &str, refused: Refused, verb: &str) -> Answer {
    match refused.reason.as_str() {
        "STEP_UP_REQUIRED" | "UNAUTHENTICATED" | "ENROLLMENT_REQUIRED" | "PERMISSION_DENIED" | "NOT_FOUND" => {
            Err(refused)
        }
        "VERSION_MISMATCH" => page(visit, id, Some((&refused.saying(ENGLISH.user_conflict), verb))).await,
        _ => page(visit, id, Some((&refused, verb))).await,
    }
}

async fn update(visit: &mut Visit<'_>, user_id: String) -> Result<(), Refused> {
    let role = if visit.form.get("role") == "admin" { pb::Role::Admin } else { pb::Role::User };
    let user = pb::User {
        user_id,
        email: visit.form.trimmed("email"),
        notice_email: visit.form.trimmed("notice_email"),
        role: role.into(),
        etag: visit.form.trimmed("etag"),
        ..pb::User::default()
    };
    let update_mask = Some(prost_types::FieldMask { paths: vec!["*".to_owned()] });
    rpc!(visit, admin.update_user(pb::UpdateUserRequest { user: Some(user), update_mask })).map(|_| ())
}

async fn password_token(visit: &mut Visit<'_>, id: &str) -> Answer {
    let (user_id, reason) = (id.to_owned(), visit.form.trimmed("reason"));
    match rpc!(visit, admin.issue_password_reset(pb::IssuePasswordResetRequest { user_id, reason })) {
        Ok(issued) => {
            let read = rpc!(visit, admin.get_user(pb::GetUserRequest { user_id: id.to_owned() }))?;
            let user = read.user.unwrap_or_default();
            show_token(visit, user, issued.password_token, issued.expire_time).await
        }
        Err(refused) => refuse(visit, id, refused, "password-token").await,
    }
}

/// The only page that shows a password token. Its link keeps it where no server is told of it.
pub async fn show_token(
    visit: &mut Visit<'_>,
    user: pb::User,
    token: String,
    end: Option<prost_types::Timestamp>,
) -> Answer {
    let frame = visit.frame(ENGLISH.token_title, "admin/users").await?;
    let link = format!("{}/console/set-password#{token}", visit.own_origin());
    let page = TokenPage { frame: &frame, email: user.email, user_id: user.user_id, link, token, end: end.map(when) };
    visit.page(&page)
}
