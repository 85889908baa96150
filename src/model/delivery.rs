//! What is told to the outside, once it is committed that it shall be.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    model::{DeliveryId, Method},
    secret::Secret,
};

/// Which way it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// To the webhook of the operator.
    Webhook,
    /// To a user, by e-mail.
    Mail,
}

impl Channel {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Webhook, Self::Mail];

    /// The word in the database, on the command line and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Mail => "mail",
        }
    }

    /// Reads `as_str` back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == word)
    }
}

/// What waits to be handed over, or was given up.
pub struct Delivery {
    /// Its id: the same however often it is handed over.
    pub id: DeliveryId,
    /// Which way it goes.
    pub channel: Channel,
    /// What it tells, as a word.
    pub kind: String,
    /// What is handed over; None = it cannot be read any more.
    pub body: Option<Secret<Vec<u8>>>,
    /// When it was decided.
    pub create_time: Timestamp,
    /// When it is to be tried next; None = it was given up.
    pub due_time: Option<Timestamp>,
    /// How often it was tried.
    pub attempts: i64,
    /// What came of the last try, where it did not succeed.
    pub failure: Option<String>,
    /// When it was given up.
    pub give_up_time: Option<Timestamp>,
}

/// How far a reader has read the audit log, and how many failed sign-ins it has counted in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last place that was read.
    pub position: i64,
    /// Failed sign-ins in the window.
    pub failures: i64,
    /// When the window ends.
    pub window_end: Timestamp,
}

/// How much there is on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many wait.
    pub waiting: u64,
    /// Since when the oldest of them waits.
    pub oldest: Option<Timestamp>,
    /// How many were given up.
    pub given_up: u64,
}

/// What a user is told about the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What has happened.
    pub kind: NoticeKind,
    /// When.
    pub time: Timestamp,
    /// The network address that it came from.
    pub source: String,
    /// Whether an administrator has done it.
    pub by_admin: bool,
}

/// What has happened to an account that its user is to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A factor was confirmed.
    FactorAdded(Method),
    /// A factor was removed.
    FactorRemoved(Method),
    /// There is a new set of backup codes.
    BackupCodesReplaced,
    /// A backup code was used; so many are left, where that is known.
    BackupCodeUsed(Option<u32>),
    /// The password was changed.
    PasswordChanged,
    /// A token was issued that sets a password.
    PasswordTokenIssued,
    /// The right password came from a network that no sign-in had come from.
    NewNetwork,
    /// The right password came, and no second factor after it.
    OneFactorPassed,
    /// Every second factor was taken away by an administrator.
    SecondFactorReset,
    /// An address of the account was changed.
    AddressChanged,
    /// The account was removed.
    AccountDeleted,
}

impl NoticeKind {
    /// The word in the outbox.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FactorAdded(_) => "factor_added",
            Self::FactorRemoved(_) => "factor_removed",
            Self::BackupCodesReplaced => "backup_codes_replaced",
            Self::BackupCodeUsed(_) => "backup_code_used",
            Self::PasswordChanged => "password_changed",
            Self::PasswordTokenIssued => "password_token_issued",
            Self::NewNetwork => "new_network",
            Self::OneFactorPassed => "one_factor_passed",
            Self::SecondFactorReset => "second_factor_reset",
            Self::AddressChanged => "address_changed",
            Self::AccountDeleted => "account_deleted",
        }
    }
}

/// A notice on its way to one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailing {
    /// The address.
    pub to: String,
    /// What it says.
    pub notice: Notice,
}
