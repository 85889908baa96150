//! Enrolling a phone: its number, and the code that was sent to it.

use askama::Template;

use super::{
    super::{
        Answer,
        calls::rpc,
        frame::Frame,
        pending::{Opened, Pending, Purpose},
        refused::Refused,
        texts::ENGLISH,
        visit::Visit,
    },
    app::{confirmed, goes_up},
    code::CodeAsk,
};
use crate::wire::pb::{self, Method};

#[derive(Template)]
#[template(path = "console/pages/phone.html", config = ".askama.toml")]
struct Form<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    number: String,
    replaces: String,
}

#[derive(Template)]
#[template(path = "console/pages/phone_code.html", config = ".askama.toml")]
struct CodeForm<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    ask: CodeAsk,
}

/// The form.
pub async fn form(visit: &mut Visit<'_>) -> Answer {
    let replaces = visit.query.trimmed("replace");
    show_form(visit, None, String::new(), replaces).await
}

/// Begins the enrolment: a code goes to the number.
pub async fn start(visit: &mut Visit<'_>) -> Answer {
    let (typed, replaces) = (visit.form.trimmed("phone_number"), visit.form.trimmed("replace"));
    // People write numbers with spaces, and what they mean is plain.
    let phone_number = typed.chars().filter(|c| !" -()./\u{a0}".contains(*c)).collect();
    let request = pb::EnableRequest {
        method: Method::Phone.into(),
        phone_number,
        factor_id: replaces.clone(),
        ..pb::EnableRequest::default()
    };
    match rpc!(visit, twofa.enable(request)) {
        Ok(enabled) => {
            let opened = Opened {
                challenge_id: enabled.challenge_id,
                methods: vec![Method::Phone.into()],
                masked_number: enabled.masked_phone_number,
                expire_time: enabled.expire_time,
            };
            Pending::new(visit, Purpose::Enrolment, opened).keep(visit);
            visit.lead_to("/console/factors/phone/confirm")
        }
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => show_form(visit, Some(&refused), typed, replaces).await,
    }
}

/// The form for the code.
pub async fn code_form(visit: &mut Visit<'_>) -> Answer {
    match Pending::find(visit, Purpose::Enrolment) {
        Some(pending) => show(visit, &pending, None).await,
        None => visit.lead_to("/console/factors/phone"),
    }
}

/// Takes the code, or sends another one.
pub async fn confirm(visit: &mut Visit<'_>) -> Answer {
    let Some(mut pending) = Pending::find(visit, Purpose::Enrolment) else {
        return begin_again(visit).await;
    };
    if visit.form.get("step") == "resend" {
        return match pending.send(visit).await {
            Ok(()) => visit.lead_to("/console/factors/phone/confirm"),
            Err(refused) => refuse(visit, &pending, refused).await,
        };
    }
    let request = pb::VerifyRequest {
        code: visit.form.trimmed("code"),
        challenge_id: pending.challenge_id.clone(),
        method: Method::Phone.into(),
    };
    match rpc!(visit, twofa.verify(request)) {
        Ok(verified) => confirmed(visit, verified).await,
        Err(refused) => refuse(visit, &pending, refused).await,
    }
}

async fn refuse(visit: &mut Visit<'_>, pending: &Pending, refused: Refused) -> Answer {
    if goes_up(&refused) {
        return Err(refused);
    }
    if pending.is_ended_by(visit, &refused) {
        return begin_again(visit).await;
    }
    show(visit, pending, Some(&refused)).await
}

/// An enrolment that has to begin anew: it has ended, or another sign-in has come between.
async fn begin_again(visit: &mut Visit<'_>) -> Answer {
    let refused = Refused::new("CHALLENGE_EXPIRED").saying(ENGLISH.phone_expired);
    show_form(visit, Some(&refused), String::new(), String::new()).await
}

async fn show_form(visit: &mut Visit<'_>, refused: Option<&Refused>, number: String, replaces: String) -> Answer {
    let frame = visit.frame(ENGLISH.phone_title, "security").await?;
    visit.page_after(refused, &Form { frame: &frame, alert: refused, number, replaces })
}

async fn show(visit: &mut Visit<'_>, pending: &Pending, refused: Option<&Refused>) -> Answer {
    let frame = visit.frame(ENGLISH.phone_title, "security").await?;
    let ask = CodeAsk::new(visit, pending, "step");
    visit.page_after(refused, &CodeForm { frame: &frame, alert: refused, ask })
}
