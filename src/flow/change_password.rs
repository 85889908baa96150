//! Changes the password of the caller.

use super::{
    Call, InCall, Kit,
    again::again,
    local_auth::{JudgedPassword, judge_password, owner},
};
use crate::{
    error::{Error, Proof, Refusal},
    factor::password::{Names, Password},
    model::{Event, EventKind, PasswordHash, Principal, has_factor},
    policy,
    secret::Secret,
    swap::Swap,
};

/// The new password, and the proof of the caller: one of three.
pub struct ChangePasswordRequest {
    /// The present password; may be empty.
    pub current_password: Secret<String>,
    /// The new one.
    pub new_password: Secret<String>,
    /// A code; may be empty.
    pub proof: InCall,
}

/// Changes the password. Every other session of the account ends.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn change_password(
    kit: &Kit,
    principal: &Principal,
    request: &ChangePasswordRequest,
    call: &Call,
) -> Result<(), Error> {
    let account = kit.store.find_account(principal.user).await?.ok_or(Refusal::Unauthenticated)?;
    let names = Names { service: &kit.service_name, email: &account.email };
    let new = Password::parse_new("new_password", &request.new_password, &names)?;
    if !principal.is_assured && request.current_password.expose().is_empty() && request.proof.code.is_empty() {
        let has_factor = has_factor(&kit.store.factors(account.id).await?);
        let what = if has_factor { Proof::SecondFactor } else { Proof::Password };
        return Err(Refusal::StepUpRequired { what, max_age: Some(policy::STEP_UP_AGE) }.into());
    }
    if request.current_password.expose().is_empty() && !request.proof.code.is_empty() {
        request.proof.check(kit, principal, call).await?;
    }
    let hash = new.hash(&kit.hasher).await?;
    let judged = match request.current_password.expose().is_empty() {
        true => None,
        false => Some(judge_password(kit, &account, &request.current_password, call).await?),
    };
    again(|| change(kit, principal, request, judged.as_ref(), &hash, call)).await
}

async fn change(
    kit: &Kit,
    principal: &Principal,
    request: &ChangePasswordRequest,
    judged: Option<&JudgedPassword<'_>>,
    hash: &PasswordHash,
    call: &Call,
) -> Result<(), Error> {
    // The present password or the code, whichever is there; else the session is proven as it must be.
    let (tx, account) = match judged {
        Some(judged) => judged.admit(kit, principal, call).await?,
        None => {
            let (tx, account, _) = request.proof.prove(kit, principal, call).await?;
            (tx, account)
        }
    };
    if tx.save_password_hash(account.id, hash).await? == Swap::Stale {
        return Err(Refusal::Unauthenticated.into());
    }
    tx.delete_sessions(account.id, Some(principal.session)).await?;
    tx.delete_password_tokens(account.id).await?;
    tx.forget_networks_of(&owner(&kit.ring, &account.email)?).await?;
    let event = Event::of(EventKind::PasswordChange, account.id, &call.origin).session(principal.session);
    tx.record(&event, call.now).await?;
    tx.commit().await
}
