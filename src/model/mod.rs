//! Plain records that the rooms share. No I/O, no clock, no rules.

mod account;
mod audit;
mod caller;
mod challenge;
mod delivery;
mod email;
mod event;
mod factor;
mod ids;
mod origin;
mod phone;
mod session;
mod settings;

pub use account::{Account, PasswordHash, Role};
pub use audit::{AuditRecord, ChainPoint, Seal};
pub use caller::{Caller, Enrollee, Principal};
pub use challenge::{Challenge, Handle, HandleKind, Opener, PendingEnrolment, Purpose, Subject};
pub use delivery::{Backlog, Channel, Cursor, Delivery, Mailing, Notice, NoticeKind};
pub use email::Email;
pub use event::{Event, EventKind, NEW_NETWORK, WITH_FACTOR};
pub use factor::{EnrolledFactor, FactorData, FailureKey, Method, NewFactor, Offer, Spend, has_factor};
pub use ids::{AuditEventId, DeliveryId, FactorId, RequestId, SessionId, TokenId, UserId};
pub use origin::Origin;
pub use phone::{PhoneNumber, SentCode};
pub use session::{Acr, Amr, LiveSession, NewSession, Proof, RefreshState, Session, SessionDetails};
pub use settings::{Grace, RequiredFor, Settings, SettingsChange, SettingsVersion};
