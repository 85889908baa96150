//! Drops what the audit log has kept for long enough: whole ranges, and what is signed of the place that it begins after stays.

use std::time::Duration;

use super::verify::may_be_dropped;
use crate::{
    audit,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{ChainPoint, Event, EventKind},
    seal::hex,
    swap::Swap,
};

/// Records in a range.
const RANGE: i64 = 1000;
/// Ranges that are dropped at once.
const RANGES: i64 = 10;

/// Drops the ranges in which every record is older than that. Nothing is dropped that does not fit: what cannot be verified any more
/// could never be found.
pub async fn retire_audit(kit: &Kit, retention: Duration, call: &Call) -> Result<(), Error> {
    let cutoff = call.now.minus(retention);
    let (anchor, end) = kit.store.audit_chain().await?;
    let reach = anchor.position.saturating_add(RANGE * RANGES).min(end.position);
    let kept = kit.store.first_audit_position_since(cutoff, anchor.position, reach).await?;
    let last_old = kept.map_or(reach, |kept| kept.saturating_sub(1));
    let to = last_old.saturating_sub(last_old.rem_euclid(RANGE));
    let keys = kit.access.keys();
    let is_ours = |point: &ChainPoint, message: &[u8]| {
        audit::is_beginning(point) || keys.has_signed(&point.key_id, message, &point.signature)
    };
    if to > anchor.position {
        let begin = match is_ours(&anchor, &audit::anchor(&anchor)) && is_ours(&end, &audit::head(&end)) {
            true => may_be_dropped(&kit.store, &kit.ring, &anchor, to, cutoff).await?,
            false => None,
        };
        let Some((hash, is_authenticated)) = begin else {
            warn();
            return Ok(());
        };
        let new = ChainPoint { position: to, hash, is_authenticated, key_id: String::new(), signature: Vec::new() };
        again(|| begin_after(kit, &anchor, new.clone(), call)).await?;
    }
    // What was to go and did not, because a replica died, goes now.
    let (anchor, _) = kit.store.audit_chain().await?;
    // Whoever has set the place that the log begins after would have everything before it removed.
    if !is_ours(&anchor, &audit::anchor(&anchor)) {
        warn();
        return Ok(());
    }
    while kit.store.delete_audit_records(anchor.position, RANGE).await? > 0 {}
    Ok(())
}

fn warn() {
    tracing::error!("the audit log is not what it was; nothing of it is dropped; remedy: countersign audit verify");
}

async fn begin_after(kit: &Kit, anchor: &ChainPoint, mut new: ChainPoint, call: &Call) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    (new.key_id, new.signature) = kit.access.keys().sign(&audit::anchor(&new))?;
    if tx.save_audit_anchor(anchor.position, &new).await? == Swap::Stale {
        return tx.roll_back().await;
    }
    let count = Some(new.position - anchor.position);
    // Where the log begins from now on stays in it, for whoever has kept a head of before.
    let note = format!("up to {} {}", new.position, hex(&new.hash));
    let event = Event { count, ..Event::about_nobody(EventKind::AuditRetired, &call.origin).note(&note) };
    tx.record(&event, call.now).await?;
    tx.commit().await
}
