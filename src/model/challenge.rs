//! A challenge: what must be proven before something is given.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::{
    model::{FactorData, Method, SessionId, UserId},
    secret::{self, Secret},
};

/// Names a challenge and is the right to answer it: the shelf it lies on, and 256 random bits.
///
/// The shelf is a keyed hash of the user's id. It travels with the id because everything that a user has open lies together,
/// so that one atomic step can see it all, also when the ephemeral store is spread over several machines.
pub struct ChallengeId {
    shelf: [u8; 16],
    key: Secret<[u8; 32]>,
}

impl ChallengeId {
    /// A new id on the given shelf.
    pub fn generate(shelf: [u8; 16]) -> anyhow::Result<Self> {
        Ok(Self { shelf, key: Secret::new(secret::random()?) })
    }

    /// Reads an id as callers send it; None when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 48] = secret::from_text(text.strip_prefix("chl_")?)?;
        let (shelf, key) = bytes.split_at(16);
        Some(Self { shelf: shelf.try_into().ok()?, key: Secret::new(key.try_into().ok()?) })
    }

    /// The id as callers see it.
    pub fn to_text(&self) -> String {
        let mut bytes = [0; 48];
        bytes[..16].copy_from_slice(&self.shelf);
        bytes[16..].copy_from_slice(self.key.expose());
        let text = format!("chl_{}", secret::to_text(&bytes));
        bytes.zeroize();
        text
    }

    /// Where the challenge lies.
    pub fn shelf(&self) -> [u8; 16] {
        self.shelf
    }

    /// The hash that stands for the id wherever it is kept.
    pub fn hash(&self) -> [u8; 32] {
        secret::fingerprint(self.key.expose())
    }
}

/// What a challenge was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To complete a sign-in.
    Login,
    /// To confirm a new factor.
    Enrolment,
}

/// What lies in the ephemeral store under a challenge's hash, sealed.
#[derive(Serialize, Deserialize)]
pub enum Challenge {
    /// The second half of a sign-in.
    Login {
        /// Who has shown the right password.
        user: UserId,
        /// The security version then; the challenge dies with it.
        security_version: i64,
    },
    /// A factor that waits for its confirming code.
    Enrolment(PendingEnrolment),
}

/// A factor that waits for its confirming code.
#[derive(Serialize, Deserialize)]
pub struct PendingEnrolment {
    /// Who enrols.
    pub user: UserId,
    /// The session that began it, the only one that may confirm it.
    pub session: SessionId,
    /// The security version then; the enrolment dies with it.
    pub security_version: i64,
    /// The method.
    pub method: Method,
    /// The name for the factor; may be empty.
    pub label: String,
    /// What the method needs to judge a code.
    pub data: FactorData,
}

impl Challenge {
    /// Who may answer.
    pub fn user(&self) -> UserId {
        match self {
            Self::Login { user, .. } => *user,
            Self::Enrolment(pending) => pending.user,
        }
    }

    /// What it was opened for.
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Login { .. } => Purpose::Login,
            Self::Enrolment(_) => Purpose::Enrolment,
        }
    }

    /// The security version of the account when it was opened.
    pub fn security_version(&self) -> i64 {
        match self {
            Self::Login { security_version, .. } => *security_version,
            Self::Enrolment(pending) => pending.security_version,
        }
    }
}
