//! Gives the records of the audit log their places in the chain, a batch at a time, and signs where the chain ends. One process at a
//! time does: whoever holds the lease, which a transaction takes that also seals.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::{
    audit,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{AuditEventId, ChainPoint},
    store::Link,
    swap::Swap,
};

/// Records in a batch.
const BATCH: u64 = 200;
/// Whoever seals holds the lease for so long. When they die, another one goes on after it.
const LEASE: Duration = Duration::from_secs(1);

/// One process, as the one who seals.
pub struct Sealer {
    name: String,
    /// The last place that this process has seen: the chain never gets shorter.
    seen: AtomicI64,
}

impl Sealer {
    /// A new name, for this process.
    pub fn new(call: &Call) -> Self {
        Self { name: AuditEventId::new(call.now).to_string(), seen: AtomicI64::new(0) }
    }
}

/// Seals what is not sealed yet, unless another process does; answers how many records.
pub async fn seal_audit(kit: &Kit, sealer: &Sealer, call: &Call) -> Result<usize, Error> {
    let mut all = 0;
    // A look costs nobody anything; to seal is to write.
    while kit.store.has_unsealed_audit_records().await? {
        let sealed = again(|| seal_batch(kit, sealer, call)).await?;
        all += sealed;
        if sealed < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(all)
}

async fn seal_batch(kit: &Kit, sealer: &Sealer, call: &Call) -> Result<usize, Error> {
    let tx = kit.store.begin().await?;
    let Some(end) = tx.take_seal_lease(&sealer.name, call.now.plus(LEASE), call.now).await? else {
        tx.roll_back().await?;
        return Ok(0);
    };
    let seen = sealer.seen.fetch_max(end.position, Ordering::Relaxed);
    if end.position < seen {
        tracing::error!(
            seen,
            position = end.position,
            "the audit chain is shorter than it was: verify it (audit verify)"
        );
    }
    let records = tx.unsealed_audit_records(BATCH).await?;
    if records.is_empty() {
        tx.commit().await?;
        return Ok(0);
    }
    let (mut position, mut hash, mut links) = (end.position, end.hash, Vec::new());
    for (id, seal) in &records {
        position += 1;
        hash = audit::link(&hash, position, seal);
        links.push(Link { id: *id, position, hash });
    }
    tx.save_links(&links).await?;
    let (key_id, signature) = kit.access.keys().sign(&audit::head(position, &hash))?;
    let new_end = ChainPoint { position, hash, key_id, signature };
    if tx.save_chain_end(end.position, &new_end).await? == Swap::Stale {
        return Err(anyhow::anyhow!("the end of the audit chain moved while it was held").into());
    }
    tx.commit().await?;
    sealer.seen.fetch_max(position, Ordering::Relaxed);
    Ok(records.len())
}
