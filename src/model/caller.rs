//! Who calls, after the access rule of the rpc is met. Only the guard makes these.

use crate::model::{Proof, Role, SessionId, UserId};

/// Who calls.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Nobody in particular.
    Anonymous,
    /// The bearer of an enrolment token.
    Enrollee(Enrollee),
    /// A user with a living session.
    User(Principal),
}

/// A user with a living session.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The account.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// The role of the account now.
    pub role: Role,
    /// How the session was proven.
    pub proof: Proof,
    /// Whether the session is proven as the rpc asks. False only where a proof in the call does instead.
    pub is_assured: bool,
}

/// Somebody with the right password who must enrol a second factor before a session is given.
#[derive(Clone, Debug)]
pub struct Enrollee {
    /// The account.
    pub user: UserId,
    /// Hash of the enrolment token.
    pub token: [u8; 32],
}

impl Caller {
    /// The account, where one is known.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Anonymous => None,
            Self::Enrollee(enrollee) => Some(enrollee.user),
            Self::User(principal) => Some(principal.user),
        }
    }
}
