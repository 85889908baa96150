//! What a user has open: challenges, pending enrolments and enrolment tokens.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{
    model::{FactorData, FactorId, Method, Offer, SessionId, UserId},
    secret::{self, Secret},
};

/// What a handle is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleKind {
    /// A challenge.
    Challenge,
    /// An enrolment token.
    EnrolmentToken,
}

impl HandleKind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Challenge => "chl_",
            Self::EnrolmentToken => "ent_",
        }
    }
}

/// Names something that a user has open, and is the right to use it: the shelf it lies on, and 256 random bits.
///
/// The shelf is a keyed hash of the user's id. It travels with the handle because everything that a user has open lies
/// together, so that one atomic step can see it all, also when the ephemeral store is spread over several machines.
pub struct Handle {
    kind: HandleKind,
    shelf: [u8; 16],
    key: Secret<[u8; 32]>,
}

impl Handle {
    /// A new handle on the given shelf.
    pub fn generate(kind: HandleKind, shelf: [u8; 16]) -> anyhow::Result<Self> {
        Ok(Self { kind, shelf, key: Secret::new(secret::random()?) })
    }

    /// Reads a handle of a kind as callers send it; None when it is none.
    pub fn parse(kind: HandleKind, text: &str) -> Option<Self> {
        let bytes: Secret<[u8; 48]> = Secret::new(secret::from_text(text.strip_prefix(kind.prefix())?)?);
        let (shelf, key) = bytes.expose().split_first_chunk::<16>()?;
        Some(Self { kind, shelf: *shelf, key: Secret::new(key.try_into().ok()?) })
    }

    /// Whether a text has the look of a handle of a kind.
    pub fn looks_like(kind: HandleKind, text: &str) -> bool {
        text.starts_with(kind.prefix())
    }

    /// The handle as callers see it.
    pub fn to_text(&self) -> String {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&self.shelf);
        bytes[16..].copy_from_slice(self.key.expose());
        let text = format!("{}{}", self.kind.prefix(), secret::to_text(&bytes));
        bytes.zeroize();
        text
    }

    /// Where the thing lies.
    pub fn shelf(&self) -> [u8; 16] {
        self.shelf
    }

    /// The hash that stands for the handle wherever it is kept. One kind of handle never has the hash of another.
    pub fn hash(&self) -> [u8; 32] {
        let mut named = Vec::with_capacity(36);
        named.extend_from_slice(self.kind.prefix().as_bytes());
        named.extend_from_slice(self.key.expose());
        let hash = secret::fingerprint(&named);
        named.zeroize();
        hash
    }
}

/// What a challenge was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To complete a sign-in.
    Login,
    /// To confirm a new factor.
    Enrolment,
    /// To prove a second factor anew in a session.
    StepUp,
    /// To set a password with a one-time password token.
    PasswordReset,
}

/// What lies in the ephemeral store under a handle's hash, sealed.
#[derive(Serialize, Deserialize)]
pub struct Challenge {
    /// Whose it is.
    pub user: UserId,
    /// The security version of the account when it was opened; it dies with it.
    pub security_version: i64,
    /// What it is about.
    pub subject: Subject,
}

/// What a challenge is about.
#[derive(Serialize, Deserialize)]
pub enum Subject {
    /// The second half of a sign-in.
    Login {
        /// What answers it.
        offers: Vec<Offer>,
    },
    /// A fresh proof in a session.
    StepUp {
        /// The session.
        session: SessionId,
        /// What answers it.
        offers: Vec<Offer>,
    },
    /// A second factor beside a password token.
    PasswordReset {
        /// Hash of the password token.
        token: [u8; 32],
        /// What answers it.
        offers: Vec<Offer>,
    },
    /// A factor that waits for its confirming code.
    Enrolment(PendingEnrolment),
    /// The right to enrol before a session is given.
    EnrolmentToken,
}

/// A factor that waits for its confirming code.
#[derive(Serialize, Deserialize)]
pub struct PendingEnrolment {
    /// Who began it, and alone may confirm it.
    pub opener: Opener,
    /// The method.
    pub method: Method,
    /// The name for the factor; may be empty.
    pub label: String,
    /// What the method needs to judge a code.
    pub data: FactorData,
    /// The factor that it takes the place of.
    pub replaces: Option<FactorId>,
}

/// Who began an enrolment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opener {
    /// A session.
    Session(SessionId),
    /// An enrolment token, by its hash.
    EnrolmentToken([u8; 32]),
}
