//! Ways to prove oneself, a file each, and their register. A factor says right or wrong; attempts, locks, single use, audit
//! and tokens are the flow's, once.

pub mod password;
mod qr;
mod totp;

use crate::{
    clock::Timestamp,
    error::Error,
    model::{FactorData, Method},
    secret::Secret,
};

/// What a factor says of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is not right.
    Wrong,
    /// It was right once; what it stands for is used up.
    Replay,
    /// It is right, and uses up everything to `spent` included.
    Right {
        /// The factor's new `spent`.
        spent: i64,
    },
}

/// Whom an enrolment is for, as the authenticator shows it.
pub struct Holder<'a> {
    /// The name of the service.
    pub issuer: &'a str,
    /// The name of the account.
    pub account: &'a str,
}

/// An enrolment that has begun: what the service keeps, and what the user is shown once.
pub struct Enrolment {
    /// What the factor needs to judge a code.
    pub data: FactorData,
    /// A picture of `uri` as data URI.
    pub qr_code: Secret<String>,
    /// The shared secret in base32.
    pub secret: Secret<String>,
    /// The key URI.
    pub uri: Secret<String>,
    /// What the user does next.
    pub instruction: &'static str,
}

/// A way to prove a second factor.
pub trait Factor: Send + Sync {
    /// What it adds to `amr` (RFC 8176).
    fn amr(&self) -> &'static [&'static str];

    /// Begins an enrolment.
    fn enrol(&self, holder: &Holder<'_>) -> Result<Enrolment, Error>;

    /// Whether the input has the form of a code of this factor.
    fn fits(&self, input: &str, data: &FactorData) -> bool;

    /// Judges a code. `spent` is what is used up already.
    fn judge(&self, input: &str, data: &FactorData, spent: i64, now: Timestamp) -> Result<Verdict, Error>;
}

/// The register: which file stands for which method.
pub fn of(method: Method) -> &'static dyn Factor {
    match method {
        Method::Totp => &totp::Totp,
    }
}

/// The input as exactly `count` ASCII digits, after removing spaces and hyphens once.
fn digits(input: &str, count: usize) -> Option<Secret<String>> {
    let digits: String = input.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let digits = Secret::new(digits);
    let fits = digits.expose().len() == count && digits.expose().bytes().all(|b| b.is_ascii_digit());
    fits.then_some(digits)
}
