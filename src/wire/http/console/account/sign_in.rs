//! Signing in with a password.

use askama::Template;
use http::Response;
use tonic::body::Body;

use super::super::{
    Answer, ROOT,
    calls::open_rpc,
    cookies::Kind,
    fields::query,
    frame::Frame,
    pending::{Opened, Pending, Purpose},
    refused::Refused,
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb;

/// Bytes of an address to go on to: it has a place in a cookie, of which browsers keep 4096 bytes.
const NEXT_BYTES: usize = 1024;

#[derive(Template)]
#[template(path = "console/pages/sign_in.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    email: String,
    next: String,
}

/// The form; whoever has signed in already goes on. What the browser has kept of a session that has ended goes here, and nowhere else:
/// another tab may have signed in while a page was refused, and its cookies are those that come along here.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    let next = safe(visit.query.get("next"));
    if visit.has_session() {
        match visit.who().await {
            Ok(Some(_)) => return visit.lead_to(&next),
            Err(refused) if refused.is_signed_out() => {
                visit.forget_session();
                visit.jar.set(Kind::Deed, "session_ended".to_owned());
            }
            Ok(None) | Err(_) => {}
        }
    }
    show(visit, None, next)
}

/// Takes e-mail and password.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    let request =
        pb::LocalAuthRequest { email: visit.form.trimmed("email"), password: visit.form.get("password").to_owned() };
    let next = safe(visit.form.get("next"));
    match open_rpc!(visit, twofa.local_auth(request)) {
        Ok(answer) => go_on(visit, answer, &next).await,
        Err(refused) => show(visit, Some(&refused), next),
    }
}

/// Where a right password leads: to the session, to the code, or to the enrolment of a factor.
/// The session before it ends.
pub async fn go_on(
    visit: &mut Visit<'_>,
    answer: pb::LocalAuthResponse,
    next: &str,
) -> Result<Response<Body>, Refused> {
    visit.end_session().await;
    if answer.two_fa_required {
        let opened = Opened {
            challenge_id: answer.challenge_id,
            methods: answer.methods,
            masked_number: answer.masked_phone_number,
            expire_time: answer.expire_time,
        };
        let mut pending = Pending::new(visit, Purpose::SignIn, opened);
        pending.next = safe(next);
        pending.keep(visit);
        return visit.lead_to("/console/sign-in/code");
    }
    if answer.enrollment_required {
        visit.jar.set(Kind::Enrolment, answer.enrollment_token);
        return visit.lead_to("/console/enrol");
    }
    visit.begin_session(answer.access_token, answer.refresh_token, answer.expires_in)?;
    visit.lead_to(&safe(next))
}

/// Where to sign in, and where to go on to after it.
pub fn path(next: &str) -> String {
    let query = query([("next", next)]);
    format!("/console/sign-in{}{query}", if query.is_empty() { "" } else { "?" })
}

/// A sign-in that has to begin anew.
pub fn again(visit: &mut Visit<'_>, next: &str) -> Answer {
    visit.lead_on(&path(next), "sign_in_expired")
}

fn show(visit: &Visit<'_>, refused: Option<&Refused>, next: String) -> Answer {
    let frame = visit.open_frame(ENGLISH.sign_in_title);
    let email = visit.form.trimmed("email");
    visit.page_after(refused, &Page { frame: &frame, alert: refused, email, next })
}

/// A page of the console to go on to; whatever else it says, the overview.
pub fn safe(next: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./?=&%+,:".contains(c);
    let is_own = next == ROOT || next.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with(['/', '?']));
    let is_safe = is_own
        && next.len() <= NEXT_BYTES
        && next.chars().all(is_plain)
        && !next.contains("//")
        && !next.contains("..");
    if is_safe { next } else { ROOT }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_away() {
        for own in ["/console", "/console/sessions", "/console/admin/audit?kind=replay&page=3", "/console?done=x"] {
            assert_eq!(safe(own), own);
        }
        let long = format!("/console?page={}", "x".repeat(NEXT_BYTES));
        for other in [
            long.as_str(),
            "",
            "/",
            "//evil.example",
            "/docs",
            "/consoles",
            "https://evil.example/console",
            "/console//evil",
            "/console/../docs",
            "/console\\evil",
            "/console/\r\nset-cookie: a=b",
            "/console@evil.example",
        ] {
            assert_eq!(safe(other), "/console", "{other}");
        }
    }
}
