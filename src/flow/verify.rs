//! Answers a challenge with a code: completes a sign-in, steps a session up, or confirms an enrolment.

mod enrolment;

pub(super) use enrolment::insert_backup_codes;

use super::{
    Call, Kit, Tokens,
    again::again,
    attempt::{Attempt, Stop},
    prove::{Code, Proven, prove},
    two_fa_status::methods,
};
use crate::{
    challenge,
    error::{Error, Refusal},
    factor::{self, backup_code},
    model::{
        Acr, Amr, Caller, EnrolledFactor, EventKind, Method, PendingEnrolment, Proof, Purpose, Role, SessionId, Subject,
    },
    policy,
    secret::Secret,
    swap::Swap,
};

/// An answer to a challenge.
pub struct VerifyRequest {
    /// The code.
    pub code: String,
    /// The challenge as the caller sent it; may be empty.
    pub challenge_id: String,
    /// The method that the code is of; None = told from the code.
    pub method: Option<Method>,
}

/// What a right code gives.
pub struct Verified {
    /// What the challenge was for.
    pub purpose: Purpose,
    /// The tokens.
    pub tokens: Tokens,
    /// Backup codes, with the first factor.
    pub backup_codes: Vec<Secret<String>>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
    /// Whether another factor is to be enrolled: what there is, is of methods that are switched off.
    pub is_led_on: bool,
}

/// Answers a challenge.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn verify(kit: &Kit, caller: &Caller, request: &VerifyRequest, call: &Call) -> Result<Verified, Error> {
    again(|| verify_once(kit, caller, request, call)).await
}

async fn verify_once(kit: &Kit, caller: &Caller, request: &VerifyRequest, call: &Call) -> Result<Verified, Error> {
    let attempt = match (request.challenge_id.as_str(), caller.user()) {
        ("", None) => return Err(Refusal::ChallengeExpired.into()),
        ("", Some(user)) => {
            let enrolled_by_code = [Method::Totp, Method::Phone];
            let methods = request.method.as_ref().map_or(enrolled_by_code.as_slice(), std::slice::from_ref);
            kit.take_enrolment(user, methods, call).await?
        }
        (challenge_id, _) => kit.take_attempt(challenge_id, call).await?,
    };
    let judged = judge(kit, caller, request, &attempt, call).await;
    let signed_in = !matches!(caller, Caller::Anonymous);
    kit.settle(&attempt, judged, signed_in).await
}

async fn judge(
    kit: &Kit,
    caller: &Caller,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Verified, Stop> {
    challenge::admit(&attempt.challenge, caller).map_err(Stop::NotJudged)?;
    let code = Code { input: &request.code, method: request.method };
    match &attempt.challenge.subject {
        Subject::Login { .. } => login(kit, prove(kit, attempt, &code, call).await?, call).await,
        Subject::StepUp { session, .. } => step_up(kit, prove(kit, attempt, &code, call).await?, *session, call).await,
        Subject::Enrolment(pending) => confirm(kit, pending, request, attempt, call).await,
        // SetPassword answers these, and nothing answers those.
        Subject::PasswordReset { .. } | Subject::EnrolmentToken => Err(Stop::NotJudged(Refusal::ChallengeExpired)),
    }
}

async fn login(kit: &Kit, proven: Proven, call: &Call) -> Result<Verified, Stop> {
    let event = proven.event(EventKind::LoginSuccess, call)?;
    let Proven { tx, account, factors, method } = proven;
    let proof = Proof { auth_time: call.now, amr: Amr::password().with(factor::of(method).amr()), acr: Acr::Two };
    let (session, refresh) = kit.open_session(&tx, account.id, proof, call).await?;
    tx.record(&event.session(session.id), call.now).await?;
    tx.commit().await?;
    let tokens = kit.tokens(&session, account.role, Some(refresh.to_text()), call)?;
    verified(kit, Purpose::Login, tokens, account.role, &factors, method)
}

async fn step_up(kit: &Kit, proven: Proven, session: SessionId, call: &Call) -> Result<Verified, Stop> {
    let event = proven.event(EventKind::StepUp, call)?;
    let Proven { tx, account, factors, method } = proven;
    let live = tx.find_live_session(session).await?.filter(|live| live.session.is_alive(call.now));
    let Some(mut live) = live else {
        return Err(Stop::NotJudged(Refusal::Unauthenticated));
    };
    let amr = live.session.proof.amr.with(factor::of(method).amr());
    live.session.proof = Proof { auth_time: call.now, amr, acr: Acr::Two };
    if tx.save_proof(session, &live.session.proof).await? == Swap::Stale {
        return Err(Stop::NotJudged(Refusal::Unauthenticated));
    }
    tx.record(&event.session(session), call.now).await?;
    tx.commit().await?;
    let tokens = kit.tokens(&live.session, account.role, None, call)?;
    verified(kit, Purpose::StepUp, tokens, account.role, &factors, method)
}

async fn confirm(
    kit: &Kit,
    pending: &PendingEnrolment,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Verified, Stop> {
    let confirmed = enrolment::confirm(kit, pending, request, attempt, call).await?;
    Ok(Verified {
        purpose: Purpose::Enrolment,
        tokens: confirmed.tokens,
        backup_codes_remaining: confirmed.backup_codes_remaining,
        backup_codes: confirmed.backup_codes,
        is_led_on: false,
    })
}

fn verified(
    kit: &Kit,
    purpose: Purpose,
    tokens: Tokens,
    role: Role,
    factors: &[EnrolledFactor],
    method: Method,
) -> Result<Verified, Stop> {
    // The factors were read before the code was used up.
    let used_now = u32::from(method == Method::BackupCode);
    let backup_codes_remaining = backup_codes_remaining(factors)?.saturating_sub(used_now);
    let is_led_on = policy::is_led_on(&kit.settings(), role, &methods(factors), kit.sms.is_some());
    Ok(Verified { purpose, tokens, backup_codes: Vec::new(), backup_codes_remaining, is_led_on })
}

/// How many backup codes are left among these factors.
pub(super) fn backup_codes_remaining(factors: &[EnrolledFactor]) -> Result<u32, Error> {
    let set = factors.iter().find(|factor| factor.method == Method::BackupCode);
    set.map_or(Ok(0), backup_code::remaining)
}
