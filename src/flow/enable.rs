//! Starts the enrolment of a second factor. Nothing about the account changes until `verify` confirms it.

use super::{
    Call, Kit, Sent,
    again::again,
    send_code::{Target, send},
};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    factor::{self, Enrolment, Holder, phone},
    model::{
        Account, Caller, EnrolledFactor, Event, EventKind, FactorId, FailureKey, Handle, HandleKind, Method, Opener,
        PendingEnrolment, PhoneNumber, Subject, UserId,
    },
    policy,
};

const LABEL_CHARACTERS: usize = 64;
/// Beside the set of backup codes.
const FACTORS: usize = 5;

/// What is to be enrolled.
pub struct EnableRequest {
    /// The method; None = the one that policy prefers.
    pub method: Option<Method>,
    /// The number of a phone; may be empty.
    pub phone_number: String,
    /// A name for the factor; may be empty.
    pub label: String,
    /// The factor that it takes the place of.
    pub replaces: Option<FactorId>,
}

/// An enrolment that waits for its confirming code.
pub struct Enabled {
    /// The method.
    pub method: Method,
    /// Names the enrolment.
    pub handle: Handle,
    /// What the user is shown, once.
    pub shown: Shown,
    /// When it ends.
    pub end_time: Timestamp,
}

/// What the user is shown of an enrolment.
pub enum Shown {
    /// What an authenticator app needs.
    Key(Enrolment),
    /// Where the confirming code went.
    Phone(Sent),
}

impl Shown {
    /// What an authenticator app needs; None = it is no such enrolment.
    pub fn key(&self) -> Option<&Enrolment> {
        match self {
            Self::Key(enrolment) => Some(enrolment),
            Self::Phone(_) => None,
        }
    }
}

/// Starts an enrolment; the pending one of the same method ends.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn enable(kit: &Kit, caller: &Caller, request: EnableRequest, call: &Call) -> Result<Enabled, Error> {
    if request.label.chars().count() > LABEL_CHARACTERS || request.label.chars().any(char::is_control) {
        let problem = format!("must have at most {LABEL_CHARACTERS} characters and no control characters.");
        return Err(Refusal::field("label", problem).into());
    }
    let (user, opener) = match caller {
        Caller::Anonymous => return Err(Refusal::Unauthenticated.into()),
        Caller::Enrollee(enrollee) => (enrollee.user, Opener::EnrolmentToken(enrollee.token)),
        Caller::User(principal) => (principal.user, Opener::Session(principal.session)),
    };
    let account = kit.store.find_account(user).await?.ok_or(Refusal::Unauthenticated)?;
    let settings = kit.settings();
    let method = request.method.unwrap_or_else(|| policy::preferred(&settings, kit.sms.is_some()));
    policy::may_enrol(&settings, account.role, method, kit.sms.is_some())?;
    has_room(&kit.store.factors(user).await?, method, request.replaces)?;
    let pending =
        |data| PendingEnrolment { opener, method, label: request.label.clone(), data, replaces: request.replaces };
    if method == Method::Phone {
        let number = number(kit, &request.phone_number, &account)?;
        again(|| prepare(kit, user, method, opener, call)).await?;
        let data = phone::data(&number, settings.sms_digits);
        let subject = Subject::Enrolment(pending(data.clone()));
        let (handle, end_time) = kit.open(HandleKind::Challenge, user, account.security_version, subject, call).await?;
        let session = match opener {
            Opener::Session(session) => Some(session),
            Opener::EnrolmentToken(_) => None,
        };
        let (shelf, hash) = (handle.shelf(), handle.hash());
        let sent = send(
            kit,
            &Target { shelf, hash, end_time, user, session, phone: &data, key: FailureKey::Enrolment(method) },
            call,
        )
        .await?;
        return Ok(Enabled { method, handle, shown: Shown::Phone(sent), end_time });
    }
    let holder = Holder { issuer: &kit.service_name, account: account.email.typed(), digits: settings.totp_digits };
    let enrolment = factor::of(method).enrol(&holder)?;
    again(|| prepare(kit, user, method, opener, call)).await?;
    let subject = Subject::Enrolment(pending(enrolment.data.clone()));
    let (handle, end_time) = kit.open(HandleKind::Challenge, user, account.security_version, subject, call).await?;
    Ok(Enabled { method, handle, shown: Shown::Key(enrolment), end_time })
}

/// The number that is to be enrolled: of the call, else of the account.
fn number(kit: &Kit, given: &str, account: &Account) -> Result<PhoneNumber, Refusal> {
    let sms = kit.sms.as_ref().ok_or(Refusal::SmsNotConfigured)?;
    let known = account.phone.as_ref().map(PhoneNumber::expose).unwrap_or_default();
    match if given.is_empty() { known } else { given } {
        "" => Err(Refusal::PhoneNumberRequired),
        text => sms.parse(text).map_err(|problem| Refusal::field("phone_number", problem.text())),
    }
}

/// Makes the counts that codes will be paid into, and records the start.
async fn prepare(kit: &Kit, user: UserId, method: Method, opener: Opener, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    tx.ensure_failures(user, FailureKey::Method(method)).await?;
    tx.ensure_failures(user, FailureKey::Method(Method::BackupCode)).await?;
    tx.ensure_failures(user, FailureKey::Enrolment(method)).await?;
    let event = Event::of(EventKind::EnrolmentStarted, user, &call.origin).method(method);
    let event = match opener {
        Opener::Session(session) => event.session(session),
        Opener::EnrolmentToken(_) => event,
    };
    tx.record(&event, call.now).await?;
    tx.commit().await
}

/// Refuses a factor too many, or one in the place of another that is not there.
pub(super) fn has_room(factors: &[EnrolledFactor], method: Method, replaces: Option<FactorId>) -> Result<(), Refusal> {
    if let Some(replaced) = replaces {
        let is_there = factors.iter().any(|factor| factor.id == replaced && factor.method == method);
        return if is_there { Ok(()) } else { Err(Refusal::NotFound) };
    }
    if method == Method::Phone && factors.iter().any(|factor| factor.method == method) {
        let problem = "must name the phone that the new number takes the place of: an account has one.";
        return Err(Refusal::field("factor_id", problem));
    }
    let count = factors.iter().filter(|factor| factor.method != Method::BackupCode).count();
    if count < FACTORS { Ok(()) } else { Err(Refusal::TooManyFactors) }
}
