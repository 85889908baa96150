//! Completing a sign-in with a code; and what every page that asks for one shows.

use askama::Template;

use super::{
    super::{
        Answer,
        calls::open_rpc,
        frame::Frame,
        pending::{Pending, Purpose},
        refused::Refused,
        shown::filled,
        texts::ENGLISH,
        visit::Visit,
    },
    sign_in,
};
use crate::wire::pb::{self, Method};

/// What is asked for, and what could be in its place.
pub struct CodeAsk {
    /// The name of the buttons.
    pub button: &'static str,
    /// What to do.
    pub lead: String,
    /// Whether it is a backup code, which has letters.
    pub is_backup: bool,
    /// Seconds until another code can be sent; None = none is sent.
    pub resend: Option<u64>,
    /// Other ways: what their button sends, and says.
    pub others: Vec<(&'static str, &'static str)>,
}

impl CodeAsk {
    /// What a challenge asks for, on a page whose buttons have this name.
    pub fn new(visit: &Visit<'_>, pending: &Pending, button: &'static str) -> Self {
        let lead = match pending.method() {
            Method::Phone if pending.masked_number.is_empty() => ENGLISH.code_lead_unsent.to_owned(),
            Method::Phone => filled(ENGLISH.code_lead_phone, "number", &pending.masked_number),
            Method::BackupCode => ENGLISH.code_lead_backup.to_owned(),
            Method::Totp | Method::Unspecified => ENGLISH.code_lead_app.to_owned(),
        };
        Self {
            button,
            lead,
            is_backup: pending.method() == Method::BackupCode,
            resend: pending.resend_wait(visit),
            others: pending.others().into_iter().filter_map(other).collect(),
        }
    }
}

fn other(method: Method) -> Option<(&'static str, &'static str)> {
    match method {
        Method::Totp => Some(("use_app", ENGLISH.use_app)),
        Method::Phone => Some(("use_phone", ENGLISH.use_phone)),
        Method::BackupCode => Some(("use_backup_code", ENGLISH.use_backup_code)),
        Method::Unspecified => None,
    }
}

/// The method that a button chooses.
pub fn chosen(step: &str) -> Option<Method> {
    [Method::Totp, Method::Phone, Method::BackupCode]
        .into_iter()
        .find(|method| other(*method).is_some_and(|(name, _)| name == step))
}

#[derive(Template)]
#[template(path = "console/pages/code.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    ask: CodeAsk,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    match Pending::find(visit, Purpose::SignIn) {
        Some(pending) => show(visit, &pending, None),
        None => visit.lead_to("/console/sign-in"),
    }
}

/// Takes a code, or another way.
pub async fn submit(visit: &mut Visit<'_>) -> Answer {
    let Some(mut pending) = Pending::find(visit, Purpose::SignIn) else {
        return sign_in::again(visit, "");
    };
    let step = visit.form.trimmed("step");
    let done = match step.as_str() {
        "resend" => pending.send(visit).await,
        step => match chosen(step) {
            Some(method) => pending.choose(visit, method).await,
            None => return verify(visit, &pending).await,
        },
    };
    match done {
        Ok(()) => visit.lead_to("/console/sign-in/code"),
        Err(refused) if pending.is_ended_by(visit, &refused) => sign_in::again(visit, &pending.next),
        Err(refused) => show(visit, &pending, Some(&refused)),
    }
}

async fn verify(visit: &mut Visit<'_>, pending: &Pending) -> Answer {
    let request = pb::VerifyRequest {
        code: visit.form.trimmed("code"),
        challenge_id: pending.challenge_id.clone(),
        method: pending.method().into(),
    };
    match open_rpc!(visit, twofa.verify(request)) {
        Ok(verified) => {
            visit.begin_session(verified.access_token, verified.refresh_token, verified.expires_in)?;
            visit.lead_to(&sign_in::safe(&pending.next))
        }
        Err(refused) if pending.is_ended_by(visit, &refused) => sign_in::again(visit, &pending.next),
        Err(refused) => show(visit, pending, Some(&refused)),
    }
}

fn show(visit: &Visit<'_>, pending: &Pending, refused: Option<&Refused>) -> Answer {
    let frame = visit.open_frame(ENGLISH.code_title);
    let ask = CodeAsk::new(visit, pending, "step");
    visit.page_after(refused, &Page { frame: &frame, alert: refused, ask })
}
