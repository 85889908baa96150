//! Judges a code of an enrolled factor, and leaves the transaction open for what the code is good for. The one place where that
//! is done.
//!
//! The order is what keeps it safe: a failure is paid before the code is looked at, and what the code stands for is used up by
//! one conditional statement of the same transaction.

use super::{
    Call, Kit,
    attempt::{Attempt, Stop, without_challenge},
    send_code::Tolls,
    verify::backup_codes_remaining,
};
use crate::{
    challenge,
    error::{self, Error, Refusal},
    factor::{self, Answer, Stretch, Verdict, phone},
    hash::Queue,
    limit,
    model::{
        Account, Caller, EnrolledFactor, Event, EventKind, FailureKey, Method, Offer, Principal, Spend, Subject, UserId,
    },
    policy,
    secret::Secret,
    store::Tx,
    swap::Swap,
};

/// A code, and which method it is of.
pub(super) struct Code<'a> {
    /// As the user typed it.
    pub(super) input: &'a str,
    /// The method; None = told from the code.
    pub(super) method: Option<Method>,
}

/// A right code, and the open transaction in which it is used up.
pub(super) struct Proven {
    pub(super) tx: Tx,
    pub(super) account: Account,
    pub(super) factors: Vec<EnrolledFactor>,
    pub(super) method: Method,
}

impl Proven {
    /// A record of the code: with a backup code it says how many are left.
    pub(super) fn event<'a>(&self, kind: EventKind, call: &'a Call) -> Result<Event<'a>, Error> {
        let event = Event::of(kind, self.account.id, &call.origin).method(self.method);
        if self.method != Method::BackupCode {
            return Ok(event);
        }
        // The factors were read before the code was used up.
        let left = backup_codes_remaining(&self.factors)?.saturating_sub(1);
        Ok(Event { count: Some(i64::from(left)), ..event })
    }
}

/// Judges a code that answers a challenge.
pub(super) async fn prove(kit: &Kit, attempt: &Attempt, code: &Code<'_>, call: &Call) -> Result<Proven, Stop> {
    let challenge = &attempt.challenge;
    let Some(method) = factor::choose(code.method, code.input, challenge.subject.offers(), attempt.sent.is_some())
    else {
        if is_over(kit, attempt).await? {
            return Err(Stop::Over);
        }
        return refuse_misfit(kit, challenge.user, call).await;
    };
    judge(kit, challenge.user, method, code.input, Some(attempt), call).await
}

/// Judges a code that comes in a call, for no challenge.
async fn prove_directly(kit: &Kit, user: UserId, input: &str, call: &Call) -> Result<Proven, Stop> {
    let offers = kit.offers(&kit.store.factors(user).await?)?;
    // Nothing is judged and nothing is paid, so there is nothing to be recorded either.
    let Some(method) = factor::choose(None, input, &offers, false) else {
        return Err(Stop::Refused);
    };
    judge(kit, user, method, input, None, call).await
}

async fn judge(
    kit: &Kit,
    user: UserId,
    method: Method,
    input: &str,
    attempt: Option<&Attempt>,
    call: &Call,
) -> Result<Proven, Stop> {
    let key = FailureKey::Method(method);
    let answer = answer(kit, user, method, input, attempt, call).await?;
    let tx = pay(kit, kit.store.begin().await?, user, key, attempt, call).await?;
    let Some((account, factors)) = tx.lock_account_with_factors(user).await? else {
        return Err(Stop::Over);
    };
    if account.blocked || attempt.is_some_and(|attempt| !challenge::is_open_for(&attempt.challenge, &account)) {
        return Err(Stop::Over);
    }
    match judge_all(&factors, method, &answer, call)? {
        None => {
            record_lock(&tx, user, key, method, call).await?;
            refuse(tx, EventKind::CodeFail, user, Some(method), call).await
        }
        Some((_, None)) => replay(tx, user, method, call).await,
        Some((factor, Some(spend))) => {
            if tx.spend_factor(factor.id, spend, call.now).await? == Swap::Stale {
                return replay(tx, user, method, call).await;
            }
            if let Some(attempt) = attempt
                && tx.spend_challenge(&attempt.taken.hash, challenge::remembered_until(attempt.taken.end_time)).await?
                    == Swap::Stale
            {
                return record_lost(kit, tx, user, method, call).await;
            }
            tx.clear_failures(user, key).await?;
            if method == Method::Phone
                && let Some(attempt) = attempt
                && let Some(sent) = &attempt.sent
            {
                let number = phone::number(&factor.data)?;
                Tolls::of(kit, user, &attempt.taken.hash, &number, false)?.answered(&tx, sent.windows).await?;
            }
            Ok(Proven { tx, account, factors, method })
        }
    }
}

