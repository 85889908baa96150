//! The one error type: either a refusal, which is meant, or a fault, which is not.

use std::{borrow::Cow, fmt, time::Duration};

/// Why a verb did not do what was asked.
pub enum Error {
    /// Meant: the text is public and the reason is API.
    Refused(Refusal),
    /// A fault: logged once, at the boundary. The caller sees STORE_UNAVAILABLE when an [`Outage`] lies beneath, else
    /// INTERNAL.
    Broken(anyhow::Error),
}

/// Marks a fault as the database or the ephemeral store being out of reach.
#[derive(Debug, thiserror::Error)]
#[error("the store is out of reach")]
pub struct Outage;

/// Marks a fault as a transaction that lost against others and is undone as a whole: it may run again.
#[derive(Debug, thiserror::Error)]
#[error("others were at the same rows")]
pub struct Contention;

/// In one line, with what lies beneath: it goes into logs.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal:?}"),
            Self::Broken(fault) => write!(f, "{fault:#}"),
        }
    }
}

impl Error {
    /// What a person at the command line is told.
    pub fn into_anyhow(self) -> anyhow::Error {
        match self {
            Self::Refused(refusal) => anyhow::anyhow!("{}", refusal.text()),
            Self::Broken(fault) => fault,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<anyhow::Error> for Error {
    fn from(fault: anyhow::Error) -> Self {
        Self::Broken(fault)
    }
}

/// A malformed field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the field as in proto.
    pub field: &'static str,
    /// What is wrong with it, as a sentence.
    pub description: String,
}

/// What a session must prove anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The second factor of the account.
    SecondFactor,
    /// The password: the account has no factor, and none is asked for.
    Password,
    /// The password, and a factor that is to be enrolled: the account has none, and must have one here.
    NewFactor,
}

impl Proof {
    fn text(self) -> &'static str {
        match self {
            Self::SecondFactor => {
                "This needs a fresh proof of your second factor: CreateChallenge and Verify (POST /authentication/twoFa/authorize and verify); \
                 where the request has a code, one in it does instead."
            }
            Self::Password => "This needs a fresh proof of your password. Sign in again.",
            Self::NewFactor => {
                "This needs a second factor, and the account has none. Sign in again and enrol one: Enable and Verify."
            }
        }
    }
}

/// Every refusal that the service makes; the dictionary of reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Malformed fields, each named.
    InvalidArgument(Vec<Violation>),
    /// A new password is refused.
    PasswordRejected {
        /// The name of its field as in proto.
        field: &'static str,
        /// Why, as a sentence.
        why: String,
    },
    /// Unknown user or wrong password, alike.
    InvalidCredentials,
    /// A code that is wrong, replayed or expired, alike.
    InvalidCode {
        /// The caller showed a valid access token, so it is the call that is refused, not the caller.
        signed_in: bool,
        /// It was the last attempt of its challenge.
        exhausted: bool,
    },
    /// An unknown, expired, used or exhausted challenge; no pending enrolment.
    ChallengeExpired,
    /// No token, or a malformed, expired or revoked one.
    Unauthenticated,
    /// A one-time password token that is unknown, used or has run out.
    PasswordTokenInvalid,
    /// The session must be proven again.
    StepUpRequired {
        /// What must be proven.
        what: Proof,
        /// How old the proof may be.
        max_age: Option<Duration>,
    },
    /// An enrolment token was used where it opens nothing.
    EnrollmentRequired,
    /// The role does not allow it.
    PermissionDenied,
    /// The account is blocked. Said only after the right password or to a session of the account.
    UserBlocked,
    /// Too much of something; waiting helps.
    RateLimited {
        /// How long to wait; None = waiting does not help.
        retry_after: Option<Duration>,
    },
    /// The method cannot be enrolled.
    TwoFaUnavailable,
    /// The account has as many factors as it may.
    TooManyFactors,
    /// There is no factor.
    TwoFaNotEnabled,
    /// Policy asks the account for a factor.
    TwoFaRequired,
    /// A phone is to be enrolled, and no number is known.
    PhoneNumberRequired,
    /// No text messages can be sent.
    SmsNotConfigured,
    /// The provider has not taken a text message.
    SmsDeliveryFailed,
    /// There is no such thing that the caller may see.
    NotFound,
    /// The e-mail address is that of another account.
    AlreadyExists,
    /// It was changed since it was read.
    VersionMismatch,
    /// The last administrator would go.
    LastAdmin,
    /// An rpc that does not exist.
    UnknownMethod,
    /// A message or its metadata is over the limit.
    RequestTooLarge,
    /// The call took longer than the caller or the service allows.
    DeadlineExceeded,
}

impl Refusal {
    /// A refusal of one malformed field.
    pub fn field(field: &'static str, description: impl Into<String>) -> Self {
        Self::InvalidArgument(vec![Violation { field, description: description.into() }])
    }

