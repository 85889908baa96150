//! The caller's own account.

use super::Kit;
use crate::{
    error::{Error, Refusal},
    model::{Account, Principal},
};

/// The account of the caller.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn current_user(kit: &Kit, principal: &Principal) -> Result<Account, Error> {
    Ok(kit.store.find_account(principal.user).await?.ok_or(Refusal::Unauthenticated)?)
}
