//! What is done with the audit log: sealing it, verifying it, and reading it. (Each verb writes its own records.)

mod read;
mod retire;
mod seal;
mod sign_anew;
mod verify;

pub use read::{AuditPage, follow, read_audit_events, records_after};
pub use retire::retire_audit;
pub use seal::{Sealer, seal_audit};
pub use sign_anew::sign_audit_anew;
pub use verify::{Finding, Verdict, verify_audit};
