//! Drops what the audit log has kept for long enough: whole ranges, and what is signed of the place that it begins after stays.

use std::time::Duration;

use crate::{
    audit,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{ChainPoint, Event, EventKind},
    swap::Swap,
};

/// Records in a range.
const RANGE: i64 = 1000;

/// Drops the ranges in which every record is older than that.
pub async fn retire_audit(kit: &Kit, retention: Duration, call: &Call) -> Result<(), Error> {
    let (anchor, end) = kit.store.audit_chain().await?;
    let kept = kit.store.first_audit_position_since(call.now.minus(retention)).await?;
    let last_old = kept.map_or(end.position, |kept| kept - 1);
    let to = last_old - last_old.rem_euclid(RANGE);
    if to > anchor.position {
        again(|| begin_after(kit, &anchor, to, call)).await?;
    }
    // What was to go and did not, because a replica died, goes now.
    let (anchor, _) = kit.store.audit_chain().await?;
    while kit.store.delete_audit_records(anchor.position, RANGE).await? > 0 {}
    Ok(())
}

async fn begin_after(kit: &Kit, anchor: &ChainPoint, position: i64, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    let Some(hash) = tx.audit_link(position).await? else {
        // Somebody has removed it: verifying tells, and nothing more is dropped.
        tracing::error!(position, "a record of the audit log is not there: verify it (audit verify)");
        return tx.roll_back().await;
    };
    let (key_id, signature) = kit.access.keys().sign(&audit::anchor(position, &hash))?;
    let new = ChainPoint { position, hash, key_id, signature };
    if tx.save_audit_anchor(anchor.position, &new).await? == Swap::Stale {
        return tx.roll_back().await;
    }
    let count = Some(position - anchor.position);
    let event = Event { count, ..Event::about_nobody(EventKind::AuditRetired, &call.origin) };
    tx.record(&event, call.now).await?;
    tx.commit().await
}
