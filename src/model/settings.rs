//! Policy: what is asked of accounts. It lives in the database alone.

use std::time::Duration;

use crate::model::Method;

/// Whom a second factor is required of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredFor {
    /// Nobody.
    Nobody,
    /// Administrators.
    Admins,
    /// Everyone.
    All,
}

impl RequiredFor {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Admins => "admins",
            Self::All => "all",
        }
    }

    /// Reads `as_str` back.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Nobody, Self::Admins, Self::All].into_iter().find(|known| known.as_str() == word)
    }
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether two-factor authentication is on as a whole.
    pub two_fa_enabled: bool,
    /// The methods that may be enrolled.
    pub allowed_methods: Vec<Method>,
    /// The method that is meant when none is named.
    pub preferred_method: Method,
    /// Whether backup codes are given.
    pub backup_codes_enabled: bool,
    /// Whom a second factor is required of.
    pub required_for: RequiredFor,
    /// How many digits new TOTP factors have.
    pub totp_digits: u8,
    /// How many digits the codes of new phones have.
    pub sms_digits: u8,
    /// How long a code that was sent is good.
    pub sms_code_life: Duration,
}
