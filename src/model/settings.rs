//! Policy: what is asked of accounts. It lives in the database alone.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    model::{Method, Role, UserId},
};

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

/// Since when accounts of a role have been asked for a second factor, and how long each may do without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// Since when; means nothing while they are not asked.
    pub since: Timestamp,
    /// How long, counted from then, or from when the account was made if that is later.
    pub period: Duration,
}

/// The policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Rises with every change.
    pub version: i64,
    /// When it was changed; None = it is as the first migration made it.
    pub change_time: Option<Timestamp>,
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
    /// How long administrators may do without.
    pub admins: Grace,
    /// How long everyone else may.
    pub users: Grace,
    /// How many digits new TOTP factors have.
    pub totp_digits: u8,
    /// How many digits the codes of new phones have.
    pub sms_digits: u8,
    /// How long a code that was sent is good.
    pub sms_code_life: Duration,
}

impl Settings {
    /// The grace of a role.
    pub fn grace(&self, role: Role) -> Grace {
        match role {
            Role::Admin => self.admins,
            Role::User => self.users,
        }
    }
}

/// What is to be another way; None = as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// See [`Settings`], as all that follow.
    pub two_fa_enabled: Option<bool>,
    /// The methods that may be enrolled.
    pub allowed_methods: Option<Vec<Method>>,
    /// The method that is meant when none is named.
    pub preferred_method: Option<Method>,
    /// Whether backup codes are given.
    pub backup_codes_enabled: Option<bool>,
    /// Whom a second factor is required of.
    pub required_for: Option<RequiredFor>,
    /// How long administrators may do without.
    pub admin_grace_period: Option<Duration>,
    /// How long everyone else may.
    pub grace_period: Option<Duration>,
    /// How many digits new TOTP factors have.
    pub totp_digits: Option<u8>,
    /// How many digits the codes of new phones have.
    pub sms_digits: Option<u8>,
    /// How long a code that was sent is good.
    pub sms_code_life: Option<Duration>,
}

impl SettingsChange {
    /// The policy with this change.
    pub fn applied_to(&self, old: &Settings) -> Settings {
        let mut new = old.clone();
        new.two_fa_enabled = self.two_fa_enabled.unwrap_or(old.two_fa_enabled);
        if let Some(methods) = &self.allowed_methods {
            new.allowed_methods.clone_from(methods);
        }
        new.preferred_method = self.preferred_method.unwrap_or(old.preferred_method);
        new.backup_codes_enabled = self.backup_codes_enabled.unwrap_or(old.backup_codes_enabled);
        new.required_for = self.required_for.unwrap_or(old.required_for);
        new.admins.period = self.admin_grace_period.unwrap_or(old.admins.period);
        new.users.period = self.grace_period.unwrap_or(old.users.period);
        new.totp_digits = self.totp_digits.unwrap_or(old.totp_digits);
        new.sms_digits = self.sms_digits.unwrap_or(old.sms_digits);
        new.sms_code_life = self.sms_code_life.unwrap_or(old.sms_code_life);
        new
    }
}

/// A version of the policy, and who made it.
pub struct SettingsVersion {
    /// The policy.
    pub settings: Settings,
    /// The administrator who saved it.
    pub admin: Option<UserId>,
}
