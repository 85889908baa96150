//! Tells the outside what the audit log has recorded: the operator by a webhook, users by mail. What is told is read in the order of
//! the chain, and waits in an outbox until it is taken: neither the change nor its record waits for that.

mod address;
mod batch;
mod collect_abandoned;
mod collect_events;
mod collect_notices;
mod hand_over;
mod notice;
mod retry;

pub(super) use address::tell_old_address;
pub use collect_abandoned::collect_abandoned;
pub use collect_events::collect_events;
pub use collect_notices::collect_notices;
pub use hand_over::{claim_due, hand_over};
pub use retry::retry;
