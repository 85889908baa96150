//! What keeps a database that was restored from a backup from letting in again what was used since then: it is told by how far it has
//! come, and fenced by its operator.

mod epoch;
mod fence;

pub use epoch::{Seen, Standing, admit, follow_epoch};
pub use fence::{Fenced, restore_fence};
