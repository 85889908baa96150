//! Keys come, take over, and go, while the service runs. A new key is held by every live replica before anything is made with it; an
//! old one goes when nothing needs it any more.

mod change;
mod follow;
mod record_damages;
mod reseal;
mod rewrap;
mod status;

pub use change::{Broken, destroy_key, disable_key, enable_key, make_key, promote_key};
pub use follow::{Keeper, announce, follow_keys};
pub use record_damages::{Damages, record_damages};
pub use reseal::reseal;
pub use rewrap::{must_wrap_nothing, rewrap};
pub(in crate::flow) use status::LIVE;
pub use status::{ColumnStatus, KeyStatus, key_status, lacking};
