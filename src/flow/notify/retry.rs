//! Lets what was given up be tried again.

use crate::{clock::Timestamp, error::Error, model::DeliveryId, store::Store};

/// One of them, or all; answers how many there were.
pub async fn retry(store: &Store, which: Option<DeliveryId>, now: Timestamp) -> Result<u64, Error> {
    store.revive_deliveries(which, now).await
}
