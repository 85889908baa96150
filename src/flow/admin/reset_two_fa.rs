//! Takes the second factors of somebody else away, who has lost them.

use super::{begin, record_refusal};
use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, again::again, reset_second_factor::reset_in},
    model::{Principal, UserId},
};

/// Removes every factor of an account that is not the administrator's own; answers how many.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn reset_two_fa(kit: &Kit, admin: &Principal, user: UserId, reason: &str, call: &Call) -> Result<u64, Error> {
    if user == admin.user {
        // By this way they could get rid of a factor that policy asks of them, and go on with the password alone.
        record_refusal(kit, "ResetTwoFa", Some(user), &Refusal::PermissionDenied, call).await?;
        let problem = "is your own account: replace the factor with Enable, or remove it with Disable.";
        return Err(Refusal::field("user_id", problem).into());
    }
    if reason.trim().is_empty() {
        let problem = "must say why, and how the user was recognised: it goes into the audit log.";
        return Err(Refusal::field("reason", problem).into());
    }
    again(|| async {
        let tx = begin(kit, admin, call).await?;
        let removed = reset_in(&tx, user, reason, call).await?;
        tx.commit().await?;
        Ok(removed)
    })
    .await
}