/// The code as its factor wants to have it. What must be hashed is hashed before the transaction, and only while it would be
/// judged: a lock costs the attacker's calls no hash.
async fn answer(
    kit: &Kit,
    user: UserId,
    method: Method,
    input: &str,
    attempt: Option<&Attempt>,
    call: &Call,
) -> Result<Answer, Stop> {
    match (method, attempt) {
        (Method::Phone, Some(attempt)) => {
            return Ok(of_phone(kit, attempt, input, attempt.challenge.subject.offers())?);
        }
        (Method::Totp | Method::Phone, _) => {
            return Ok(Answer { input: Secret::new(input.to_owned()), hash: None, sent: None });
        }
        (Method::BackupCode, _) => {}
    }
    let input = Secret::new(input.to_owned());
    let key = FailureKey::Method(method);
    let locked_until = kit.store.locked_until(user, key).await?;
    if locked_until.is_some_and(|until| until > call.now) {
        return Err(why_not_judged(kit, user, key, attempt, call).await?);
    }
    let factors = kit.store.factors(user).await?;
    let set = factors.iter().find(|factor| factor.method == method && !factor.data.is_damaged());
    let stretch = set.map(|set| factor::of(method).stretch(input.expose(), &set.data)).transpose()?.flatten();
    let hash = match stretch {
        None => None,
        Some(Stretch { text, salt }) => kit.hasher.digests(Queue::SecondFactor, vec![text], salt).await?.pop(),
    };
    Ok(Answer { input, hash, sent: None })
}

/// A code of a phone, hashed as the one that was sent for the challenge.
pub(super) fn of_phone(kit: &Kit, attempt: &Attempt, input: &str, offers: &[Offer]) -> Result<Answer, Error> {
    let length = offers.iter().find(|offer| offer.method == Method::Phone).map_or(0, |offer| offer.length);
    let code = phone::canonical(input, length);
    let hash = challenge::code_hash(&kit.ring, &attempt.taken.hash, code.expose())?;
    Ok(Answer { input: code, hash: Some(hash), sent: attempt.sent.clone() })
}

/// Counts a failure before the code is looked at.
pub(super) async fn pay(
    kit: &Kit,
    tx: Tx,
    user: UserId,
    key: FailureKey,
    attempt: Option<&Attempt>,
    call: &Call,
) -> Result<Tx, Stop> {
    let rungs = limit::second_factor_rungs(key, call.now);
    let challenge = attempt.map(|attempt| &attempt.taken.hash);
    match tx.pay_failure(user, key, challenge, &rungs, call.now).await? {
        Swap::Done => Ok(tx),
        Swap::Stale => {
            tx.roll_back().await?;
            Err(why_not_judged(kit, user, key, attempt, call).await?)
        }
    }
}

/// A challenge that is over is told of before a wait is.
async fn why_not_judged(
    kit: &Kit,
    user: UserId,
    key: FailureKey,
    attempt: Option<&Attempt>,
    call: &Call,
) -> Result<Stop, Error> {
    if let Some(attempt) = attempt
        && is_over(kit, attempt).await?
    {
        return Ok(Stop::Over);
    }
    let locked_until = kit.store.locked_until(user, key).await?;
    let retry_after = locked_until.and_then(|until| limit::wait(until, call.now));
    Ok(Stop::NotJudged(Refusal::RateLimited { retry_after }))
}

/// Whether a challenge is spent, or something has happened to the account that ends its challenges.
pub(super) async fn is_over(kit: &Kit, attempt: &Attempt) -> Result<bool, Error> {
    let account = kit.store.find_account(attempt.challenge.user).await?;
    let is_open = account.is_some_and(|account| challenge::is_open_for(&attempt.challenge, &account));
    Ok(!is_open || kit.store.is_spent(&attempt.taken.hash).await?)
}

/// The best that any factor of the method says of the code: None = wrong for all, (factor, None) = a replay. All are asked, so
/// that the time does not tell which one fits.
fn judge_all<'a>(
    factors: &'a [EnrolledFactor],
    method: Method,
    answer: &Answer,
    call: &Call,
) -> Result<Option<(&'a EnrolledFactor, Option<Spend>)>, Error> {
    let mut best: Option<(&EnrolledFactor, Option<Spend>)> = None;
    for factor in factors.iter().filter(|factor| factor.method == method && !factor.data.is_damaged()) {
        let verdict = factor::of(method).judge(answer, &factor.data, factor.spent, call.now)?;
        best = match (best, verdict) {
            (Some((known, Some(spend))), _) => Some((known, Some(spend))),
            (_, Verdict::Right { spend }) => Some((factor, Some(spend))),
            (_, Verdict::Replay) => Some((factor, None)),
            (best, Verdict::Wrong) => best,
        };
    }
    Ok(best)
}

/// A wrong code that locks its method is worth a record of its own: whoever watches the log sees the guessing.
pub(super) async fn record_lock(
    tx: &Tx,
    user: UserId,
    key: FailureKey,
    method: Method,
    call: &Call,
) -> Result<(), Error> {
    let Some((failures, until)) = tx.failures(user, key).await? else {
        return Ok(());
    };
    if until <= call.now {
        return Ok(());
    }
    let event = Event::of(EventKind::LoginLock, user, &call.origin).method(method).reason("INVALID_CODE");
    tx.record(&Event { count: Some(failures), ..event }, call.now).await
}

