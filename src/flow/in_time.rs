//! A bound for what no call waits for.

use std::{future::Future, time::Duration};

use crate::error::{Error, Outage};

/// The answer of what no call waits for; a database that hangs does not stop it for good, and keeps no connection from others.
pub async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(anyhow::anyhow!("not done within {patience:?}").context(Outage).into());
    tokio::time::timeout(patience, work).await.unwrap_or_else(late)
}
