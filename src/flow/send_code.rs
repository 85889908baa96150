//! Sends a code by text message for a challenge: places are paid, the code is put beside the challenge, the message is handed over.

mod delivery;
mod tolls;

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};
use tracing::Span;

pub use delivery::{Letters, Outbox, deliver};

pub(super) use tolls::{Tolls, budget_hash, owner};

use self::{delivery::Letter, tolls::Payer};
use super::{Call, Kit, OpenChallenge, again::again, prove::is_over};
use crate::{
    challenge,
    clock::Timestamp,
    ephemeral::{EntryHash, Shelf},
    error::{Error, Refusal},
    factor::phone,
    limit,
    model::{
        Caller, EnrolledFactor, FactorData, FailureKey, Method, Offer, Opener, SentCode, SessionId, Subject, UserId,
    },
    sms::Outcome,
    swap::Swap,
};

/// Whoever asks for a code is told what became of it.
const PATIENCE: Duration = Duration::from_secs(4);
/// A sign-in does not wait so long: the message goes on without it.
const SIGN_IN_PATIENCE: Duration = Duration::from_secs(2);

const ENROLLED: FailureKey = FailureKey::Method(Method::Phone);
const ENROLMENT: FailureKey = FailureKey::Enrolment(Method::Phone);

/// A code that was sent.
pub struct Sent {
    /// The number, masked.
    pub masked_number: String,
    /// When the code ends.
    pub end_time: Timestamp,
    /// When another one can be asked for; None = this was the last.
    pub next_time: Option<Timestamp>,
}

/// What a code is sent for, and where.
pub(super) struct Target<'a> {
    pub(super) shelf: Shelf,
    pub(super) hash: EntryHash,
    pub(super) end_time: Timestamp,
    pub(super) user: UserId,
    pub(super) session: Option<SessionId>,
    pub(super) phone: &'a FactorData,
    /// What wrong codes are counted under: an enrolled phone's, or that of one which is to be.
    pub(super) key: FailureKey,
}

/// Sends a code for a challenge that a caller names, or for their pending enrolment of a phone.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn send_code(kit: &Kit, caller: &Caller, challenge_id: &str, call: &Call) -> Result<Sent, Error> {
    let attempt = match (challenge_id, caller.user()) {
        ("", None) => return Err(Refusal::ChallengeExpired.into()),
        ("", Some(user)) => {
            let attempt = kit.take_enrolment(user, &[Method::Phone], call).await?;
            // Asking for a code is no attempt.
            kit.ephemeral.give_back(attempt.shelf, attempt.taken.hash).await?;
            attempt
        }
        (challenge_id, _) => kit.look(challenge_id, call).await?,
    };
    challenge::admit(&attempt.challenge, caller)?;
    if is_over(kit, &attempt).await? {
        return Err(Refusal::ChallengeExpired.into());
    }
    if kit.sms.is_none() {
        return Err(Refusal::SmsNotConfigured.into());
    }
    let user = attempt.challenge.user;
    let factors = kit.store.factors(user).await?;
    let (phone, session) = match &attempt.challenge.subject {
        Subject::Enrolment(pending) if pending.method == Method::Phone => {
            let session = match pending.opener {
                Opener::Session(session) => Some(session),
                Opener::EnrolmentToken(_) => None,
            };
            (Some(&pending.data), session)
        }
        Subject::StepUp { session, offers } => (enrolled(&factors, offers), Some(*session)),
        Subject::Login { offers } | Subject::PasswordReset { offers, .. } => (enrolled(&factors, offers), None),
        Subject::Enrolment(_) | Subject::EnrolmentToken => (None, None),
    };
    let phone = phone.ok_or(Refusal::TwoFaNotEnabled)?;
    let key = if matches!(attempt.challenge.subject, Subject::Enrolment(_)) { ENROLMENT } else { ENROLLED };
    let (hash, end_time) = (attempt.taken.hash, attempt.taken.end_time);
    let target = Target { shelf: attempt.shelf, hash, end_time, user, session, phone, key };
    send(kit, &target, call).await
}

/// The phone of an account, where the challenge is answered by it.
fn enrolled<'a>(factors: &'a [EnrolledFactor], offers: &[Offer]) -> Option<&'a FactorData> {
    let is_offered = offers.iter().any(|offer| offer.method == Method::Phone);
    factors.iter().find(|factor| factor.method == Method::Phone && is_offered).map(|factor| &factor.data)
}

