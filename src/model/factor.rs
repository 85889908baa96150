//! A second factor of an account.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    clock::Timestamp,
    model::{FactorId, UserId},
};

/// A way to prove a second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code by time from an authenticator app (RFC 6238).
    Totp,
    /// A code sent by text message.
    Phone,
    /// One of a set of codes to keep on paper.
    BackupCode,
}

impl Method {
    /// Every method, the one to be preferred first.
    pub const ALL: [Self; 3] = [Self::Totp, Self::Phone, Self::BackupCode];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Phone => "phone",
            Self::BackupCode => "backup_code",
        }
    }

    /// Reads `as_str` back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == word)
    }
}

/// What failures are counted under. An enrolment has a key of its own, so that its wrong codes never lock a working factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKey {
    /// Codes of an enrolled factor.
    Method(Method),
    /// Codes that would confirm a pending enrolment.
    Enrolment(Method),
}

impl FailureKey {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method(method) => method.as_str(),
            Self::Enrolment(Method::Totp) => "enroll_totp",
            Self::Enrolment(Method::Phone) => "enroll_phone",
            Self::Enrolment(Method::BackupCode) => "enroll_backup_code",
        }
    }
}

/// What a method needs to judge a code; only the method's own file reads it. It cannot be printed and is wiped when dropped.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct FactorData(Vec<u8>);

impl FactorData {
    /// Takes the bytes into custody.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What takes the place of data that do not open: no code is right for them.
    pub fn damaged() -> Self {
        Self(Vec::new())
    }

    /// Whether they do not open.
    pub fn is_damaged(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, to be used on the spot.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A confirmed factor.
#[derive(Clone)]
pub struct EnrolledFactor {
    /// Its id.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserId,
    /// Its method.
    pub method: Method,
    /// The name that its owner gave it; may be empty.
    pub label: String,
    /// What the method needs to judge a code.
    pub data: FactorData,
    /// What is used up; its meaning is the method's own (TOTP: the last step; backup codes: a bit for each).
    pub spent: i64,
    /// When it was confirmed.
    pub create_time: Timestamp,
    /// When it last completed a sign-in.
    pub last_use_time: Option<Timestamp>,
}

/// Whether any of these is more than a set of backup codes, which stands in for a factor and is none.
pub fn has_factor(factors: &[EnrolledFactor]) -> bool {
    factors.iter().any(|factor| factor.method != Method::BackupCode)
}

/// What a right code uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spend {
    /// Everything to this number included.
    UpTo(i64),
    /// The thing that this bit stands for.
    Bit(i64),
    /// Nothing of the factor's: the code was made for one challenge, and is used up with it.
    Challenge,
}

/// What an account can be asked for: a method, and how long its codes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The method.
    pub method: Method,
    /// The number of digits or letters of a code.
    pub length: u8,
}

/// A factor that is being confirmed.
pub struct NewFactor<'a> {
    /// Its id.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserId,
    /// Its method.
    pub method: Method,
    /// The name that its owner gave it; may be empty.
    pub label: &'a str,
    /// What the method needs to judge a code.
    pub data: &'a FactorData,
    /// What the confirming code has used up.
    pub spent: i64,
}
