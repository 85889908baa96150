//! Makes a new set of backup codes; the one before ends.

use super::{Call, InCall, Kit, again::again, verify::insert_backup_codes};
use crate::{
    error::{Error, Refusal},
    factor::backup_code::{self, Set},
    limit,
    model::{FailureKey, Method, Principal, UserId, has_factor},
    policy,
    seal::KeyRing,
    secret::Secret,
    store::Bucket,
    swap::Swap,
};

/// Makes a new set; answers the codes, which cannot be read again.
///
/// In two transactions, because hashing ten codes takes a while: the first judges the proof and pays for the set, the second puts
/// the set in its place. What happens between them to the account or the session is looked at again.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn generate_backup_codes(
    kit: &Kit,
    principal: &Principal,
    proof: &InCall,
    call: &Call,
) -> Result<Vec<Secret<String>>, Error> {
    if !has_factor(&kit.store.factors(principal.user).await?) {
        return Err(Refusal::TwoFaNotEnabled.into());
    }
    if !policy::gives_backup_codes(&kit.settings()) {
        return Err(Refusal::TwoFaUnavailable.into());
    }
    let version = again(|| pay(kit, principal, proof, call)).await?;
    let set = backup_code::generate(&kit.hasher).await?;
    again(|| replace(kit, principal, &set, version, call)).await?;
    Ok(set.codes)
}

/// Puts the set in the place of the one before, unless something has happened to the account since it was paid for.
async fn replace(kit: &Kit, principal: &Principal, set: &Set, version: i64, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    // Counts before accounts, in every transaction. The new set begins without the failures of the old one.
    tx.ensure_failures(principal.user, FailureKey::Method(Method::BackupCode)).await?;
    tx.clear_failures(principal.user, FailureKey::Method(Method::BackupCode)).await?;
    let account = tx.lock_account(principal.user).await?;
    let account = account.filter(|account| !account.blocked && account.security_version == version);
    let account = account.ok_or(Refusal::Unauthenticated)?;
    super::prove::must_live(&tx, principal, call).await?;
    insert_backup_codes(&tx, &account, set, Some(principal.session), "", call).await?;
    if tx.raise_security_version(account.id).await? == Swap::Stale {
        return Err(Refusal::Unauthenticated.into());
    }
    tx.commit().await
}

/// Judges the proof, and counts a set against its window; answers the security version of the account.
async fn pay(kit: &Kit, principal: &Principal, proof: &InCall, call: &Call) -> Result<i64, Error> {
    let hash = kit.ring.index("backup code sets", principal.user.bytes())?;
    let bucket = Bucket { hash, owner: owner(&kit.ring, principal.user)? };
    let (tx, account, factors) = proof.prove(kit, principal, call).await?;
    if !has_factor(&factors) {
        tx.commit().await?;
        return Err(Refusal::TwoFaNotEnabled.into());
    }
    let paid = tx.pay_window(&bucket, limit::BACKUP_CODE_SETS, call.now).await?;
    tx.commit().await?;
    if paid == Swap::Stale {
        let waits = kit.store.bucket_waits(&hash).await?;
        let retry_after = waits.and_then(|(_, end_time)| limit::wait(end_time, call.now));
        return Err(Refusal::RateLimited { retry_after }.into());
    }
    Ok(account.security_version)
}

/// Whose counts of sets are a user's own.
pub(super) fn owner(ring: &KeyRing, user: UserId) -> anyhow::Result<[u8; 32]> {
    ring.index("backup code sets owner", user.bytes())
}
