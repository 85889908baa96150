//! Wraps every data key with the newest root key, so that the older ones can go.

use anyhow::anyhow;

use super::status::lacking;
use crate::{
    clock::Timestamp,
    error::Error,
    flow::{Call, again::again},
    model::{Event, EventKind},
    seal::{KeyState, RootRing},
    store::Store,
    swap::Swap,
};

/// Wraps them; answers how many were wrapped by another root key. Refused while a live replica does not hold the newest.
pub async fn rewrap(store: &Store, roots: &RootRing, call: &Call, machine: Timestamp) -> Result<usize, Error> {
    let root = roots.newest()?;
    let lacking = lacking(store, &root.id, machine).await?;
    if !lacking.is_empty() {
        let problem = format!(
            "too early: {} of the live replicas do not hold the root key {} yet ({}); give it to them, and restart them where the ring \
             is no file",
            lacking.len(),
            root.id,
            lacking.join(", ")
        );
        return Err(anyhow!(problem).into());
    }
    again(|| async {
        let tx = store.begin().await?;
        let mut keys = tx.lock_data_keys().await?;
        let mut count = 0;
        for key in keys.iter_mut().filter(|key| key.state != KeyState::Destroyed && key.root_id != root.id) {
            let anew = roots.wrap(&roots.unwrap(key)?, call.now)?;
            if tx.save_wrapping(key, &anew).await? == Swap::Stale {
                return Err(anyhow!("the key {} was changed by another", key.id).into());
            }
            key.root_id.clone_from(&root.id);
            count += 1;
        }
        // From now on the database is known by this root key alone: a ring without the others is good.
        tx.delete_key_checks().await?;
        for check in roots.checks(&keys) {
            tx.insert_key_check(&check).await?;
        }
        if count > 0 {
            let note = format!("wrapped by {}", root.id);
            tx.record(&Event::about_nobody(EventKind::KeysChanged, &call.origin).note(&note), call.now).await?;
        }
        tx.commit().await?;
        Ok(count)
    })
    .await
}

/// Refuses to let a root key go that wraps a key still.
pub async fn must_wrap_nothing(store: &Store, root_id: &str) -> Result<(), Error> {
    let keys = store.data_keys().await?;
    match keys.iter().find(|key| key.state != KeyState::Destroyed && key.root_id == root_id) {
        Some(key) => Err(anyhow!("the root key {root_id} wraps {} still: countersign keys rewrap", key.id).into()),
        None => Ok(()),
    }
}