/// Sends a code, and waits for what becomes of it.
pub(super) async fn send(kit: &Kit, target: &Target<'_>, call: &Call) -> Result<Sent, Error> {
    let (sent, outcome) = dispatch(kit, target, call).await?;
    match timeout(PATIENCE, outcome).await {
        Ok(Ok(Outcome::Taken)) => Ok(sent),
        Ok(Ok(Outcome::Refused | Outcome::Unknown) | Err(_)) | Err(_) => Err(Refusal::SmsDeliveryFailed.into()),
    }
}

/// Sends the code of a challenge that was just opened, where a phone is what answers it first. Whatever becomes of it, the
/// challenge stands.
pub(super) async fn send_at_once(
    kit: &Kit,
    challenge: &mut OpenChallenge,
    user: UserId,
    session: Option<SessionId>,
    factors: &[EnrolledFactor],
    call: &Call,
) {
    let phone = factors.iter().find(|factor| factor.method == Method::Phone).map(|factor| &factor.data);
    let Some(phone) = phone.filter(|_| challenge.methods.first() == Some(&Method::Phone)) else {
        return;
    };
    let (shelf, hash) = (challenge.handle.shelf(), challenge.handle.hash());
    let target = Target { shelf, hash, end_time: challenge.end_time, user, session, phone, key: ENROLLED };
    let dispatched = dispatch(kit, &target, call).await;
    match dispatched {
        Ok((sent, outcome)) => match timeout(SIGN_IN_PATIENCE, outcome).await {
            // Still under way: it may arrive any moment.
            Ok(Ok(Outcome::Taken)) | Err(_) => challenge.masked_number = Some(sent.masked_number),
            Ok(Ok(Outcome::Refused | Outcome::Unknown) | Err(_)) => {}
        },
        Err(Error::Refused(refusal)) => tracing::info!(reason = refusal.reason(), "no code was sent with a challenge"),
        Err(Error::Broken(fault)) => tracing::warn!(?fault, "no code was sent with a challenge"),
    }
}

/// Pays for a message, puts its code beside the challenge, and puts it into the outbox.
async fn dispatch(kit: &Kit, target: &Target<'_>, call: &Call) -> Result<(Sent, oneshot::Receiver<Outcome>), Error> {
    if target.phone.is_damaged() {
        return Err(Refusal::SmsDeliveryFailed.into());
    }
    let number = phone::number(target.phone)?;
    let sms = kit.sms.as_ref().filter(|sms| sms.serves_number(&number)).ok_or(Refusal::SmsNotConfigured)?;
    // A code that would not be judged is not sent.
    let locked_until = kit.store.locked_until(target.user, target.key).await?.filter(|until| *until > call.now);
    if let Some(until) = locked_until {
        return Err(Refusal::RateLimited { retry_after: limit::wait(until, call.now) }.into());
    }
    let code = phone::new_code(target.phone)?;
    let hash = challenge::code_hash(&kit.ring, &target.hash, code.expose())?;
    let end_time = call.now.plus(kit.settings().sms_code_life).min(target.end_time);
    let tolls = Tolls::of(kit, target.user, &target.hash, &number, matches!(target.key, FailureKey::Enrolment(_)))?;
    let payer =
        Payer { user: target.user, session: target.session, challenge_end: target.end_time, origin: &call.origin };
    let paid = again(|| tolls.pay(kit, sms, payer, call)).await?;
    let windows = tolls.unanswered_windows(&paid);
    let beside = SentCode { hash, number: number.fingerprint(), end_time, windows };
    if let Err(error) = put_beside(kit, target, &beside, call).await {
        tolls.refund(kit, &paid).await?;
        return Err(error);
    }
    let next_time = tolls.next(&paid, target.end_time);
    let sent = Sent { masked_number: number.masked(), end_time, next_time };
    let (answer, outcome) = oneshot::channel();
    let letter = Letter {
        to: number,
        code,
        tolls,
        paid,
        answer,
        request_id: call.origin.request_id.clone(),
        span: Span::current(),
    };
    if let Err(letter) = kit.outbox.put(letter) {
        tracing::warn!("too many text messages are under way; one was not sent");
        letter.tolls.refund(kit, &letter.paid).await?;
        return Err(Refusal::SmsDeliveryFailed.into());
    }
    Ok((sent, outcome))
}

async fn put_beside(kit: &Kit, target: &Target<'_>, code: &SentCode, call: &Call) -> Result<(), Error> {
    let sealed = challenge::seal_code(&kit.ring, &target.shelf, &target.hash, code)?;
    match kit.ephemeral.save_code(target.shelf, target.hash, &sealed, call.now).await? {
        Swap::Done => Ok(()),
        Swap::Stale => Err(Refusal::ChallengeExpired.into()),
    }
}
