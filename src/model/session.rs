//! A session: what a sign-in has given.

use crate::{
    clock::Timestamp,
    model::{Role, SessionId, UserId},
};

/// Authentication context class: how many factors the session was proven with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Acr {
    /// One factor.
    One,
    /// Two factors.
    Two,
}

impl Acr {
    /// The `acr` claim.
    pub const fn urn(self) -> &'static str {
        match self {
            Self::One => "urn:countersign:acr:1",
            Self::Two => "urn:countersign:acr:2",
        }
    }
}

/// Authentication methods references (RFC 8176), in the order in which they were proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amr(Vec<String>);

impl Amr {
    /// A proof by password.
    pub fn password() -> Self {
        Self(vec!["pwd".to_owned()])
    }

    /// These methods and the ones of a second factor, each once.
    #[must_use]
    pub fn with(&self, words: &[&str]) -> Self {
        let mut all = self.0.clone();
        for word in words {
            if !all.iter().any(|known| known == word) {
                all.push((*word).to_owned());
            }
        }
        Self(all)
    }

    /// The words of the `amr` claim.
    pub fn words(&self) -> &[String] {
        &self.0
    }

    /// The form in the database: words parted by spaces.
    pub fn to_line(&self) -> String {
        self.0.join(" ")
    }

    /// Reads `to_line` back.
    pub fn from_line(line: &str) -> Self {
        Self(line.split_ascii_whitespace().map(str::to_owned).collect())
    }
}

/// How and when a session was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When its strongest factor was last proven.
    pub auth_time: Timestamp,
    /// With what.
    pub amr: Amr,
    /// How many factors.
    pub acr: Acr,
}

/// A session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How it was proven.
    pub proof: Proof,
    /// It ends then unless it is refreshed; never later than `end_time`.
    pub idle_end_time: Timestamp,
    /// It ends then in any case.
    pub end_time: Timestamp,
}

impl Session {
    /// Whether it has not run out.
    pub fn is_alive(&self, now: Timestamp) -> bool {
        now < self.idle_end_time
    }
}

/// A session that is being opened.
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// Hash of the part that all its refresh tokens share.
    pub family_hash: [u8; 32],
    /// Hash of its first refresh token.
    pub refresh_hash: [u8; 32],
}

/// What the database keeps of a session's refresh tokens.
pub struct RefreshState {
    /// Hash of the part that all refresh tokens of the session share.
    pub family_hash: [u8; 32],
    /// Hash of the token that is good now.
    pub current_hash: [u8; 32],
    /// Hash of the token before it.
    pub previous_hash: Option<[u8; 32]>,
    /// The token that is good now, sealed, for whoever lost the answer.
    pub sealed_successor: Option<Vec<u8>>,
    /// Until when it is given again.
    pub successor_end_time: Option<Timestamp>,
}

/// A session together with what its account is now.
#[derive(Clone, Debug)]
pub struct LiveSession {
    /// The session.
    pub session: Session,
    /// The role of the account now.
    pub role: Role,
    /// Whether the account is blocked now.
    pub blocked: bool,
    /// Whether the account has a second factor now.
    pub has_factor: bool,
    /// Since when the account has its role.
    pub role_time: Timestamp,
}

/// A session as its owner sees it.
pub struct SessionDetails {
    /// The session.
    pub session: Session,
    /// When it began.
    pub create_time: Timestamp,
    /// When it was last refreshed.
    pub refresh_time: Option<Timestamp>,
    /// The network address of the sign-in.
    pub source: String,
    /// What the client of the sign-in called itself.
    pub user_agent: String,
}
