//! Signs in with e-mail and password: gives tokens, a challenge when the account has a second factor, or an enrolment token when
//! it must have one.

mod ladder;
mod source;
mod trial;

use trial::Trial;

use super::{Call, Kit, OpenChallenge, Tokens, again::again, prove::must_live, send_code::send_at_once};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    factor::password::Password,
    model::{
        Account, Acr, Amr, Email, Event, EventKind, Handle, HandleKind, NEW_NETWORK, PasswordHash, Principal, Proof,
        Subject, has_factor,
    },
    policy,
    secret::{self, Secret},
    store::Tx,
};

pub(super) use ladder::owner;
pub use source::Sources;

/// What a right password gives.
pub enum SignIn {
    /// The password is enough.
    Tokens {
        /// The tokens.
        tokens: Tokens,
        /// When the account must have a second factor; None = it need not.
        grace_end: Option<Timestamp>,
    },
    /// A second factor is asked for.
    Challenge(OpenChallenge),
    /// A second factor must be enrolled first.
    Enrolment {
        /// The enrolment token.
        token: Handle,
        /// When it ends.
        end_time: Timestamp,
    },
}

/// Signs in. Unknown user and wrong password take the same way and the same time.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn local_auth(kit: &Kit, email: &str, password: &Secret<String>, call: &Call) -> Result<SignIn, Error> {
    let email = Email::parse(email).map_err(|problem| Refusal::field("email", problem))?;
    let password = Password::parse("password", password)?;
    let account = kit.store.find_account_by_email(&email).await?;
    let hash = account.as_ref().and_then(|account| account.password_hash.as_ref());
    let trial = Trial::of(kit, &email, password, hash, call).await?;
    again(|| answer(kit, &email, account.as_ref(), &trial, call)).await
}

async fn answer(
    kit: &Kit,
    email: &Email,
    account: Option<&Account>,
    trial: &Trial,
    call: &Call,
) -> Result<SignIn, Error> {
    let tx = kit.store.begin().await?;
    let refusal = match account.filter(|_| trial.is_right) {
        Some(judged) => match tx.lock_account(judged.id).await?.filter(|now| has_same_password(now, judged)) {
            Some(account) => {
                trial.ladder.clear(&tx).await?;
                if !account.blocked {
                    trial.ladder.remember(&tx, call).await?;
                    if let Some(renewed) = &trial.renewed {
                        tx.renew_password_hash(account.id, renewed).await?;
                    }
                    let note = if trial.ladder.is_new_network() { NEW_NETWORK } else { "" };
                    return proceed(kit, tx, &account, note, call).await;
                }
                Refusal::UserBlocked
            }
            None => Refusal::InvalidCredentials,
        },
        None => Refusal::InvalidCredentials,
    };
    let event = Event {
        kind: EventKind::LoginFail,
        subject: account.map(|account| account.id),
        identifier_hash: Some(kit.ring.index("e-mail", email.canonical().as_bytes())?),
        session: None,
        method: None,
        reason: Some(refusal.reason()),
        count: None,
        note: None,
        origin: &call.origin,
    };
    tx.record(&event, call.now).await?;
    if !trial.is_right
        && let Some(count) = trial.ladder.lock(&tx, call).await?
    {
        tx.record(&Event { kind: EventKind::LoginLock, count: Some(count), ..event }, call.now).await?;
    }
    tx.commit().await?;
    Err(refusal.into())
}

/// The present password of a caller, as it was judged.
pub(super) struct JudgedPassword<'a> {
    judged: &'a Account,
    trial: Trial,
}

/// Judges the present password of the caller, as a sign-in would.
pub(super) async fn judge_password<'a>(
    kit: &Kit,
    account: &'a Account,
    password: &Secret<String>,
    call: &Call,
) -> Result<JudgedPassword<'a>, Error> {
    let password = Password::parse("current_password", password)?;
    let trial = Trial::of(kit, &account.email, password, account.password_hash.as_ref(), call).await?;
    Ok(JudgedPassword { judged: account, trial })
}

impl JudgedPassword<'_> {
    /// Opens the transaction for what a right password allows; the session must still live.
    pub(super) async fn admit(&self, kit: &Kit, principal: &Principal, call: &Call) -> Result<(Tx, Account), Error> {
        let tx = kit.store.begin().await?;
        let now = tx.lock_account(self.judged.id).await?;
        let now = now.filter(|now| !now.blocked && has_same_password(now, self.judged));
        if let Some(now) = now.filter(|_| self.trial.is_right) {
            must_live(&tx, principal, call).await?;
            self.trial.ladder.clear(&tx).await?;
            return Ok((tx, now));
        }
        let refusal = Refusal::InvalidCredentials;
        let event = Event::of(EventKind::LoginFail, self.judged.id, &call.origin);
        let event = event.session(principal.session).reason(refusal.reason());
        tx.record(&event, call.now).await?;
        if !self.trial.is_right
            && let Some(count) = self.trial.ladder.lock(&tx, call).await?
        {
            tx.record(&Event { kind: EventKind::LoginLock, count: Some(count), ..event }, call.now).await?;
        }
        tx.commit().await?;
        Err(refusal.into())
    }
}

/// The password was right. What the account is now decides, not what it was before the password was hashed.
async fn proceed(kit: &Kit, tx: Tx, account: &Account, note: &str, call: &Call) -> Result<SignIn, Error> {
    let factors = tx.factors(account.id).await?;
    let version = account.security_version;
    let has_factor = has_factor(&factors);
    let standing = policy::Standing { role: account.role, role_time: account.role_time, has_factor };
    match policy::sign_in(&kit.settings(), standing, call.now) {
        policy::SignIn::Session { grace_end } => {
            let proof = Proof { auth_time: call.now, amr: Amr::password(), acr: Acr::One };
            let (session, refresh) = kit.open_session(&tx, account.id, proof, call).await?;
            let event = Event::of(EventKind::LoginSuccess, account.id, &call.origin).session(session.id);
            tx.record(&event.note(note), call.now).await?;
            tx.commit().await?;
            let tokens = kit.tokens(&session, account.role, Some(refresh.to_text()), call)?;
            Ok(SignIn::Tokens { tokens, grace_end })
        }
        policy::SignIn::Challenge => {
            let offers = kit.offers(&factors)?;
            tx.record(&Event::of(EventKind::ChallengeCreated, account.id, &call.origin).note(note), call.now).await?;
            tx.commit().await?;
            let mut challenge = kit.open_challenge(account.id, version, Subject::Login { offers }, call).await?;
            send_at_once(kit, &mut challenge, account.id, None, &factors, call).await;
            Ok(SignIn::Challenge(challenge))
        }
        policy::SignIn::Enrolment => {
            tx.record(&Event::of(EventKind::EnrolmentRequired, account.id, &call.origin).note(note), call.now).await?;
            tx.commit().await?;
            let subject = Subject::EnrolmentToken;
            let (token, end_time) = kit.open(HandleKind::EnrolmentToken, account.id, version, subject, call).await?;
            Ok(SignIn::Enrolment { token, end_time })
        }
    }
}

/// Whether the password that was judged is still the one.
fn has_same_password(now: &Account, judged: &Account) -> bool {
    let text = |hash: &Option<PasswordHash>| hash.as_ref().map(|hash| hash.expose().clone()).unwrap_or_default();
    secret::same(text(&now.password_hash).as_bytes(), text(&judged.password_hash).as_bytes())
}