pub(super) async fn refuse<T>(
    tx: Tx,
    kind: EventKind,
    user: UserId,
    method: Option<Method>,
    call: &Call,
) -> Result<T, Stop> {
    let event = Event { method, ..Event::of(kind, user, &call.origin).reason("INVALID_CODE") };
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Err(Stop::Refused)
}

/// Input that has the form of nothing that the user has costs the challenge an attempt, and no method a failure.
async fn refuse_misfit<T>(kit: &Kit, user: UserId, call: &Call) -> Result<T, Stop> {
    refuse(kit.store.begin().await?, EventKind::CodeFail, user, None, call).await
}

/// A right code that is used up costs the challenge an attempt, but a double click must not lock an honest user.
async fn replay<T>(tx: Tx, user: UserId, method: Method, call: &Call) -> Result<T, Stop> {
    tx.refund_failure(user, FailureKey::Method(method)).await?;
    refuse(tx, EventKind::Replay, user, Some(method), call).await
}

/// A right code came to a challenge that somebody else had spent a moment before. Nothing of the judgement is kept but this.
pub(super) async fn record_lost<T>(kit: &Kit, tx: Tx, user: UserId, method: Method, call: &Call) -> Result<T, Stop> {
    tx.roll_back().await?;
    let tx = kit.store.begin().await?;
    let event = Event::of(EventKind::CodeFail, user, &call.origin).method(method).reason("CHALLENGE_EXPIRED");
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Err(Stop::Over)
}

fn stale() -> Refusal {
    Refusal::StepUpRequired { what: error::Proof::SecondFactor, max_age: Some(policy::STEP_UP_AGE) }
}

/// A proof that may come in a call, in place of a fresh one.
pub struct InCall {
    /// The code; may be empty.
    pub code: String,
    /// The step-up challenge that it answers; may be empty.
    pub challenge_id: String,
}

impl InCall {
    /// Refuses a code that `prove` would refuse for a wait, so that nobody has a new password hashed for it.
    pub(super) async fn check(&self, kit: &Kit, principal: &Principal, call: &Call) -> Result<(), Error> {
        let offers = kit.offers(&kit.store.factors(principal.user).await?)?;
        let Some(method) = factor::choose(None, &self.code, &offers, false) else {
            return Ok(());
        };
        let locked_until = kit.store.locked_until(principal.user, FailureKey::Method(method)).await?;
        match locked_until.filter(|until| *until > call.now) {
            Some(until) => Err(Refusal::RateLimited { retry_after: limit::wait(until, call.now) }.into()),
            None => Ok(()),
        }
    }

    /// Judges the code of the call if there is one; else the session must be proven as the rpc asks. Either way answers the open
    /// transaction for what is to be done, with the account and its factors locked, in a session that lives. A right code is used
    /// up and recorded in it: whatever is refused from here on, commit.
    pub(super) async fn prove(
        &self,
        kit: &Kit,
        principal: &Principal,
        call: &Call,
    ) -> Result<(Tx, Account, Vec<EnrolledFactor>), Error> {
        let (tx, account) = if self.code.is_empty() {
            if !principal.is_assured {
                return Err(stale().into());
            }
            let tx = kit.store.begin().await?;
            let account = tx.lock_account(principal.user).await?.filter(|account| !account.blocked);
            (tx, account.ok_or(Refusal::Unauthenticated)?)
        } else {
            let proven = self.judge(kit, principal, call).await?;
            let event = proven.event(EventKind::CodeSuccess, call)?.session(principal.session);
            proven.tx.record(&event, call.now).await?;
            (proven.tx, proven.account)
        };
        must_live(&tx, principal, call).await?;
        // Again, behind the lock: one may have been added while it was waited for.
        let factors = tx.factors(principal.user).await?;
        Ok((tx, account, factors))
    }

    /// Judges the code of the call.
    async fn judge(&self, kit: &Kit, principal: &Principal, call: &Call) -> Result<Proven, Error> {
        if self.challenge_id.is_empty() {
            return without_challenge(prove_directly(kit, principal.user, &self.code, call).await);
        }
        let attempt = kit.take_attempt(&self.challenge_id, call).await?;
        let admitted = challenge::admit(&attempt.challenge, &Caller::User(principal.clone()));
        let is_step_up = matches!(attempt.challenge.subject, Subject::StepUp { .. });
        let judged = match admitted {
            Ok(()) if is_step_up => prove(kit, &attempt, &Code { input: &self.code, method: None }, call).await,
            Ok(()) | Err(_) => Err(Stop::NotJudged(Refusal::ChallengeExpired)),
        };
        match judged {
            // Spent in the transaction that is still open; here it stays until it ends, and opens nothing.
            Ok(proven) => Ok(proven),
            Err(stop) => kit.settle(&attempt, Err(stop), true).await,
        }
    }
}

/// Refuses a session that has ended since the call was let in.
pub(super) async fn must_live(tx: &Tx, principal: &Principal, call: &Call) -> Result<(), Error> {
    let live = tx.find_live_session(principal.session).await?;
    let lives = live.is_some_and(|live| live.session.is_alive(call.now) && !live.blocked);
    if lives { Ok(()) } else { Err(Refusal::Unauthenticated.into()) }
}
