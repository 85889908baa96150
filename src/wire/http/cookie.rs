//! The cookie that carries the challenge of a sign-in, for callers with a cookie jar: who has signed in with a password answers with
//! the code alone.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost_reflect::{DynamicMessage, Value};
use tonic::Status;
use tonic_types::StatusExt;

use super::problem::Problem;
use crate::{challenge, wire::status::EXHAUSTED};

const CHALLENGE_ID: &str = "challenge_id";
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The only one that sets the cookie.
const SETS: &str = "countersign.v1.TwoFaService.LocalAuth";
/// What takes the challenge from the cookie.
const TAKE: [&str; 2] = ["countersign.v1.TwoFaService.Verify", "countersign.v1.TwoFaService.SendCode"];
const SIGNS_OUT: &str = "countersign.v1.SessionService.EndSession";
/// Whose success ends it.
const END: [&str; 3] = [SETS, "countersign.v1.TwoFaService.Verify", SIGNS_OUT];

/// The cookie.
#[derive(Clone, Copy, Debug)]
pub struct Cookie {
    /// Whether browsers send it over TLS alone.
    pub is_secure: bool,
}

/// What the cookie had to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// There is none.
    Absent,
    /// It came along.
    Along,
    /// The request names the challenge that is in it.
    Named,
    /// The challenge was taken from it.
    Decides,
}

impl Cookie {
    fn name(self) -> &'static str {
        if self.is_secure { "__Host-countersign_challenge" } else { "countersign_challenge" }
    }

    /// Puts the challenge of the cookie into a request that names none and shows no token. Where the cookie decides, a request from
    /// another site is refused.
    pub fn apply(self, rpc: &str, headers: &HeaderMap, message: &mut DynamicMessage) -> Result<Part, Problem> {
        let Some(challenge_id) = self.find(headers) else {
            return Ok(Part::Absent);
        };
        let is_named = message.get_field_by_name(CHALLENGE_ID).is_some_and(|id| id.as_str() != Some(""));
        let is_same = message.get_field_by_name(CHALLENGE_ID).is_some_and(|id| id.as_str() == Some(&challenge_id));
        if TAKE.contains(&rpc) && is_same {
            return Ok(Part::Named);
        }
        if !TAKE.contains(&rpc) || is_named || headers.contains_key(header::AUTHORIZATION) {
            return Ok(Part::Along);
        }
        if !is_same_origin(headers, self.is_secure) {
            let text = "This request comes from another site, and the cookie of a sign-in is not for it. Send challengeId along.";
            return Err(Problem::new("PERMISSION_DENIED", text));
        }
        message.set_field_by_name(CHALLENGE_ID, Value::String(challenge_id));
        Ok(Part::Decides)
    }

    /// What a successful answer does to the cookie.
    pub fn after(self, rpc: &str, part: Part, answer: &DynamicMessage) -> Option<HeaderValue> {
        let opened = answer.get_field_by_name(CHALLENGE_ID).and_then(|id| id.as_str().map(str::to_owned));
        match opened.filter(|id| rpc == SETS && !id.is_empty()) {
            Some(challenge_id) => self.set(&challenge_id, challenge::CHALLENGE_LIFE.as_secs()),
            None if END.contains(&rpc) && part != Part::Absent => self.end(),
            None => None,
        }
    }

    /// What a refusal does to the cookie: one whose challenge is not open any more goes, and so does that of whoever signs out
    /// without being signed in.
    pub fn after_refusal(self, rpc: &str, part: Part, refusal: &Status) -> Option<HeaderValue> {
        let info = refusal.get_details_error_info()?;
        let is_over = info.reason == "CHALLENGE_EXPIRED" || info.metadata.contains_key(EXHAUSTED);
        let is_of_it = matches!(part, Part::Decides | Part::Named);
        let signs_out = rpc == SIGNS_OUT && part != Part::Absent && info.reason == "UNAUTHENTICATED";
        if (is_of_it && is_over) || signs_out { self.end() } else { None }
    }

    fn end(self) -> Option<HeaderValue> {
        self.set("", 0)
    }

    fn set(self, value: &str, max_age: u64) -> Option<HeaderValue> {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}", self.name());
        HeaderValue::from_str(&text).ok()
    }

    /// The value. Two of the name are none: it cannot be told which is ours.
    fn find(self, headers: &HeaderMap) -> Option<String> {
        // As bytes: what others have set need not be text.
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let own = pairs.filter_map(|pair| pair.strip_prefix(self.name().as_bytes())?.strip_prefix(b"="));
        let mut values = own.filter(|value| !value.is_empty());
        let value = std::str::from_utf8(values.next()?).ok()?;
        values.next().is_none().then(|| value.to_owned())
    }
}

/// What browsers say of where a request comes from; others say nothing. `sec-fetch-site` is the better witness where it is there, since
/// a proxy may have changed the host. Where cookies are for TLS alone, so are the pages that may send them; without that there may be TLS
/// before a proxy, or none.
pub fn is_same_origin(headers: &HeaderMap, is_secure: bool) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let authority = parts.filter(|(scheme, _)| !is_secure || *scheme == "https").map(|(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    authority.is_some_and(|authority| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}
