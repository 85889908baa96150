//! Makes a new set of backup codes; the one before ends.

use super::{Call, InCall, Kit, verify::insert_backup_codes};
use crate::{
    error::{Error, Refusal},
    factor::backup_code,
    limit,
    model::{Principal, has_factor},
    policy,
    secret::Secret,
    store::Bucket,
    swap::Swap,
};

/// Makes a new set; answers the codes, which cannot be read again.
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
    // Ten hashes take a while, so they come before the transaction: not for those who are to wait or to prove themselves first.
    proof.check(kit, principal, call).await?;
    let set = backup_code::generate(&kit.hasher).await?;
    let (tx, account, factors) = proof.prove(kit, principal, call).await?;
    if !has_factor(&factors) {
        return Err(Refusal::TwoFaNotEnabled.into());
    }
    let hash = kit.ring.index("backup code sets", account.id.bytes())?;
    let bucket = Bucket { hash, owner: kit.ring.index("backup code sets owner", account.id.bytes())? };
    if tx.pay_window(&bucket, limit::BACKUP_CODE_SETS, call.now).await? == Swap::Stale {
        tx.roll_back().await?;
        let waits = kit.store.bucket_waits(&hash).await?;
        let retry_after = waits.and_then(|(_, end_time)| limit::wait(end_time, call.now));
        return Err(Refusal::RateLimited { retry_after }.into());
    }
    insert_backup_codes(&tx, &account, &set, call).await?;
    if tx.raise_security_version(account.id).await? == Swap::Stale {
        return Err(Refusal::Unauthenticated.into());
    }
    tx.commit().await?;
    Ok(set.codes)
}
