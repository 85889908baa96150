//! Takes away what has run out.

use super::Kit;
use crate::{clock::Timestamp, error::Error, telemetry::meters};

const BATCH: u64 = 200;

/// Sweeps both stores, in small batches so that sign-ins get in between.
pub async fn sweep(kit: &Kit, now: Timestamp) -> Result<(), Error> {
    kit.ephemeral.sweep(now).await?;
    kit.sources.sweep(now).await?;
    // A full batch of any kind makes at least this many.
    loop {
        let swept = kit.store.sweep(BATCH, now).await?;
        meters().swept(swept);
        if swept < BATCH {
            return Ok(());
        }
    }
}
