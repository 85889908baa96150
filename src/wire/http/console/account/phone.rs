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
    let frame = visit.frame(ENGLISH.phone_title, "security").await?;
    visit.page(&Form { frame: &frame, alert: None, number: String::new(), replaces })
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
        Err(refused) => {
            let frame = visit.frame(ENGLISH.phone_title, "security").await?;
            let page = Form { frame: &frame, alert: Some(&refused), number: typed, replaces };
            visit.page_after(Some(&refused), &page)
        }
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
        return visit.lead_to("/console/factors/phone");
    };
    if visit.form.get("step") == "resend" {
        return match pending.send(visit).await {
            Ok(()) => visit.lead_to("/console/factors/phone/confirm"),
            Err(refused) => show(visit, &pending, Some(&refused)).await,
        };
    }
    let request = pb::VerifyRequest {
        code: visit.form.trimmed("code"),
        challenge_id: pending.challenge_id.clone(),
        method: Method::Phone.into(),
    };
    match rpc!(visit, twofa.verify(request)) {
        Ok(verified) => confirmed(visit, verified).await,
        Err(refused) if goes_up(&refused) => Err(refused),
        Err(refused) => show(visit, &pending, Some(&refused)).await,
    }
}

async fn show(visit: &mut Visit<'_>, pending: &Pending, refused: Option<&Refused>) -> Answer {
    let frame = visit.frame(ENGLISH.phone_title, "security").await?;
    let ask = CodeAsk::new(visit, pending, "step");
    visit.page_after(refused, &CodeForm { frame: &frame, alert: refused, ask })
}
