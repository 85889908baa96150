//! The rows, as sea-orm sees them. They never leave `store`.

pub mod audit_event;
pub mod factor;
pub mod factor_failure;
pub mod key_check;
pub mod session;
pub mod spent_challenge;
pub mod user;
