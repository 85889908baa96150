//! A step-up in place: when something asks for a fresher proof, the page asks for it, and then does what was asked for, with what was
//! typed. Passwords are not kept meanwhile. A page that is merely looked at has nothing sent: a button does.

use askama::Template;
use http::Response;
use tonic::body::Body;

use super::{
    Answer,
    account::code::CodeAsk,
    calls::{open_rpc, rpc},
    cookies::Kind,
    frame::Frame,
    pending::{Opened, Pending, Purpose},
    refused::Refused,
    see_other,
    texts::ENGLISH,
    visit::Visit,
};
use crate::wire::pb::{self, Method};

/// What the buttons of the page send.
const FIELD: &str = "step_up";
/// Where a step-up leads on that a page has asked for, and no form.
pub const PATH: &str = "/console/step-up";
/// What is not kept while the proof is asked for.
const SECRETS: [&str; 5] = ["password", "current_password", "new_password", "token", super::origin::FIELD];

#[derive(Template)]
#[template(path = "console/pages/step_up.html", config = ".askama.toml")]
struct Page<'a> {
    frame: &'a Frame,
    alert: Option<&'a Refused>,
    action: String,
    kept: Vec<(String, String)>,
    asked: Asked,
}

/// What the page asks for.
enum Asked {
    /// Whether a challenge may be opened.
    Leave,
    /// A code.
    Code(CodeAsk),
    /// The password, of an account that has nothing else.
    Password,
}

/// Takes the proof that came with a form, where there is one. A page = it was not good, or another way is chosen.
pub async fn take(visit: &mut Visit<'_>) -> Result<Option<Response<Body>>, Refused> {
    if !visit.form.has(FIELD) {
        return Ok(None);
    }
    let step = visit.form.trimmed(FIELD);
    let done = match step.as_str() {
        "open" => Ok(Step::Again),
        "password" => password(visit).await,
        step => code(visit, step).await,
    };
    match done {
        Ok(Step::Proven) => {
            visit.is_proven = true;
            Ok(None)
        }
        Ok(Step::Elsewhere(page)) => Ok(Some(page)),
        Ok(Step::Again) => ask(visit, None).await.map(Some),
        Err(refused) if refused.is("UNAUTHENTICATED") => Err(refused),
        Err(refused) => ask(visit, Some(&refused)).await.map(Some),
    }
}

/// What came of a step.
enum Step {
    Proven,
    Again,
    Elsewhere(Response<Body>),
}

async fn code(visit: &mut Visit<'_>, step: &str) -> Result<Step, Refused> {
    let Some(mut pending) = Pending::find(visit, Purpose::StepUp) else {
        return Err(Refused::new("CHALLENGE_EXPIRED").saying(ENGLISH.step_up_expired));
    };
    let done = match step {
        "verify" => verify(visit, &pending).await,
        "resend" => pending.send(visit).await.map(|()| Step::Again),
        other => match super::account::code::chosen(other) {
            Some(method) => pending.choose(visit, method).await.map(|()| Step::Again),
            None => Ok(Step::Again),
        },
    };
    done.map_err(|refused| {
        let is_over = pending.is_ended_by(visit, &refused) && refused.is("CHALLENGE_EXPIRED");
        if is_over { refused.saying(ENGLISH.step_up_expired) } else { refused }
    })
}

async fn verify(visit: &mut Visit<'_>, pending: &Pending) -> Result<Step, Refused> {
    let request = pb::VerifyRequest {
        code: visit.form.trimmed("step_up_code"),
        challenge_id: pending.challenge_id.clone(),
        method: pending.method().into(),
    };
    let verified = rpc!(visit, twofa.verify(request))?;
    visit.keep_tokens(verified.access_token, verified.refresh_token, verified.expires_in);
    visit.jar.end(Kind::StepUpChallenge);
    Ok(Step::Proven)
}

/// Of an account that has nothing but a password: it begins another session, and the one before ends.
async fn password(visit: &mut Visit<'_>) -> Result<Step, Refused> {
    let who = visit.who().await?.ok_or_else(|| Refused::new("UNAUTHENTICATED"))?;
    let request = pb::LocalAuthRequest { email: who.email, password: visit.form.get("step_up_password").to_owned() };
    let answer = open_rpc!(visit, twofa.local_auth(request))?;
    if !answer.access_token.is_empty() {
        visit.end_session().await;
        visit.begin_session(answer.access_token, answer.refresh_token, answer.expires_in)?;
        return Ok(Step::Proven);
    }
    super::account::sign_in::go_on(visit, answer, "").await.map(Step::Elsewhere)
}

/// What follows where a proof is asked for. An account that has no factor to look at a page with, or to administer with, sets one up.
pub async fn required(visit: &mut Visit<'_>, refused: &Refused) -> Answer {
    if refused.is_for_password && (!visit.is_post || visit.path.starts_with("/console/admin/")) {
        return visit.lead_to("/console/enrol");
    }
    ask(visit, None).await
}

/// The page that asks for the proof.
async fn ask(visit: &mut Visit<'_>, refused: Option<&Refused>) -> Answer {
    if visit.is_proven {
        // The password was proven, and is not enough.
        return Err(Refused::new("TWO_FA_NOT_ENABLED").saying(ENGLISH.step_up_needs_factor));
    }
    let (action, kept) = if visit.is_post {
        let kept = visit.form.kept(|name| !name.starts_with(FIELD) && !SECRETS.contains(&name));
        (visit.target().to_owned(), kept)
    } else {
        (PATH.to_owned(), vec![("next".to_owned(), visit.target().to_owned())])
    };
    let asked = match Pending::find(visit, Purpose::StepUp) {
        Some(pending) => Asked::Code(CodeAsk::new(visit, &pending, FIELD)),
        None if !visit.is_post => Asked::Leave,
        None => match open(visit).await? {
            Some(pending) => Asked::Code(CodeAsk::new(visit, &pending, FIELD)),
            None => Asked::Password,
        },
    };
    let frame = visit.frame(ENGLISH.step_up_title, "").await?;
    visit.page_after(refused, &Page { frame: &frame, alert: refused, action, kept, asked })
}

/// Opens a challenge; None = the account has no factor.
async fn open(visit: &mut Visit<'_>) -> Result<Option<Pending>, Refused> {
    let request = pb::CreateChallengeRequest { method: Method::Unspecified.into() };
    let opened = match rpc!(visit, twofa.create_challenge(request)) {
        Ok(opened) => opened,
        Err(refused) if refused.is("TWO_FA_NOT_ENABLED") => return Ok(None),
        Err(refused) => return Err(refused),
    };
    let pending = Pending::new(
        visit,
        Purpose::StepUp,
        Opened {
            challenge_id: opened.challenge_id,
            methods: opened.methods,
            masked_number: opened.masked_phone_number,
            expire_time: opened.expire_time,
        },
    );
    pending.keep(visit);
    Ok(Some(pending))
}

/// Leads on to the page that has asked for a proof.
pub fn go_on(visit: &Visit<'_>) -> Answer {
    Ok(see_other(&super::account::sign_in::safe(visit.form.get("next"))))
}
