//! Why there is no page: the reason of an rpc, with words for whoever looks at the console.

use std::time::Duration;

use http::StatusCode;
use tonic::Status;
use tonic_types::StatusExt;

use super::{super::reasons, texts};
use crate::wire::status::EXHAUSTED;

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The reason, as the API has it.
    pub reason: String,
    /// What to do, for a person.
    pub text: String,
    /// Seconds until it is worth to try again.
    pub wait: Option<u64>,
    /// It was the last attempt of its challenge.
    pub is_exhausted: bool,
    /// A fresher proof is asked for, and the account has nothing but a password.
    pub is_for_password: bool,
}

impl Refused {
    /// A refusal that the console makes itself.
    pub fn new(reason: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            text: texts::of_reason(reason).unwrap_or(texts::ENGLISH.reason_internal).to_owned(),
            wait: None,
            is_exhausted: false,
            is_for_password: false,
        }
    }

    /// The same in other words.
    #[must_use]
    pub fn saying(self, text: &str) -> Self {
        Self { text: text.to_owned(), ..self }
    }

    /// Whether it is this one.
    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }

    /// Whether the challenge cannot be answered any more.
    pub fn ends_challenge(&self) -> bool {
        self.is_exhausted || self.is("CHALLENGE_EXPIRED")
    }

    /// Whether there is no session any more.
    pub fn is_signed_out(&self) -> bool {
        self.is("UNAUTHENTICATED") || self.is("USER_BLOCKED")
    }

    /// The status of a page that says so.
    pub fn status(&self) -> StatusCode {
        match reasons::find(&self.reason).map(|reason| reason.status) {
            // A page asks for no header that a browser could send: it says itself what to do.
            Some(StatusCode::UNAUTHORIZED) => StatusCode::FORBIDDEN,
            Some(status) => status,
            None if self.reason.starts_with("FORM_") => StatusCode::FORBIDDEN,
            None => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let mut refused = Self::new(info.map_or("INTERNAL", |info| info.reason.as_str()));
        let metadata = |name: &str| info.and_then(|info| info.metadata.get(name)).map(String::as_str);
        refused.is_exhausted = metadata(EXHAUSTED).is_some();
        refused.is_for_password = metadata("acr_values").is_some_and(|acr| acr.ends_with(":1"));
        refused.wait = details.retry_info().and_then(|retry| retry.retry_delay).map(seconds);
        if refused.is("RATE_LIMITED") && refused.wait.is_none() {
            refused.text = texts::ENGLISH.reason_switched_off.to_owned();
        }
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        if !violations.is_empty() {
            let said: Vec<_> = violations.iter().map(|v| texts::of_field(&v.field, &v.description)).collect();
            refused.text = said.join(" ");
        }
        refused
    }
}

/// Whole seconds, and never one too few.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}
