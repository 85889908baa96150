//! How the caller's two-factor authentication stands.

use super::Kit;
use crate::{
    error::Error,
    model::{EnrolledFactor, Principal},
};

/// How an account stands.
pub struct TwoFaStatus {
    /// The confirmed factors, oldest first. Sign-in asks for one of them as soon as there is one.
    pub factors: Vec<EnrolledFactor>,
}

/// The status of the caller.
pub async fn two_fa_status(kit: &Kit, principal: &Principal) -> Result<TwoFaStatus, Error> {
    Ok(TwoFaStatus { factors: kit.store.factors(principal.user).await? })
}
