//! A code that confirms a new factor: from this transaction on, sign-in asks for it.

use super::{VerifyRequest, backup_codes_remaining};
use crate::{
    challenge,
    error::{Error, Refusal},
    factor::{
        self, Answer, Verdict,
        backup_code::{self, Set},
        phone,
    },
    flow::{
        Call, Kit, Tokens,
        attempt::{Attempt, Stop},
        enable::has_room,
        prove::{of_phone, pay, record_lock, record_lost, refuse},
        send_code::Tolls,
    },
    model::{
        Account, Acr, Amr, Event, EventKind, FactorId, FailureKey, Method, NewFactor, Offer, Opener, PendingEnrolment,
        Proof, Session, SessionId, Spend, WITH_FACTOR, has_factor,
    },
    policy,
    secret::Secret,
    store::Tx,
    swap::Swap,
};

/// What confirming gives.
pub(super) struct Confirmed {
    pub(super) tokens: Tokens,
    pub(super) backup_codes: Vec<Secret<String>>,
    pub(super) backup_codes_remaining: u32,
}

pub(super) async fn confirm(
    kit: &Kit,
    pending: &PendingEnrolment,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Confirmed, Stop> {
    let (user, method) = (attempt.challenge.user, pending.method);
    if !fits(pending, request)? {
        // Input of no form costs an attempt, and no failure.
        return refuse(kit.store.begin().await?, EventKind::CodeFail, user, None, call).await;
    }
    // It may have been switched off since the enrolment began: then nothing is judged that is not paid for.
    let account = kit.store.find_account(user).await?.ok_or(Stop::Over)?;
    let may_enrol = |role| policy::may_enrol(&kit.settings(), role, method, kit.sms.is_some()).map_err(Stop::NotJudged);
    may_enrol(account.role)?;
    // What is judged is fixed since Enable, so it can be judged out here; what comes of it is told only once it is paid for.
    let spent = judge(kit, pending, request, attempt, call)?;
    let set = match spent {
        Some(_) => first_backup_codes(kit, attempt, method, call).await?,
        None => None,
    };
    let tx = kit.store.begin().await?;
    // Confirming sets other counts back. They are locked first, in the order of every transaction: counts, then the account.
    tx.touch_failures(user, FailureKey::Method(method)).await?;
    tx.touch_failures(user, FailureKey::Method(Method::BackupCode)).await?;
    let tx = pay(kit, tx, user, FailureKey::Enrolment(method), Some(attempt), call).await?;
    let account = tx.lock_account(user).await?.filter(|account| challenge::is_open_for(&attempt.challenge, account));
    let Some(account) = account else {
        return Err(Stop::Over);
    };
    may_enrol(account.role)?;
    let Some(spent) = spent else {
        record_lock(&tx, user, FailureKey::Enrolment(method), method, call).await?;
        return refuse(tx, EventKind::CodeFail, user, Some(method), call).await;
    };
    let factors = tx.factors(user).await?;
    has_room(&factors, method, pending.replaces).map_err(Stop::NotJudged)?;
    if tx.spend_challenge(&attempt.taken.hash, challenge::remembered_until(attempt.taken.end_time)).await?
        == Swap::Stale
    {
        return record_lost(kit, tx, user, method, call).await;
    }
    let is_first = !has_factor(&factors);
    let set = set.filter(|_| is_first);
    add(&tx, &account, pending, spent, set.as_ref(), call).await?;
    if let Some(sent) = attempt.sent.as_ref().filter(|_| method == Method::Phone) {
        let number = phone::number(&pending.data)?;
        if tx.save_phone(user, &number).await? == Swap::Stale {
            return Err(Stop::Over);
        }
        Tolls::of(kit, user, &attempt.taken.hash, &number, true)?.answered(&tx, sent.windows).await?;
    }
    let remaining = match &set {
        Some(set) => u32::try_from(set.codes.len()).unwrap_or(u32::MAX),
        None => backup_codes_remaining(&factors)?,
    };
    let tokens = admit(kit, tx, &account, pending, is_first, call).await?;
    let backup_codes = set.map(|set| set.codes).unwrap_or_default();
    Ok(Confirmed { tokens, backup_codes, backup_codes_remaining: remaining })
}

/// Whether the input has the form of a code of the factor that is pending.
fn fits(pending: &PendingEnrolment, request: &VerifyRequest) -> Result<bool, Error> {
    let length = factor::of(pending.method).code_length(&pending.data)?;
    let asked_for = request.method.is_none_or(|method| method == pending.method);
    Ok(asked_for && factor::of(pending.method).fits(&request.code, length))
}

/// What the code uses up; None = it is wrong.
fn judge(
    kit: &Kit,
    pending: &PendingEnrolment,
    request: &VerifyRequest,
    attempt: &Attempt,
    call: &Call,
) -> Result<Option<i64>, Error> {
    let factor = factor::of(pending.method);
    let answer = match pending.method {
        Method::Phone => {
            let offer = Offer { method: Method::Phone, length: factor.code_length(&pending.data)? };
            of_phone(kit, attempt, &request.code, &[offer])?
        }
        Method::Totp | Method::BackupCode => {
            Answer { input: Secret::new(request.code.clone()), hash: None, sent: None }
        }
    };
    Ok(match factor.judge(&answer, &pending.data, 0, call.now)? {
        Verdict::Right { spend: Spend::UpTo(spent) } => Some(spent),
        Verdict::Right { spend: Spend::Challenge } => Some(0),
        Verdict::Right { spend: Spend::Bit(_) } | Verdict::Wrong | Verdict::Replay => None,
    })
}

/// The backup codes that come with the first factor. Hashing them takes a while, so it is done before the transaction.
async fn first_backup_codes(kit: &Kit, attempt: &Attempt, method: Method, call: &Call) -> Result<Option<Set>, Stop> {
    let user = attempt.challenge.user;
    let has_factor = has_factor(&kit.store.factors(user).await?);
    let locked_until = kit.store.locked_until(user, FailureKey::Enrolment(method)).await?;
    let is_locked = locked_until.is_some_and(|until| until > call.now);
    if has_factor || is_locked || !policy::gives_backup_codes(&kit.settings()) {
        return Ok(None);
    }
    Ok(Some(backup_code::generate(&kit.hasher).await?))
}

/// Adds the factor, and with it the backup codes; takes the one that it replaces away.
async fn add(
    tx: &Tx,
    account: &Account,
    pending: &PendingEnrolment,
    spent: i64,
    set: Option<&Set>,
    call: &Call,
) -> Result<(), Stop> {
    let (user, method) = (account.id, pending.method);
    let session = match pending.opener {
        Opener::Session(session) => Some(session),
        Opener::EnrolmentToken(_) => None,
    };
    let event = |kind| Event { session, ..Event::of(kind, user, &call.origin).method(method) };
    if let Some(replaced) = pending.replaces {
        if tx.delete_factor(user, replaced).await? == Swap::Stale {
            return Err(Stop::NotJudged(Refusal::NotFound));
        }
        tx.record(&event(EventKind::FactorDeleted), call.now).await?;
    }
    let id = FactorId::new(call.now);
    let new = NewFactor { id, user, method, label: &pending.label, data: &pending.data, spent };
    tx.insert_factor(&new, call.now).await?;
    tx.record(&event(EventKind::FactorCreated), call.now).await?;
    if let Some(set) = set {
        tx.clear_failures(user, FailureKey::Method(Method::BackupCode)).await?;
        insert_backup_codes(tx, account, set, session, WITH_FACTOR, call).await?;
    }
    tx.clear_failures(user, FailureKey::Enrolment(method)).await?;
    tx.clear_failures(user, FailureKey::Method(method)).await?;
    if tx.save_enrolment(user, call.now).await? == Swap::Stale {
        return Err(Stop::Over);
    }
    Ok(())
}

/// Puts a set of backup codes in the place of the one before.
pub(in crate::flow) async fn insert_backup_codes(
    tx: &Tx,
    account: &Account,
    set: &Set,
    session: Option<SessionId>,
    note: &str,
    call: &Call,
) -> Result<(), Error> {
    let (user, method) = (account.id, Method::BackupCode);
    tx.delete_factors(user, Some(method)).await?;
    let id = FactorId::new(call.now);
    tx.insert_factor(&NewFactor { id, user, method, label: "", data: &set.data, spent: 0 }, call.now).await?;
    let event = Event::of(EventKind::BackupCodesCreated, user, &call.origin).method(method).note(note);
    tx.record(&Event { session, ..event }, call.now).await
}

/// Lets the session that began the enrolment stand as proven by the factor, or opens one for an enrolment token; and commits.
async fn admit(
    kit: &Kit,
    tx: Tx,
    account: &Account,
    pending: &PendingEnrolment,
    is_first: bool,
    call: &Call,
) -> Result<Tokens, Stop> {
    let words = factor::of(pending.method).amr();
    let (session, refresh_token) = match pending.opener {
        Opener::Session(id) => (lift(&tx, id, words, call).await?, None),
        Opener::EnrolmentToken(token) => {
            // The token is spent like a challenge: it gives one session.
            let end_time = call.now.plus(challenge::ENROLMENT_TOKEN_LIFE);
            if tx.spend_challenge(&token, challenge::remembered_until(end_time)).await? == Swap::Stale {
                return Err(Stop::Over);
            }
            let proof = Proof { auth_time: call.now, amr: Amr::password().with(words), acr: Acr::Two };
            let (session, refresh) = kit.open_session(&tx, account.id, proof, call).await?;
            let event = Event::of(EventKind::LoginSuccess, account.id, &call.origin);
            tx.record(&event.session(session.id).method(pending.method), call.now).await?;
            (session, Some(refresh.to_text()))
        }
    };
    if is_first {
        // Whoever got in with the password alone is out.
        tx.delete_sessions(account.id, Some(session.id)).await?;
    }
    tx.commit().await?;
    Ok(kit.tokens(&session, account.role, refresh_token, call)?)
}

async fn lift(tx: &Tx, id: SessionId, words: &[&str], call: &Call) -> Result<Session, Stop> {
    let live = tx.find_live_session(id).await?.filter(|live| live.session.is_alive(call.now));
    let Some(live) = live else {
        return Err(Stop::NotJudged(Refusal::Unauthenticated));
    };
    let mut session = live.session;
    session.proof = Proof { auth_time: call.now, amr: session.proof.amr.with(words), acr: Acr::Two };
    if tx.save_proof(id, &session.proof).await? == Swap::Stale {
        return Err(Stop::NotJudged(Refusal::Unauthenticated));
    }
    Ok(session)
}
