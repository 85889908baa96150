//! A code that completes a sign-in. In all seven statements.

use super::{Attempt, Outcome, VerifyRequest, is_open_for, pay, record_lost};
use crate::{
    error::Error,
    factor::{self, Verdict},
    flow::{Call, Kit},
    model::{Acr, Amr, EnrolledFactor, Event, EventKind, FailureKey, Method, Proof, UserId},
    store::Tx,
    swap::Swap,
};

pub(super) async fn judge(
    kit: &Kit,
    user: UserId,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Outcome, Error> {
    let method = request.method.unwrap_or(Method::Totp);
    let key = FailureKey::Method(method);
    let tx = match pay(kit, kit.store.begin().await?, attempt, key, call).await? {
        Ok(tx) => tx,
        Err(outcome) => return Ok(outcome),
    };
    let Some((account, factors)) = tx.lock_account_with_factors(user).await? else {
        return Ok(Outcome::Over);
    };
    if !is_open_for(attempt, &account) {
        return Ok(Outcome::Over);
    }
    let of_method: Vec<_> = factors.iter().filter(|factor| factor.method == method).collect();
    match judge_all(&of_method, &request.code, call)? {
        None => refuse(tx, EventKind::CodeFail, user, method, call).await,
        Some((_, Verdict::Wrong)) => refuse(tx, EventKind::CodeFail, user, method, call).await,
        Some((_, Verdict::Replay)) => replay(tx, user, method, call).await,
        Some((factor, Verdict::Right { spent })) => {
            if tx.advance_spent(factor.id, spent, call.now).await? == Swap::Stale {
                return replay(tx, user, method, call).await;
            }
            if tx.spend_challenge(&attempt.taken.hash, attempt.taken.end_time).await? == Swap::Stale {
                return record_lost(kit, tx, user, method, call).await;
            }
            tx.clear_failures(user, key).await?;
            let amr = Amr::password().with(factor::of(method).amr());
            let proof = Proof { auth_time: call.now, amr, acr: Acr::Two };
            let (session, refresh) = kit.open_session(&tx, user, proof, call).await?;
            let event = Event::of(EventKind::LoginSuccess, user, &call.origin).session(session.id).method(method);
            tx.record(&event, call.now).await?;
            tx.commit().await?;
            Ok(Outcome::Right(kit.tokens(&session, account.role, Some(refresh.to_text()), call)?))
        }
    }
}

/// The best that any factor of the method says of the code. All are asked, so that the time does not tell which one fits.
fn judge_all<'a>(
    factors: &[&'a EnrolledFactor],
    code: &str,
    call: &Call,
) -> Result<Option<(&'a EnrolledFactor, Verdict)>, Error> {
    let mut best = None;
    for &factor in factors {
        let verdict = factor::of(factor.method).judge(code, &factor.data, factor.spent, call.now)?;
        best = match (best, verdict) {
            (Some((known, Verdict::Right { spent })), _) => Some((known, Verdict::Right { spent })),
            (Some((known, Verdict::Replay)), Verdict::Wrong | Verdict::Replay) => Some((known, Verdict::Replay)),
            (Some(_) | None, verdict) => Some((factor, verdict)),
        };
    }
    Ok(best)
}

async fn refuse(tx: Tx, kind: EventKind, user: UserId, method: Method, call: &Call) -> Result<Outcome, Error> {
    let event = Event::of(kind, user, &call.origin).method(method).reason("INVALID_CODE");
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(Outcome::Refused)
}

/// A right code that is used up costs the challenge an attempt, but a double click must not lock an honest user.
async fn replay(tx: Tx, user: UserId, method: Method, call: &Call) -> Result<Outcome, Error> {
    tx.refund_failure(user, FailureKey::Method(method)).await?;
    refuse(tx, EventKind::Replay, user, method, call).await
}
