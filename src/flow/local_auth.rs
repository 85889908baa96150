//! Signs in with e-mail and password: gives tokens, or a challenge when the account has a second factor.

use super::{Call, Kit, Tokens};
use crate::{
    challenge,
    clock::Timestamp,
    ephemeral::NewEntry,
    error::{Error, Refusal},
    factor::password::Password,
    model::{
        Account, Acr, Amr, Challenge, ChallengeId, Email, EnrolledFactor, Event, EventKind, Method, PasswordHash, Proof,
    },
    secret::{self, Secret},
    store::Tx,
};

/// What a right password gives.
pub enum SignIn {
    /// The account has no second factor.
    Tokens(Tokens),
    /// A second factor is asked for.
    Challenge {
        /// Names the challenge.
        id: ChallengeId,
        /// The methods that answer it, the default first.
        methods: Vec<Method>,
        /// When it ends.
        end_time: Timestamp,
    },
}

/// Signs in. Unknown user and wrong password take the same way and the same time.
pub async fn local_auth(kit: &Kit, email: &str, password: &Secret<String>, call: &Call) -> Result<SignIn, Error> {
    let email = Email::parse(email).map_err(|problem| Refusal::field("email", problem))?;
    let password = Password::parse(password)?;
    let account = kit.store.find_account_by_email(&email).await?;
    let hash = account.as_ref().and_then(|account| account.password_hash.as_ref());
    let right = password.matches(&kit.hasher, hash).await?;

    let tx = kit.store.begin().await?;
    let refusal = match &account {
        Some(account) if right && account.blocked => Refusal::UserBlocked,
        Some(judged) if right => match tx.lock_account(judged.id).await?.filter(|now| is_unchanged(now, judged)) {
            Some(account) => return proceed(kit, tx, &account, call).await,
            None => Refusal::InvalidCredentials,
        },
        Some(_) | None => Refusal::InvalidCredentials,
    };
    let event = Event {
        kind: EventKind::LoginFail,
        subject: account.as_ref().map(|account| account.id),
        identifier_hash: Some(kit.ring.index("e-mail", email.canonical().as_bytes())?),
        session: None,
        method: None,
        reason: Some(refusal.reason()),
        origin: &call.origin,
    };
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Err(refusal.into())
}

/// The password was right. What the account is now decides, not what it was before the password was hashed.
async fn proceed(kit: &Kit, tx: Tx, account: &Account, call: &Call) -> Result<SignIn, Error> {
    let factors = tx.factors(account.id).await?;
    if !factors.is_empty() {
        tx.record(&Event::of(EventKind::ChallengeCreated, account.id, &call.origin), call.now).await?;
        tx.commit().await?;
        return open_challenge(kit, account, &factors, call).await;
    }
    let proof = Proof { auth_time: call.now, amr: Amr::password(), acr: Acr::One };
    let (session, refresh) = kit.open_session(&tx, account.id, proof, call).await?;
    let event = Event::of(EventKind::LoginSuccess, account.id, &call.origin).session(session.id);
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    Ok(SignIn::Tokens(kit.tokens(&session, account.role, Some(refresh.to_text()), call)?))
}

async fn open_challenge(
    kit: &Kit,
    account: &Account,
    factors: &[EnrolledFactor],
    call: &Call,
) -> Result<SignIn, Error> {
    let shelf = challenge::shelf(&kit.ring, account.id)?;
    let id = ChallengeId::generate(shelf)?;
    let content = Challenge::Login { user: account.id, security_version: account.security_version };
    let end_time = call.now.plus(challenge::LOGIN_LIFE);
    let entry = NewEntry {
        kind: challenge::LOGIN,
        hash: id.hash(),
        sealed: challenge::seal(&kit.ring, &shelf, &id.hash(), &content)?,
        attempts: challenge::ATTEMPTS,
        end_time,
    };
    kit.ephemeral.open(shelf, entry, call.now).await?;
    let methods = Method::ALL.into_iter().filter(|method| factors.iter().any(|f| f.method == *method)).collect();
    Ok(SignIn::Challenge { id, methods, end_time })
}

/// Whether the password that was judged is still the one, and the account still open.
fn is_unchanged(now: &Account, judged: &Account) -> bool {
    let text = |hash: &Option<PasswordHash>| hash.as_ref().map(|hash| hash.expose().clone()).unwrap_or_default();
    !now.blocked && secret::same(text(&now.password_hash).as_bytes(), text(&judged.password_hash).as_bytes())
}
