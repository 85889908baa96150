//! Errors as `application/problem+json` (RFC 9457), with the reason that gRPC has.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde::Serialize;
use tonic::{Code, Status, body::Body};
use tonic_types::StatusExt;

use super::reasons;

/// The media type.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// A field that is malformed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Its name in JSON, with dots between levels; "body" for the body as a whole.
    pub field: String,
    /// What is wrong with it, as a sentence.
    pub description: String,
}

impl Violation {
    /// A violation.
    pub fn new(field: &str, description: impl Into<String>) -> Self {
        Self { field: field.to_owned(), description: description.into() }
    }
}

/// An error.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    reason: String,
    detail: String,
    violations: Vec<Violation>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of an error.
#[derive(Serialize)]
struct Body9457<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "<[Violation]>::is_empty")]
    violations: &'a [Violation],
}

impl Problem {
    /// An error that the gateway makes itself.
    pub fn new(reason: &str, detail: impl Into<String>) -> Self {
        let status = reasons::find(reason).map_or(StatusCode::INTERNAL_SERVER_ERROR, |reason| reason.status);
        let (violations, headers) = (Vec::new(), Vec::new());
        Self { status, reason: reason.to_owned(), detail: detail.into(), violations, headers }
    }

    /// Malformed fields.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let named: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
        Self { violations, ..Self::new("INVALID_ARGUMENT", named.join(" ")) }
    }

    /// What a status of gRPC is here. `was_shown` tells whether the request showed a token.
    pub fn of(status: &Status, was_shown: bool) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info.map_or("INTERNAL", |info| info.reason.as_str());
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        let violations: Vec<_> =
            violations.iter().map(|v| Violation::new(&camel(&v.field), v.description.clone())).collect();
        let mut problem = match reason {
            "INVALID_ARGUMENT" => Self::invalid(violations),
            _ => Self { violations, ..Self::new(reason, status.message()) },
        };
        if reason == "INVALID_CODE" && status.code() == Code::PermissionDenied {
            problem.status = StatusCode::FORBIDDEN;
        }
        if let Some(wait) = details.retry_info().and_then(|retry| retry.retry_delay) {
            problem = problem.with(header::RETRY_AFTER, &seconds(wait).to_string());
        }
        if problem.status == StatusCode::UNAUTHORIZED {
            let field = |name: &str| info.and_then(|info| info.metadata.get(name)).map(String::as_str);
            problem = problem
                .with(header::WWW_AUTHENTICATE, &challenge(reason, was_shown, field("acr_values"), field("max_age")));
        }
        problem
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with a header; one whose value cannot be a header stays out.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The body.
    pub fn json(&self) -> String {
        let body = Body9457 {
            r#type: format!("/docs#{}", self.reason),
            title: reasons::find(&self.reason).map_or("The service has a fault", |reason| reason.title),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: &self.reason,
            violations: &self.violations,
        };
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The answer.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::new(Full::from(self.json() + "\n")));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

/// How to prove oneself (RFC 6750 section 3, RFC 9470 section 3).
fn challenge(reason: &str, was_shown: bool, acr_values: Option<&str>, max_age: Option<&str>) -> String {
    match reason {
        "STEP_UP_REQUIRED" => {
            let mut challenge = r#"Bearer error="insufficient_user_authentication""#.to_owned();
            if let Some(acr_values) = acr_values {
                challenge.push_str(&format!(r#", acr_values="{acr_values}""#));
            }
            if let Some(max_age) = max_age {
                challenge.push_str(&format!(", max_age={max_age}"));
            }
            challenge
        }
        "UNAUTHENTICATED" if was_shown => r#"Bearer realm="countersign", error="invalid_token""#.to_owned(),
        _ => r#"Bearer realm="countersign""#.to_owned(),
    }
}

/// Whole seconds, and never one too few.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The JSON name of a field of a proto file.
pub fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
        name + &head.to_ascii_uppercase() + tail
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_never_told_too_short() {
        assert_eq!([0, 1, 1000, 1001, 29_999].map(|millis| seconds(Duration::from_millis(millis))), [0, 1, 1, 2, 30]);
    }

    #[test]
    fn fields_have_their_json_names() {
        assert_eq!([camel("email"), camel("challenge_id"), camel("a_b_cd")], ["email", "challengeId", "aBCd"]);
    }
}
