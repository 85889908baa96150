//! The keys, for administrators.

use super::record_read;
use crate::{
    clock::{Clock, SystemClock},
    error::Error,
    flow::{
        Call, Kit,
        keys::{KeyStatus, key_status},
    },
};

/// Every key, and who holds it.
pub async fn list_keys(kit: &Kit, call: &Call) -> Result<KeyStatus, Error> {
    // Whether a replica is live is told by the time that all of them go by, and that is the database's.
    let now = kit.store.clock(SystemClock.now()).await?;
    let status = key_status(&kit.store, now).await?;
    record_read(kit, "ListKeys", None, call).await?;
    Ok(status)
}
