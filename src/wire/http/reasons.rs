//! The dictionary of reasons as HTTP has them: status and title. `/docs` and the OpenAPI document are made from it too.

use http::StatusCode;

/// A reason.
#[derive(Debug)]
pub struct Reason {
    /// Its stable name.
    pub name: &'static str,
    /// The status of an answer with it.
    pub status: StatusCode,
    /// When it is given, in a few words.
    pub title: &'static str,
}

const fn reason(name: &'static str, status: StatusCode, title: &'static str) -> Reason {
    Reason { name, status, title }
}

/// Every reason.
pub const REASONS: [Reason; 27] = [
    reason("INVALID_ARGUMENT", StatusCode::BAD_REQUEST, "A field is malformed"),
    reason("PASSWORD_REJECTED", StatusCode::BAD_REQUEST, "The new password is refused"),
    reason("INVALID_CREDENTIALS", StatusCode::UNAUTHORIZED, "E-mail or password is wrong"),
    reason("INVALID_CODE", StatusCode::UNAUTHORIZED, "The code is not valid"),
    reason("CHALLENGE_EXPIRED", StatusCode::UNAUTHORIZED, "The challenge is not open"),
    reason("UNAUTHENTICATED", StatusCode::UNAUTHORIZED, "No valid token"),
    reason("STEP_UP_REQUIRED", StatusCode::UNAUTHORIZED, "A fresher or a second factor is needed"),
    reason("ENROLLMENT_REQUIRED", StatusCode::FORBIDDEN, "A second factor must be enrolled first"),
    reason("PERMISSION_DENIED", StatusCode::FORBIDDEN, "Not allowed"),
    reason("USER_BLOCKED", StatusCode::FORBIDDEN, "The account is blocked"),
    reason("RATE_LIMITED", StatusCode::TOO_MANY_REQUESTS, "Too many attempts"),
    reason("TWO_FA_UNAVAILABLE", StatusCode::CONFLICT, "The method cannot be enrolled"),
    reason("TWO_FA_NOT_ENABLED", StatusCode::CONFLICT, "There is no such second factor"),
    reason("TWO_FA_REQUIRED", StatusCode::CONFLICT, "The last second factor must stay"),
    reason("LAST_ADMIN", StatusCode::CONFLICT, "The last administrator must stay"),
    reason("PHONE_NUMBER_REQUIRED", StatusCode::CONFLICT, "A phone number is needed"),
    reason("SMS_NOT_CONFIGURED", StatusCode::CONFLICT, "Text messages are not configured"),
    reason("SMS_DELIVERY_FAILED", StatusCode::SERVICE_UNAVAILABLE, "The text message was not sent"),
    reason("STORE_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, "A store is out of reach"),
    reason("NOT_FOUND", StatusCode::NOT_FOUND, "There is no such thing"),
    reason("ALREADY_EXISTS", StatusCode::CONFLICT, "It is there already"),
    reason("VERSION_MISMATCH", StatusCode::PRECONDITION_FAILED, "It was changed meanwhile"),
    reason("UNKNOWN_METHOD", StatusCode::NOT_FOUND, "There is no such call"),
    reason("REQUEST_TOO_LARGE", StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
    reason("UNSUPPORTED_MEDIA_TYPE", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON by its type"),
    reason("DEADLINE_EXCEEDED", StatusCode::GATEWAY_TIMEOUT, "It took too long"),
    reason("INTERNAL", StatusCode::INTERNAL_SERVER_ERROR, "The service has a fault"),
];

/// The reason of this name.
pub fn find(name: &str) -> Option<&'static Reason> {
    REASONS.iter().find(|reason| reason.name == name)
}
