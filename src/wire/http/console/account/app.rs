//! Enrolling an authenticator app: the QR code, and the code that confirms it.

use askama::Template;

use super::{
    super::{
        Answer, calls::rpc, cookies::Kind, frame::Frame, refused::Refused, shown::grouped, texts::ENGLISH, visit::Visit,
    },
    backup_codes,
};
use crate::wire::pb::{self, Method};

#[derive(Template)]
#[template(path = "console/pages/app.html", config = ".askama.toml")]
struct Form<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    label: String,
    replaces: String,
}

#[derive(Template)]
#[template(path = "console/pages/app_scan.html", config = ".askama.toml")]
struct Scan<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    qr_code: String,
    /// In groups; empty = it was shown before, and is not shown again.
    secret: String,
    bare_secret: String,
    uri: String,
    label: String,
    replaces: String,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    let replaces = visit.query.trimmed("replace");
    let frame = visit.frame(ENGLISH.app_title, "security").await?;
    visit.page(&Form { frame: &frame, alert: None, label: String::new(), replaces })
}

/// Begins the enrolment. The page that answers is the only one that shows the secret.
pub async fn start(visit: &mut Visit<'_>) -> Answer {
    let (label, replaces) = (visit.form.trimmed("label"), visit.form.trimmed("replace"));
    let request = pb::EnableRequest {
        method: Method::Totp.into(),
        label: label.clone(),
        factor_id: replaces.clone(),
        ..pb::EnableRequest::default()
    };
    let enabled = rpc!(visit, twofa.enable(request));
    let frame = visit.frame(ENGLISH.app_title, "security").await?;
    match enabled {
        Ok(enabled) => visit.page(&Scan {
            frame: &frame,
            alert: None,
            qr_code: enabled.qr_code,
            secret: grouped(&enabled.secret),
            bare_secret: enabled.secret,
            uri: enabled.otpauth_uri,
            label,
            replaces,
        }),
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => {
            visit.page_after(Some(&refused), &Form { frame: &frame, alert: Some(&refused), label, replaces })
        }
    }
}

/// Takes the code that confirms it.
pub async fn confirm(visit: &mut Visit<'_>) -> Answer {
    let request = pb::VerifyRequest {
        code: visit.form.trimmed("code"),
        challenge_id: String::new(),
        method: Method::Totp.into(),
    };
    match rpc!(visit, twofa.verify(request)) {
        Ok(verified) => confirmed(visit, verified).await,
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => {
            let frame = visit.frame(ENGLISH.app_title, "security").await?;
            let (label, replaces) = (visit.form.trimmed("label"), visit.form.trimmed("replace"));
            let [qr_code, secret, bare_secret, uri] = [const { String::new() }; 4];
            let page =
                Scan { frame: &frame, alert: Some(&refused), qr_code, secret, bare_secret, uri, label, replaces };
            visit.page_after(Some(&refused), &page)
        }
    }
}

/// What follows a factor that is confirmed: its session, and the backup codes where it is the first.
pub async fn confirmed(visit: &mut Visit<'_>, verified: pb::VerifyResponse) -> Answer {
    if visit.is_enrolling() {
        visit.begin_session(verified.access_token, verified.refresh_token, verified.expires_in)?;
    } else {
        visit.keep_tokens(verified.access_token, verified.refresh_token, verified.expires_in);
        visit.jar.end(Kind::PhoneChallenge);
    }
    if verified.backup_codes.is_empty() {
        return visit.lead_on("/console", "factor_added");
    }
    backup_codes::show(visit, &verified.backup_codes, true).await
}

/// What another page answers.
pub fn goes_up(refused: &Refused) -> bool {
    ["STEP_UP_REQUIRED", "UNAUTHENTICATED", "ENROLLMENT_REQUIRED"].contains(&refused.reason.as_str())
}
