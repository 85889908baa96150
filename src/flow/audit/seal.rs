//! Gives the records of the audit log their places in the chain, a batch at a time, and signs where the chain ends. One process at a
//! time does: whoever holds the lease, which a transaction takes that also seals.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::{
    audit,
    clock::Timestamp,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{AuditEventId, ChainPoint},
    seal::hex,
    store::Link,
    swap::Swap,
    telemetry::meters,
};

/// Records in a batch.
const BATCH: u64 = 200;
/// Batches in a round: then others have their turn.
const BATCHES: usize = 8;
/// Whoever seals holds the lease for so long. When they die, another one goes on after it.
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// What is sealed is told to the log of the process so often: a copy of the end that nobody in the database can change.
const TELL: Duration = Duration::from_secs(60);

/// One process, as the one who seals.
pub struct Sealer {
    name: String,
    /// The last place that this process has seen: the chain never gets shorter.
    seen: AtomicI64,
    told: AtomicI64,
}

impl Sealer {
    /// A new name, for this process.
    pub fn new(call: &Call) -> Self {
        let name = AuditEventId::new(call.now).to_string();
        Self { name, seen: AtomicI64::new(0), told: AtomicI64::new(0) }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// Seals what is not sealed yet, unless another process does; answers how many records. The lease goes by the machine's time: it is
/// for processes.
pub async fn seal_audit(kit: &Kit, sealer: &Sealer, call: &Call, machine: Timestamp) -> Result<usize, Error> {
    let mut all = 0;
    for _ in 0..BATCHES {
        // A look costs nobody anything; to seal is to write.
        let oldest = kit.store.oldest_unsealed_audit_record().await?;
        meters().audit_tail(oldest.map_or(Duration::ZERO, |oldest| call.now.since(oldest)));
        if oldest.is_none() {
            break;
        }
        let sealed = again(|| seal_batch(kit, sealer, call, machine)).await?;
        all += sealed;
        meters().sealed(u64::try_from(sealed).unwrap_or(0));
        if sealed < usize::try_from(BATCH).unwrap_or(usize::MAX) {
            break;
        }
    }
    Ok(all)
}

async fn seal_batch(kit: &Kit, sealer: &Sealer, call: &Call, machine: Timestamp) -> Result<usize, Error> {
    let tx = kit.store.begin().await?;
    let Some(end) = tx.take_seal_lease(&sealer.name, machine.plus(LEASE), machine).await? else {
        tx.roll_back().await?;
        return Ok(0);
    };
    if let Err(fault) = is_ours(kit, sealer, &end) {
        tx.roll_back().await?;
        return Err(fault.into());
    }
    let records = tx.unsealed_audit_records(BATCH).await?;
    let (mut position, mut hash, mut links) = (end.position, end.hash, Vec::new());
    for (id, seal) in &records {
        position = position.checked_add(1).context("the audit chain is as long as it can be")?;
        hash = audit::link(&kit.ring, &hash, position, call.now, seal)?;
        links.push(Link { id: *id, position, hash, time: call.now });
    }
    if links.is_empty() {
        tx.commit().await?;
        return Ok(0);
    }
    tx.save_links(&links).await?;
    let mut new_end =
        ChainPoint { position, hash, is_authenticated: false, key_id: String::new(), signature: Vec::new() };
    (new_end.key_id, new_end.signature) = kit.access.keys().sign(&audit::head(&new_end))?;
    if tx.save_chain_end(end.position, &new_end).await? == Swap::Stale {
        return Err(anyhow::anyhow!("the end of the audit chain moved while it was held").into());
    }
    tx.commit().await?;
    sealer.seen.fetch_max(position, Ordering::Relaxed);
    tell(sealer, &new_end, call);
    Ok(links.len())
}

/// Refuses to go on from an end that the service has not signed, or that lies before one that this process has seen: whoever has set
/// it there would have it signed.
pub(super) fn is_ours(kit: &Kit, sealer: &Sealer, end: &ChainPoint) -> anyhow::Result<()> {
    let is_signed = kit.access.keys().has_signed(&end.key_id, &audit::head(end), &end.signature);
    ensure!(
        is_signed || audit::is_beginning(end),
        "the end of the audit chain was set by somebody else; nothing more is sealed; remedy: countersign audit verify"
    );
    let seen = sealer.seen.fetch_max(end.position, Ordering::Relaxed);
    ensure!(
        seen <= end.position,
        "the audit chain ends at {} and has reached to {seen}; nothing more is sealed; remedy: countersign audit verify",
        end.position
    );
    Ok(())
}

fn tell(sealer: &Sealer, end: &ChainPoint, call: &Call) {
    let (now, last) = (call.now.millis(), sealer.told.load(Ordering::Relaxed));
    let is_due = now.saturating_sub(last) >= i64::try_from(TELL.as_millis()).unwrap_or(i64::MAX);
    if is_due && sealer.told.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        tracing::info!(position = end.position, hash = hex(&end.hash), "the audit log is sealed");
    }
}
