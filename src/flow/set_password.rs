//! Sets a password: with a one-time password token, and with a second factor when the account has one; or by its operator.

use anyhow::anyhow;

use super::{
    Call, Kit, OpenChallenge,
    again::again,
    attempt::{Attempt, Stop},
    issue_password_token::hash,
    local_auth::owner,
    prove::{Code, prove},
};
use crate::{
    challenge,
    error::{Error, Refusal},
    factor::password::{Names, Password},
    hash::Hasher,
    model::{Account, Caller, Email, Event, EventKind, PasswordHash, Subject, UserId, has_factor},
    seal::KeyRing,
    secret::Secret,
    store::{Store, Tx},
    swap::Swap,
};

/// The new password, the token, and the second factor.
pub struct SetPasswordRequest {
    /// The one-time password token.
    pub token: Secret<String>,
    /// The new password.
    pub new_password: Secret<String>,
    /// A code; may be empty.
    pub code: String,
    /// The challenge that it answers; may be empty.
    pub challenge_id: String,
}

/// What came of it.
pub enum PasswordSet {
    /// The password is set.
    Done,
    /// Nothing is changed yet: a second factor is asked for.
    Challenge(OpenChallenge),
}

/// Sets a password with a token. Every session of the account ends.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn set_password(kit: &Kit, request: &SetPasswordRequest, call: &Call) -> Result<PasswordSet, Error> {
    again(|| set_once(kit, request, call)).await
}

async fn set_once(kit: &Kit, request: &SetPasswordRequest, call: &Call) -> Result<PasswordSet, Error> {
    let token = hash(request.token.expose()).ok_or(Refusal::PasswordTokenInvalid)?;
    let user = kit.store.find_password_token(&token, call.now).await?.ok_or(Refusal::PasswordTokenInvalid)?;
    let account = kit.store.find_account(user).await?.filter(|account| !account.blocked);
    let account = account.ok_or(Refusal::PasswordTokenInvalid)?;
    let names = Names { service: &kit.service_name, email: &account.email };
    let new = Password::parse_new("new_password", &request.new_password, &names)?;
    let factors = kit.store.factors(user).await?;
    if has_factor(&factors) {
        if request.code.is_empty() {
            let tx = kit.store.begin().await?;
            tx.record(&Event::of(EventKind::ChallengeCreated, user, &call.origin), call.now).await?;
            tx.commit().await?;
            let subject = Subject::PasswordReset { token, offers: kit.offers(&factors)? };
            let challenge = kit.open_challenge(user, account.security_version, subject, call).await?;
            return Ok(PasswordSet::Challenge(challenge));
        }
        let attempt = kit.take_attempt(&request.challenge_id, call).await?;
        let judged = with_second_factor(kit, request, &attempt, new, token, call).await;
        kit.settle(&attempt, judged, false).await?;
        return Ok(PasswordSet::Done);
    }
    let new = new.hash(&kit.hasher).await?;
    let tx = kit.store.begin().await?;
    let account = tx.lock_account(user).await?.filter(|account| !account.blocked);
    let account = account.ok_or(Refusal::PasswordTokenInvalid)?;
    if has_factor(&tx.factors(user).await?) {
        // Enrolled since: the token alone is no longer enough. The next call asks for the factor.
        return Err(Refusal::PasswordTokenInvalid.into());
    }
    finish(kit, tx, &account, &new, &token, call).await?;
    Ok(PasswordSet::Done)
}

async fn with_second_factor(
    kit: &Kit,
    request: &SetPasswordRequest,
    attempt: &Attempt,
    new: Password,
    token: [u8; 32],
    call: &Call,
) -> Result<(), Stop> {
    challenge::admit(&attempt.challenge, &Caller::Anonymous).map_err(Stop::NotJudged)?;
    let is_own = matches!(&attempt.challenge.subject, Subject::PasswordReset { token: own, .. } if *own == token);
    if !is_own {
        return Err(Stop::NotJudged(Refusal::ChallengeExpired));
    }
    let new = new.hash(&kit.hasher).await?;
    let code = Code { input: &request.code, method: None };
    let proven = prove(kit, attempt, &code, call).await?;
    let event = proven.event(EventKind::CodeSuccess, call)?;
    proven.tx.record(&event, call.now).await?;
    Ok(finish(kit, proven.tx, &proven.account, &new, &token, call).await?)
}

/// Uses the token up and sets the password, at once or not at all.
async fn finish(
    kit: &Kit,
    tx: Tx,
    account: &Account,
    new: &PasswordHash,
    token: &[u8; 32],
    call: &Call,
) -> Result<(), Error> {
    if tx.use_password_token(token, account.id, call.now).await? == Swap::Stale {
        return Err(Refusal::PasswordTokenInvalid.into());
    }
    save(tx, account.id, owner(&kit.ring, &account.email)?, new, call).await
}

/// Sets a password for an operator. Every session and every open challenge of the account ends.
pub async fn replace_password(
    store: &Store,
    ring: &KeyRing,
    hasher: &Hasher,
    service: &str,
    email: &Email,
    password: &Secret<String>,
    call: &Call,
) -> Result<(), Error> {
    let account = store.find_account_by_email(email).await?;
    let account = account.ok_or_else(|| anyhow!("there is no account with this e-mail address"))?;
    let new = Password::parse_new("new_password", password, &Names { service, email })?.hash(hasher).await?;
    let owner = owner(ring, email)?;
    again(|| async { save(store.begin().await?, account.id, owner, &new, call).await }).await
}

async fn save(tx: Tx, user: UserId, owner: [u8; 32], new: &PasswordHash, call: &Call) -> Result<(), Error> {
    if tx.save_password_hash(user, new).await? == Swap::Stale {
        return Err(Refusal::PasswordTokenInvalid.into());
    }
    tx.delete_sessions(user, None).await?;
    tx.delete_password_tokens(user).await?;
    tx.forget_networks_of(&owner).await?;
    tx.record(&Event::of(EventKind::PasswordChange, user, &call.origin), call.now).await?;
    tx.commit().await
}
