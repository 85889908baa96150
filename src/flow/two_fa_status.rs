//! How the caller's two-factor authentication stands.

use super::{Kit, verify::backup_codes_remaining};
use crate::{
    error::{Error, Refusal},
    factor::phone,
    model::{Caller, EnrolledFactor, Method, has_factor},
    policy,
};

/// How an account stands.
pub struct TwoFaStatus {
    /// Whether sign-in asks for a factor.
    pub enabled: bool,
    /// Whether policy asks for one.
    pub required: bool,
    /// The confirmed factors, oldest first, without the set of backup codes.
    pub factors: Vec<ListedFactor>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
}

/// A factor, as its owner sees it.
pub struct ListedFactor {
    /// The factor.
    pub factor: EnrolledFactor,
    /// The number of a phone, masked.
    pub masked_number: Option<String>,
}

/// The status of the caller.
pub async fn two_fa_status(kit: &Kit, caller: &Caller) -> Result<TwoFaStatus, Error> {
    let user = caller.user().ok_or(Refusal::Unauthenticated)?;
    let account = kit.store.find_account(user).await?.ok_or(Refusal::Unauthenticated)?;
    let mut factors = kit.store.factors(user).await?;
    let backup_codes_remaining = backup_codes_remaining(&factors)?;
    factors.retain(|factor| factor.method != Method::BackupCode);
    let enabled = has_factor(&factors);
    Ok(TwoFaStatus {
        enabled,
        required: policy::is_required(&kit.settings(), account.role),
        factors: factors.into_iter().map(listed).collect::<Result<_, Error>>()?,
        backup_codes_remaining,
    })
}

fn listed(factor: EnrolledFactor) -> Result<ListedFactor, Error> {
    let masked_number = match factor.method {
        Method::Phone => Some(phone::number(&factor.data)?.masked()),
        Method::Totp | Method::BackupCode => None,
    };
    Ok(ListedFactor { factor, masked_number })
}
