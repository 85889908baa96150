//! Answers a challenge with a code: completes a sign-in or confirms an enrolment.
//!
//! The order is what keeps it safe: an attempt of the challenge is taken, and a failure is paid, before the code is looked at;
//! and one transaction uses the code up, spends the challenge, opens the session and writes the audit row.

mod enrolment;
mod login;

use super::{Call, Kit, Tokens};
use crate::{
    challenge,
    ephemeral::{Shelf, Taken},
    error::{Error, Refusal},
    limit,
    model::{Account, Challenge, ChallengeId, Event, EventKind, FailureKey, Method, Principal, Purpose, UserId},
    store::Tx,
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
}

/// A challenge of which an attempt is taken.
struct Attempt {
    shelf: Shelf,
    taken: Taken,
    challenge: Challenge,
}

/// How the judging of a code ended.
enum Outcome {
    /// It was right, and all that follows from it is committed.
    Right(Tokens),
    /// It was judged and is refused; the failure is committed.
    Refused,
    /// It was not judged, and the attempt goes back.
    NotJudged(Refusal),
    /// The challenge is over.
    Over,
}

/// Answers a challenge.
pub async fn verify(
    kit: &Kit,
    caller: Option<&Principal>,
    request: &VerifyRequest,
    call: &Call,
) -> Result<Verified, Error> {
    let attempt = take_attempt(kit, caller, request, call).await?;
    let purpose = attempt.challenge.purpose();
    let outcome = match challenge::admit(&attempt.challenge, caller) {
        Err(refusal) => Ok(Outcome::NotJudged(refusal)),
        Ok(()) => judge(kit, caller, request, &attempt, call).await,
    };
    let (shelf, hash) = (attempt.shelf, attempt.taken.hash);
    match outcome {
        Ok(Outcome::Right(tokens)) => {
            // It is spent in the database: should it stay behind here, it opens nothing.
            if let Err(fault) = kit.ephemeral.close(shelf, hash).await {
                tracing::warn!(?fault, "a spent challenge stays in the ephemeral store until it ends");
            }
            Ok(Verified { purpose, tokens })
        }
        Ok(Outcome::Refused) => Err(Refusal::InvalidCode { signed_in: caller.is_some() }.into()),
        Ok(Outcome::Over) => {
            kit.ephemeral.close(shelf, hash).await?;
            Err(Refusal::ChallengeExpired.into())
        }
        Ok(Outcome::NotJudged(refusal)) => {
            kit.ephemeral.give_back(shelf, hash).await?;
            Err(refusal.into())
        }
        Err(fault) => {
            // Nothing was answered, so nothing is lost to the user. Whether the failure was counted is the database's.
            if let Err(second) = kit.ephemeral.give_back(shelf, hash).await {
                tracing::warn!(?second, "an attempt could not be given back");
            }
            Err(fault)
        }
    }
}

/// Finds the challenge that the code answers and takes one attempt of it.
async fn take_attempt(
    kit: &Kit,
    caller: Option<&Principal>,
    request: &VerifyRequest,
    call: &Call,
) -> Result<Attempt, Error> {
    let (shelf, taken) = match (request.challenge_id.as_str(), caller) {
        ("", None) => return Err(Refusal::ChallengeExpired.into()),
        ("", Some(caller)) => {
            let shelf = challenge::shelf(&kit.ring, caller.user)?;
            let kind = challenge::enrolment(request.method.unwrap_or(Method::Totp));
            (shelf, kit.ephemeral.take_newest(shelf, kind, call.now).await?)
        }
        (text, _) => {
            let id = ChallengeId::parse(text).ok_or(Refusal::ChallengeExpired)?;
            (id.shelf(), kit.ephemeral.take(id.shelf(), id.hash(), call.now).await?)
        }
    };
    let taken = taken.ok_or(Refusal::ChallengeExpired)?;
    let challenge = challenge::open(&kit.ring, &shelf, &taken.hash, &taken.sealed)?;
    Ok(Attempt { shelf, taken, challenge })
}

async fn judge(
    kit: &Kit,
    caller: Option<&Principal>,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Outcome, Error> {
    match (&attempt.challenge, caller) {
        (Challenge::Login { user, .. }, _) => login::judge(kit, *user, request, attempt, call).await,
        (Challenge::Enrolment(pending), Some(caller)) => {
            enrolment::judge(kit, pending, caller, request, attempt, call).await
        }
        (Challenge::Enrolment(_), None) => Ok(Outcome::NotJudged(Refusal::ChallengeExpired)),
    }
}

/// Counts a failure before the code is looked at; Err = it will not be looked at.
async fn pay(kit: &Kit, tx: Tx, attempt: &Attempt, key: FailureKey, call: &Call) -> Result<Result<Tx, Outcome>, Error> {
    let user = attempt.challenge.user();
    let rungs = limit::second_factor_rungs(key, call.now);
    match tx.pay_failure(user, key, Some(&attempt.taken.hash), &rungs, call.now).await? {
        Swap::Done => Ok(Ok(tx)),
        Swap::Stale => {
            tx.roll_back().await?;
            why_not_judged(kit, attempt, key, call).await.map(Err)
        }
    }
}

/// A challenge that is over is told of before a wait is.
async fn why_not_judged(kit: &Kit, attempt: &Attempt, key: FailureKey, call: &Call) -> Result<Outcome, Error> {
    let user = attempt.challenge.user();
    let account = kit.store.find_account(user).await?;
    let is_open = account.is_some_and(|account| is_open_for(attempt, &account));
    if !is_open || kit.store.is_spent(&attempt.taken.hash).await? {
        return Ok(Outcome::Over);
    }
    let locked_until = kit.store.locked_until(user, key).await?;
    let retry_after = locked_until.and_then(|until| limit::wait(until, call.now));
    Ok(Outcome::NotJudged(Refusal::RateLimited { retry_after }))
}

/// Whether nothing has happened to the account that ends its challenges.
fn is_open_for(attempt: &Attempt, account: &Account) -> bool {
    !account.blocked && account.security_version == attempt.challenge.security_version()
}

/// A right code came to a challenge that somebody else had spent a moment before. Nothing of the judgement is kept but this.
async fn record_lost(kit: &Kit, tx: Tx, user: UserId, method: Method, call: &Call) -> Result<Outcome, Error> {
    tx.roll_back().await?;
    let tx = kit.store.begin().await?;
    let event = Event::of(EventKind::CodeFail, user, &call.origin).method(method).reason("CHALLENGE_EXPIRED");
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(Outcome::Over)
}
