//! Takes away what has run out.

use super::Kit;
use crate::{clock::Timestamp, error::Error};

const BATCH: u64 = 200;

/// Sweeps both stores, in small batches so that sign-ins get in between.
pub async fn sweep(kit: &Kit, now: Timestamp) -> Result<(), Error> {
    kit.ephemeral.sweep(now).await?;
    kit.sources.sweep(now).await?;
    // A full batch of any kind makes at least this many.
    while kit.store.sweep(BATCH, now).await? >= BATCH {}
    Ok(())
}
