//! What an error looks like on the wire: gRPC status with `google.rpc` details. One place, every refusal.

use std::{collections::HashMap, time::Duration};

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    error::{Error, Outage, Proof, Refusal},
    model::Acr,
};

const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// In the metadata of the `ErrorInfo` of an INVALID_CODE that was the last attempt of its challenge.
pub const EXHAUSTED: &str = "challenge_exhausted";

/// The `domain` of every `ErrorInfo`.
pub const DOMAIN: &str = "countersign.v1";

/// The status of an error. A fault is logged here, once; the caller learns only that there was one.
pub fn of(error: Error, request_id: &str) -> Status {
    match error {
        Error::Refused(refusal) => refused(&refusal),
        Error::Broken(fault) if fault.downcast_ref::<Outage>().is_some() => {
            tracing::error!(request_id, fault = format!("{fault:#}"), "a store is out of reach");
            let text = "The service cannot reach its store. Whether it changed anything is not known. Try again.";
            status(Code::Unavailable, "STORE_UNAVAILABLE", text, Some(Duration::from_secs(1)))
        }
        Error::Broken(fault) => {
            tracing::error!(request_id, fault = format!("{fault:#}"), "a fault");
            status(Code::Internal, "INTERNAL", &internal_text(request_id), None)
        }
    }
}

/// The status of a refusal.
pub fn refused(refusal: &Refusal) -> Status {
    let mut details = ErrorDetails::with_error_info(refusal.reason(), DOMAIN, metadata(refusal));
    match refusal {
        Refusal::InvalidArgument(violations) => {
            for violation in violations {
                details.add_bad_request_violation(violation.field, &violation.description);
            }
        }
        Refusal::RateLimited { retry_after: Some(wait) } => {
            details.set_retry_info(Some(*wait));
        }
        Refusal::SmsDeliveryFailed => {
            details.set_retry_info(Some(Duration::from_secs(30)));
        }
        Refusal::PasswordRejected { field, why } => {
            details.add_bad_request_violation(*field, why);
        }
        Refusal::InvalidCredentials
        | Refusal::InvalidCode { .. }
        | Refusal::ChallengeExpired
        | Refusal::Unauthenticated
        | Refusal::PasswordTokenInvalid
        | Refusal::StepUpRequired { .. }
        | Refusal::EnrollmentRequired
        | Refusal::PermissionDenied
        | Refusal::UserBlocked
        | Refusal::RateLimited { retry_after: None }
        | Refusal::TwoFaUnavailable
        | Refusal::TooManyFactors
        | Refusal::TwoFaNotEnabled
        | Refusal::TwoFaRequired
        | Refusal::PhoneNumberRequired
        | Refusal::SmsNotConfigured
        | Refusal::NotFound
        | Refusal::AlreadyExists
        | Refusal::VersionMismatch
        | Refusal::LastAdmin
        | Refusal::UnknownMethod
        | Refusal::RequestTooLarge
        | Refusal::DeadlineExceeded => {}
    }
    Status::with_error_details(code(refusal), refusal.text(), details)
}

/// The status of a panic, which is a fault of ours.
pub fn panicked(request_id: &str) -> Status {
    tracing::error!(request_id, "a call panicked");
    status(Code::Internal, "INTERNAL", &internal_text(request_id), None)
}

