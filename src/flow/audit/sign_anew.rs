//! Signs beginning and end of the chain anew when another key has taken over: so that the old one can go.

use super::seal::{LEASE, Sealer, is_ours};
use crate::{
    audit,
    clock::Timestamp,
    error::Error,
    flow::{Kit, again::again},
    model::ChainPoint,
    swap::Swap,
};

/// Signs them anew where they are signed by a key that is not the active one, unless another process is at it.
pub async fn sign_audit_anew(kit: &Kit, sealer: &Sealer, machine: Timestamp) -> Result<(), Error> {
    let active = kit.access.keys().active_id()?.to_owned();
    let (anchor, end) = kit.store.audit_chain().await?;
    let is_old = |point: &ChainPoint| !audit::is_beginning(point) && point.key_id != active;
    if !is_old(&anchor) && !is_old(&end) {
        return Ok(());
    }
    again(|| sign(kit, sealer, &active, machine)).await
}

async fn sign(kit: &Kit, sealer: &Sealer, active: &str, machine: Timestamp) -> Result<(), Error> {
    let keys = kit.access.keys();
    let tx = kit.store.begin().await?;
    let Some(mut end) = tx.take_seal_lease(sealer.name(), machine.plus(LEASE), machine).await? else {
        return tx.roll_back().await;
    };
    is_ours(kit, sealer, &end)?;
    if !audit::is_beginning(&end) && end.key_id != active {
        (end.key_id, end.signature) = keys.sign(&audit::head(&end))?;
        if tx.save_chain_end(end.position, &end).await? == Swap::Stale {
            return tx.roll_back().await;
        }
    }
    // It moves behind the lock of the same row alone.
    let (mut anchor, _) = kit.store.audit_chain().await?;
    if !audit::is_beginning(&anchor) && anchor.key_id != active {
        let is_signed = keys.has_signed(&anchor.key_id, &audit::anchor(&anchor), &anchor.signature);
        if !is_signed {
            return Err(anyhow::anyhow!(
                "the beginning of the audit log was set by somebody else; remedy: countersign audit verify"
            )
            .into());
        }
        (anchor.key_id, anchor.signature) = keys.sign(&audit::anchor(&anchor))?;
        if tx.save_audit_anchor(anchor.position, &anchor).await? == Swap::Stale {
            return tx.roll_back().await;
        }
    }
    tx.commit().await
}
