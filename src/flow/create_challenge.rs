//! Opens a step-up challenge for the caller's session.

use super::{Call, Kit, OpenChallenge, send_code::send_at_once};
use crate::{
    error::{Error, Refusal},
    model::{Event, EventKind, Method, Principal, Subject, has_factor},
};

/// Opens a step-up challenge; with a method, one that only this method answers. Where that is a phone, a code is sent.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn create_challenge(
    kit: &Kit,
    principal: &Principal,
    method: Option<Method>,
    call: &Call,
) -> Result<OpenChallenge, Error> {
    let account = kit.store.find_account(principal.user).await?.ok_or(Refusal::Unauthenticated)?;
    let factors = kit.store.factors(principal.user).await?;
    let mut offers = kit.offers(&factors)?;
    offers.retain(|offer| method.is_none_or(|method| offer.method == method));
    if !has_factor(&factors) || offers.is_empty() {
        return Err(Refusal::TwoFaNotEnabled.into());
    }
    let tx = kit.store.begin().await?;
    let event = Event::of(EventKind::ChallengeCreated, principal.user, &call.origin).session(principal.session);
    tx.record(&event, call.now).await?;
    tx.commit().await?;
    let subject = Subject::StepUp { session: principal.session, offers };
    let mut challenge = kit.open_challenge(principal.user, account.security_version, subject, call).await?;
    send_at_once(kit, &mut challenge, principal.user, Some(principal.session), &factors, call).await;
    Ok(challenge)
}
