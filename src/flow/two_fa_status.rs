//! How the caller's two-factor authentication stands.

use super::{Kit, verify::backup_codes_remaining};
use crate::{
    clock::Timestamp,
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
    /// Until when the account may do without one; None = it may always, or has one.
    pub grace_end: Option<Timestamp>,
    /// Whether another factor is to be enrolled: what there is, is of methods that are switched off.
    pub is_led_on: bool,
    /// The confirmed factors, oldest first, without the set of backup codes.
    pub factors: Vec<ListedFactor>,
    /// How many backup codes are left.
    pub backup_codes_remaining: u32,
    /// What the account can enrol now, what is preferred first.
    pub available: Vec<Method>,
}

/// A factor, as its owner sees it.
pub struct ListedFactor {
    /// The factor.
    pub factor: EnrolledFactor,
    /// The number of a phone, masked.
    pub masked_number: Option<String>,
}

/// The status of the caller.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn two_fa_status(kit: &Kit, caller: &Caller) -> Result<TwoFaStatus, Error> {
    let user = caller.user().ok_or(Refusal::Unauthenticated)?;
    let account = kit.store.find_account(user).await?.ok_or(Refusal::Unauthenticated)?;
    let factors = kit.store.factors(user).await?;
    let backup_codes_remaining = backup_codes_remaining(&factors)?;
    let settings = kit.settings();
    let is_led_on = policy::is_led_on(&settings, account.role, &methods(&factors), kit.sms.is_some());
    let enabled = has_factor(&factors);
    Ok(TwoFaStatus {
        enabled,
        required: policy::is_required(&settings, account.role),
        grace_end: policy::grace_end(&settings, account.role, account.role_time).filter(|_| !enabled),
        is_led_on,
        factors: listed_factors(factors),
        backup_codes_remaining,
        available: policy::open_to(&settings, account.role, kit.sms.is_some()),
    })
}

/// The factors without the set of backup codes, as they are shown.
pub(super) fn listed_factors(factors: Vec<EnrolledFactor>) -> Vec<ListedFactor> {
    factors.into_iter().filter(|factor| factor.method != Method::BackupCode).map(listed).collect()
}

/// The methods of these factors.
pub(super) fn methods(factors: &[EnrolledFactor]) -> Vec<Method> {
    factors.iter().map(|factor| factor.method).collect()
}

fn listed(factor: EnrolledFactor) -> ListedFactor {
    let masked_number = match factor.method {
        Method::Phone => phone::number(&factor.data).map(|number| number.masked()).ok(),
        Method::Totp | Method::BackupCode => None,
    };
    ListedFactor { factor, masked_number }
}