    /// The stable name: API, metric label and audit word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidArgument(_) => "INVALID_ARGUMENT",
            Self::PasswordRejected { .. } => "PASSWORD_REJECTED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::InvalidCode { .. } => "INVALID_CODE",
            Self::ChallengeExpired => "CHALLENGE_EXPIRED",
            Self::Unauthenticated | Self::PasswordTokenInvalid => "UNAUTHENTICATED",
            Self::StepUpRequired { .. } => "STEP_UP_REQUIRED",
            Self::EnrollmentRequired => "ENROLLMENT_REQUIRED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::UserBlocked => "USER_BLOCKED",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::TwoFaUnavailable | Self::TooManyFactors => "TWO_FA_UNAVAILABLE",
            Self::TwoFaNotEnabled => "TWO_FA_NOT_ENABLED",
            Self::TwoFaRequired => "TWO_FA_REQUIRED",
            Self::PhoneNumberRequired => "PHONE_NUMBER_REQUIRED",
            Self::SmsNotConfigured => "SMS_NOT_CONFIGURED",
            Self::SmsDeliveryFailed => "SMS_DELIVERY_FAILED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::VersionMismatch => "VERSION_MISMATCH",
            Self::LastAdmin => "LAST_ADMIN",
            Self::UnknownMethod => "UNKNOWN_METHOD",
            Self::RequestTooLarge => "REQUEST_TOO_LARGE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
        }
    }

    /// A sentence for a person that says what to do.
    pub fn text(&self) -> Cow<'static, str> {
        match self {
            Self::InvalidArgument(violations) => {
                let named: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
                Cow::Owned(named.join(" "))
            }
            Self::PasswordRejected { why, .. } => Cow::Owned(why.clone()),
            Self::InvalidCredentials => "E-mail or password is wrong. Check both and try again.".into(),
            Self::InvalidCode { .. } => {
                "That code is not valid. A code works once: if you have just used it, wait for the next one.".into()
            }
            Self::ChallengeExpired => {
                "This challenge has ended or was used. Begin again: sign in, start the enrolment, or ask for a new challenge.".into()
            }
            Self::Unauthenticated => "The token is missing, expired or ended. Sign in again.".into(),
Self::PasswordTokenInvalid => {
                "This password token was used or has run out. Ask an administrator for a new one.".into()
            }
            Self::StepUpRequired { what, .. } => what.text().into(),
            Self::EnrollmentRequired => {
                "An enrolment token opens the enrolment of a second factor only. Enrol one, and go on with the tokens that Verify \
                 gives."
                    .into()
            }
            Self::PermissionDenied => "Your role does not allow this. Ask an administrator.".into(),
            Self::UserBlocked => "This account is blocked. Ask an administrator.".into(),
            Self::RateLimited { retry_after: Some(_) } => "Too many attempts. Wait, then try again.".into(),
            Self::RateLimited { retry_after: None } => {
                "Too many wrong codes in a row: this method is switched off for the account. Use another method, or ask an \
                 administrator to reset it."
                    .into()
            }
            Self::TwoFaUnavailable => {
                "This method, or two-factor authentication as a whole, is switched off. Choose another method, or ask an administrator."
                    .into()
            }
            Self::TooManyFactors => "The account has five factors, which is as many as it may. Replace or remove one.".into(),
            Self::TwoFaNotEnabled => "The account has no such second factor. GetTwoFaStatus shows what it has, Enable enrols one.".into(),
            Self::TwoFaRequired => {
                "This account must have a second factor, so the last one cannot be removed. Replace it instead: Enable with \
                 factor_id."
                    .into()
            }
            Self::PhoneNumberRequired => "No phone number is known of the account. Send phone_number along.".into(),
            Self::SmsNotConfigured => "Text messages to this number are not configured here. Use another method.".into(),
            Self::SmsDeliveryFailed => {
                "The text message could not be delivered. Try again in a while, or use another method or a backup code.".into()
            }
            Self::NotFound => "There is no such thing, or it is not yours. List what there is, and try again.".into(),
            Self::AlreadyExists => "There is an account with this e-mail address. Change that one, or choose another address.".into(),
            Self::VersionMismatch => {
                "It was changed since you have read it. Read it again, decide again, and send the etag of what you have read.".into()
            }
            Self::LastAdmin => {
                "This is the last administrator who can sign in. Make another one first (UpdateUser with role).".into()
            }
            Self::UnknownMethod => "There is no such rpc. List the services by reflection.".into(),
            Self::RequestTooLarge => "The request is too large. Send a smaller message and less metadata.".into(),
            Self::DeadlineExceeded => "The call took too long. Try again; if you set a deadline, with a longer one.".into(),
        }
    }
}
