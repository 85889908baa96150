//! A code that confirms a new factor: from this transaction on, sign-in asks for it.

use super::{Attempt, Outcome, VerifyRequest, is_open_for, pay, record_lost};
use crate::{
    error::{Error, Refusal},
    factor::{self, Verdict},
    flow::{Call, Kit},
    model::{Acr, Event, EventKind, FactorId, FailureKey, LiveSession, NewFactor, PendingEnrolment, Principal, Proof},
    store::Tx,
    swap::Swap,
};

pub(super) async fn judge(
    kit: &Kit,
    pending: &PendingEnrolment,
    caller: &Principal,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Outcome, Error> {
    let (user, method) = (pending.user, pending.method);
    let tx = kit.store.begin().await?;
    // Confirming sets the method's own count back. It is locked first, in the order in which sign-ins take their locks too: own
    // count, count of the enrolment, account.
    tx.touch_failures(user, FailureKey::Method(method)).await?;
    let tx = match pay(kit, tx, attempt, FailureKey::Enrolment(method), call).await? {
        Ok(tx) => tx,
        Err(outcome) => return Ok(outcome),
    };
    let account = tx.lock_account(user).await?;
    if !account.is_some_and(|account| is_open_for(attempt, &account)) {
        return Ok(Outcome::Over);
    }
    let live = tx.find_live_session(caller.session).await?.filter(|live| live.session.is_alive(call.now));
    let Some(live) = live else {
        return Ok(Outcome::NotJudged(Refusal::Unauthenticated));
    };
    let asked_for = request.method.is_none_or(|method| method == pending.method);
    let verdict = factor::of(pending.method).judge(&request.code, &pending.data, 0, call.now)?;
    let Verdict::Right { spent } = verdict else {
        return refuse(tx, pending, call).await;
    };
    if !asked_for {
        return refuse(tx, pending, call).await;
    }
    if tx.spend_challenge(&attempt.taken.hash, attempt.taken.end_time).await? == Swap::Stale {
        return record_lost(kit, tx, user, method, call).await;
    }
    let proof = confirm(&tx, pending, spent, &live, call).await?;
    let Some(proof) = proof else {
        return Ok(Outcome::NotJudged(Refusal::Unauthenticated));
    };
    tx.commit().await?;
    let mut session = live.session;
    session.proof = proof;
    Ok(Outcome::Right(kit.tokens(&session, live.role, None, call)?))
}

/// Adds the factor and lets the session stand as proven by it. None = the session has ended meanwhile.
async fn confirm(
    tx: &Tx,
    pending: &PendingEnrolment,
    spent: i64,
    live: &LiveSession,
    call: &Call,
) -> Result<Option<Proof>, Error> {
    let (user, method, session) = (pending.user, pending.method, live.session.id);
    let is_first = tx.count_factors(user).await? == 0;
    let id = FactorId::new(call.now);
    let new = NewFactor { id, user, method, label: &pending.label, data: &pending.data, spent };
    tx.insert_factor(&new, call.now).await?;
    tx.clear_failures(user, FailureKey::Enrolment(method)).await?;
    tx.clear_failures(user, FailureKey::Method(method)).await?;
    if tx.raise_security_version(user).await? == Swap::Stale {
        return Ok(None);
    }
    if is_first {
        // Whoever got in with the password alone is out.
        tx.delete_sessions(user, Some(session)).await?;
    }
    let amr = live.session.proof.amr.with(factor::of(method).amr());
    let proof = Proof { auth_time: call.now, amr, acr: Acr::Two };
    if tx.save_proof(session, &proof).await? == Swap::Stale {
        return Ok(None);
    }
    let event = Event::of(EventKind::FactorCreated, user, &call.origin).session(session).method(method);
    tx.record(&event, call.now).await?;
    Ok(Some(proof))
}

async fn refuse(tx: Tx, pending: &PendingEnrolment, call: &Call) -> Result<Outcome, Error> {
    let event =
        Event::of(EventKind::CodeFail, pending.user, &call.origin).method(pending.method).reason("INVALID_CODE");
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(Outcome::Refused)
}