/// The status of a request that is not gRPC.
pub fn not_grpc() -> Status {
    let text = "This port speaks gRPC: send content-type application/grpc.";
    status(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", text, None)
}

/// Gives a status that the transport layer has made what ours have: a reason, and words of ours.
pub fn dressed(bare: &Status, request_id: &str) -> Status {
    match bare.code() {
        // tonic says this of a message over the limit.
        Code::OutOfRange => refused(&Refusal::RequestTooLarge),
        Code::Unimplemented if bare.metadata().contains_key(ACCEPT_ENCODING) => compressed(bare),
        Code::Unimplemented => refused(&Refusal::UnknownMethod),
        Code::DeadlineExceeded | Code::Cancelled => refused(&Refusal::DeadlineExceeded),
        Code::ResourceExhausted => refused(&Refusal::RateLimited { retry_after: Some(Duration::from_secs(1)) }),
        // tonic says this of bytes that are no message; faults of ours never get here bare.
        Code::Internal | Code::InvalidArgument | Code::Unknown | Code::DataLoss => {
            tracing::debug!(request_id, message = bare.message(), "the transport refused a message");
            refused(&Refusal::field("request", "is not a message of this rpc. Check it against the proto files."))
        }
        Code::Ok
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unavailable
        | Code::Unauthenticated => {
            let details = ErrorDetails::with_error_info(reason_of(bare.code()), DOMAIN, HashMap::new());
            Status::with_error_details(bare.code(), bare.message(), details)
        }
    }
}

/// tonic refuses a compressed message so, and says in its metadata what it takes.
fn compressed(bare: &Status) -> Status {
    let text = "This service takes no compressed messages. Send them as they are.";
    let mut answer = status(Code::Unimplemented, "UNSUPPORTED_MEDIA_TYPE", text, None);
    if let Some(accepted) = bare.metadata().get(ACCEPT_ENCODING) {
        answer.metadata_mut().insert(ACCEPT_ENCODING, accepted.clone());
    }
    answer
}

/// Whether an answer tells its caller to wait.
pub fn is_rate_limited(headers: &HeaderMap) -> bool {
    let status = Status::from_header_map(headers).filter(|status| status.code() == Code::ResourceExhausted);
    status.and_then(|status| reason(&status)).is_some_and(|reason| reason == "RATE_LIMITED")
}

/// The reason of a status, if it is of ours.
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason)
}

/// Whether it is the service that is at fault.
pub fn is_fault(code: Code) -> bool {
    matches!(code, Code::Internal | Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::DataLoss)
}

/// The name of a code, as gRPC has it.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::InvalidArgument(_) | Refusal::PasswordRejected { .. } => Code::InvalidArgument,
        Refusal::InvalidCode { signed_in: true, .. }
        | Refusal::EnrollmentRequired
        | Refusal::PermissionDenied
        | Refusal::UserBlocked => Code::PermissionDenied,
        Refusal::InvalidCredentials
        | Refusal::InvalidCode { signed_in: false, .. }
        | Refusal::ChallengeExpired
        | Refusal::Unauthenticated
        | Refusal::PasswordTokenInvalid
        | Refusal::StepUpRequired { .. } => Code::Unauthenticated,
        Refusal::RateLimited { .. } | Refusal::RequestTooLarge => Code::ResourceExhausted,
        Refusal::TwoFaUnavailable
        | Refusal::TooManyFactors
        | Refusal::TwoFaNotEnabled
        | Refusal::TwoFaRequired
        | Refusal::PhoneNumberRequired
        | Refusal::SmsNotConfigured
        | Refusal::LastAdmin => Code::FailedPrecondition,
        Refusal::SmsDeliveryFailed => Code::Unavailable,
        Refusal::NotFound => Code::NotFound,
        Refusal::AlreadyExists => Code::AlreadyExists,
        Refusal::VersionMismatch => Code::Aborted,
        Refusal::UnknownMethod => Code::Unimplemented,
        Refusal::DeadlineExceeded => Code::DeadlineExceeded,
    }
}

fn metadata(refusal: &Refusal) -> HashMap<String, String> {
    if let Refusal::InvalidCode { exhausted: true, .. } = refusal {
        return HashMap::from([(EXHAUSTED.to_owned(), "true".to_owned())]);
    }
    let Refusal::StepUpRequired { what, max_age } = refusal else {
        return HashMap::new();
    };
    let acr = match what {
        Proof::SecondFactor => Acr::Two,
        Proof::Password | Proof::NewFactor => Acr::One,
    };
    let mut metadata = HashMap::from([("acr_values".to_owned(), acr.urn().to_owned())]);
    if let Some(max_age) = max_age {
        metadata.insert("max_age".to_owned(), max_age.as_secs().to_string());
    }
    metadata
}

fn status(code: Code, reason: &str, text: &str, retry_after: Option<Duration>) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    if retry_after.is_some() {
        details.set_retry_info(retry_after);
    }
    Status::with_error_details(code, text, details)
}

fn internal_text(request_id: &str) -> String {
    format!("The service has a fault. Nothing is known to be changed. Report it with the id {request_id}.")
}

fn reason_of(code: Code) -> &'static str {
    match code {
        Code::NotFound => "NOT_FOUND",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unavailable => "STORE_UNAVAILABLE",
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss => "INTERNAL",
    }
}
