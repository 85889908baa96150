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
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 1] = [Self::Totp];

    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
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
            Self::Method(Method::Totp) => "totp",
            Self::Enrolment(Method::Totp) => "enroll_totp",
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

    /// The bytes, to be used on the spot.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// A confirmed factor.
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
    /// What is used up; its meaning is the method's own (TOTP: the last step).
    pub spent: i64,
    /// When it was confirmed.
    pub create_time: Timestamp,
    /// When it last completed a sign-in.
    pub last_use_time: Option<Timestamp>,
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
