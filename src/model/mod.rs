//! Plain records that the rooms share. No I/O, no clock, no rules.

mod account;
mod challenge;
mod email;
mod event;
mod factor;
mod ids;
mod origin;
mod session;

pub use account::{Account, PasswordHash, Role};
pub use challenge::{Challenge, ChallengeId, PendingEnrolment, Purpose};
pub use email::Email;
pub use event::{Event, EventKind};
pub use factor::{EnrolledFactor, FactorData, FailureKey, Method, NewFactor};
pub use ids::{AuditEventId, FactorId, RequestId, SessionId, TokenId, UserId};
pub use origin::Origin;
pub use session::{Acr, Amr, LiveSession, NewSession, Principal, Proof, RefreshState, Session};
