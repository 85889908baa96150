//! Starts the enrolment of a second factor. Nothing about the account changes until `verify` confirms it.

use super::{Call, Kit};
use crate::{
    challenge,
    clock::Timestamp,
    ephemeral::NewEntry,
    error::{Error, Refusal},
    factor::{self, Enrolment, Holder},
    model::{Challenge, ChallengeId, Event, EventKind, FailureKey, Method, PendingEnrolment, Principal},
};

const LABEL_CHARACTERS: usize = 64;

/// What is to be enrolled.
pub struct EnableRequest {
    /// The method.
    pub method: Method,
    /// A name for the factor; may be empty.
    pub label: String,
}

/// An enrolment that waits for its confirming code.
pub struct Enabled {
    /// The method.
    pub method: Method,
    /// Names the enrolment.
    pub id: ChallengeId,
    /// What the user is shown, once.
    pub enrolment: Enrolment,
    /// When it ends.
    pub end_time: Timestamp,
}

/// Starts an enrolment; the pending one of the same method ends.
pub async fn enable(kit: &Kit, principal: &Principal, request: EnableRequest, call: &Call) -> Result<Enabled, Error> {
    if request.label.chars().count() > LABEL_CHARACTERS || request.label.chars().any(char::is_control) {
        let problem = format!("must have at most {LABEL_CHARACTERS} characters and no control characters.");
        return Err(Refusal::field("label", problem).into());
    }
    let account = kit.store.find_account(principal.user).await?.ok_or(Refusal::Unauthenticated)?;
    let holder = Holder { issuer: &kit.totp_issuer, account: account.email.typed() };
    let enrolment = factor::of(request.method).enrol(&holder)?;

    let tx = kit.store.begin().await?;
    tx.ensure_failures(account.id, FailureKey::Method(request.method)).await?;
    tx.ensure_failures(account.id, FailureKey::Enrolment(request.method)).await?;
    let event = Event::of(EventKind::EnrolmentStarted, account.id, &call.origin)
        .session(principal.session)
        .method(request.method);
    tx.record(&event, call.now).await?;
    tx.commit().await?;

    let shelf = challenge::shelf(&kit.ring, account.id)?;
    let id = ChallengeId::generate(shelf)?;
    let content = Challenge::Enrolment(PendingEnrolment {
        user: account.id,
        session: principal.session,
        security_version: account.security_version,
        method: request.method,
        label: request.label,
        data: enrolment.data.clone(),
    });
    let end_time = call.now.plus(challenge::ENROLMENT_LIFE);
    let entry = NewEntry {
        kind: challenge::enrolment(request.method),
        hash: id.hash(),
        sealed: challenge::seal(&kit.ring, &shelf, &id.hash(), &content)?,
        attempts: challenge::ATTEMPTS,
        end_time,
    };
    kit.ephemeral.open(shelf, entry, call.now).await?;
    Ok(Enabled { method: request.method, id, enrolment, end_time })
}
