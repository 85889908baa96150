//! Sends a code for a challenge. No way to send one ships yet, so a good challenge is told so, and keeps its attempts.

use super::{Call, Kit, prove::is_over};
use crate::{
    challenge,
    error::{Error, Refusal},
    model::{Caller, Method},
};

/// Refuses: text messages are not configured.
pub async fn send_code(kit: &Kit, caller: &Caller, challenge_id: &str, call: &Call) -> Result<(), Error> {
    let attempt = match (challenge_id, caller.user()) {
        ("", None) => return Err(Refusal::ChallengeExpired.into()),
        ("", Some(user)) => kit.take_enrolment(user, Method::Totp, call).await?,
        (challenge_id, _) => kit.take_attempt(challenge_id, call).await?,
    };
    kit.ephemeral.give_back(attempt.shelf, attempt.taken.hash).await?;
    challenge::admit(&attempt.challenge, caller)?;
    if is_over(kit, &attempt).await? {
        return Err(Refusal::ChallengeExpired.into());
    }
    Err(Refusal::SmsNotConfigured.into())
}
