//! Setting a password with a one-time token, which an administrator has given. The token comes in the part of the link that no server
//! is told, or is pasted; it is never in an address that is sent.

use askama::Template;

use super::{
    super::{
        Answer,
        calls::open_rpc,
        cookies::Kind,
        frame::Frame,
        pending::{Opened, Pending, Purpose},
        refused::Refused,
        texts::ENGLISH,
        visit::Visit,
    },
    code::{CodeAsk, chosen},
};
use crate::wire::pb;

#[derive(Template)]
#[template(path = "console/pages/set_password.html", config = ".askama.toml")]
struct Form<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
}

#[derive(Template)]
#[template(path = "console/pages/set_password_code.html", config = ".askama.toml")]
struct CodeForm<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    ask: CodeAsk,
}

/// The form.
pub fn form(visit: &mut Visit<'_>) -> Answer {
    show(visit, None)
}

/// Takes token and password; an account with a factor is asked for a code.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    let token = visit.form.trimmed("token");
    let request = pb::SetPasswordRequest {
        token: token.clone(),
        new_password: visit.form.get("new_password").to_owned(),
        ..pb::SetPasswordRequest::default()
    };
    let answer = match open_rpc!(visit, sessions.set_password(request)) {
        Ok(answer) => answer,
        Err(refused) => return show(visit, Some(&in_words(refused))),
    };
    if !answer.two_fa_required {
        return done(visit).await;
    }
    visit.jar.set(Kind::PasswordToken, token);
    let opened = Opened {
        challenge_id: answer.challenge_id,
        methods: answer.methods,
        masked_number: String::new(),
        expire_time: answer.expire_time,
    };
    let mut pending = Pending::new(visit, Purpose::Password, opened);
    let first = pending.method();
    pending.keep(visit);
    match pending.choose(visit, first).await {
        Ok(()) => visit.lead_to("/console/set-password/code"),
        Err(refused) => refuse(visit, &pending, refused),
    }
}

/// The form for the code.
pub fn code_form(visit: &mut Visit<'_>) -> Answer {
    match Pending::find(visit, Purpose::Password) {
        Some(pending) => show_code(visit, &pending, None),
        None => visit.lead_to("/console/set-password"),
    }
}

/// Takes the code, and the password once more: it was not kept.
pub async fn code_submit(visit: &mut Visit<'_>) -> Answer {
    let Some(mut pending) = Pending::find(visit, Purpose::Password) else {
        return show(visit, Some(&Refused::new("CHALLENGE_EXPIRED").saying(ENGLISH.set_password_expired)));
    };
    let step = visit.form.trimmed("step");
    let done_so_far = match step.as_str() {
        "resend" => pending.send(visit).await,
        step => match chosen(step) {
            Some(method) => pending.choose(visit, method).await,
            None => return finish(visit, &pending).await,
        },
    };
    match done_so_far {
        Ok(()) => visit.lead_to("/console/set-password/code"),
        Err(refused) => refuse(visit, &pending, refused),
    }
}

async fn finish(visit: &mut Visit<'_>, pending: &Pending) -> Answer {
    let request = pb::SetPasswordRequest {
        token: visit.jar.get(Kind::PasswordToken).unwrap_or_default().to_owned(),
        new_password: visit.form.get("new_password").to_owned(),
        code: visit.form.trimmed("code"),
        challenge_id: pending.challenge_id.clone(),
    };
    match open_rpc!(visit, sessions.set_password(request)) {
        Ok(_) => done(visit).await,
        Err(refused) => refuse(visit, pending, refused),
    }
}

/// Shows the form for the code again; of a challenge or a token that has ended, the form before it.
fn refuse(visit: &mut Visit<'_>, pending: &Pending, refused: Refused) -> Answer {
    if pending.is_ended_by(visit, &refused) || refused.is("UNAUTHENTICATED") {
        return show(visit, Some(&in_words(refused)));
    }
    show_code(visit, pending, Some(&refused))
}

/// Every session of the account has ended, this browser's too where it had one; that of another account goes on.
async fn done(visit: &mut Visit<'_>) -> Answer {
    visit.jar.end(Kind::PasswordChallenge);
    visit.jar.end(Kind::PasswordToken);
    if visit.who().await.is_err_and(|refused| refused.is_signed_out()) {
        visit.forget_session();
    }
    visit.lead_on("/console/sign-in", "password_set")
}

/// Of the token, the reason says something else than of a session.
fn in_words(refused: Refused) -> Refused {
    if refused.is("UNAUTHENTICATED") {
        refused.saying(ENGLISH.password_token_invalid)
    } else if refused.ends_challenge() {
        refused.saying(ENGLISH.set_password_expired)
    } else {
        refused
    }
}

fn show(visit: &Visit<'_>, refused: Option<&Refused>) -> Answer {
    let frame = visit.open_frame(ENGLISH.set_password_title);
    visit.page_after(refused, &Form { frame: &frame, alert: refused })
}

fn show_code(visit: &Visit<'_>, pending: &Pending, refused: Option<&Refused>) -> Answer {
    let frame = visit.open_frame(ENGLISH.set_password_title);
    let ask = CodeAsk::new(visit, pending, "step");
    visit.page_after(refused, &CodeForm { frame: &frame, alert: refused, ask })
}
