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
        let mut count = 0;
        for key in tx.lock_data_keys().await? {
            if key.state == KeyState::Destroyed || key.root_id == root.id {
                continue;
            }
            let anew = roots.wrap(&roots.unwrap(&key)?, call.now)?;
            if tx.save_wrapping(&key, &anew).await? == Swap::Stale {
                return Err(anyhow!("the key {} was changed by another", key.id).into());
            }
            count += 1;
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

/// Lets the database know the ring by these root keys alone. Refused while another one wraps a key.
pub async fn forget_roots_but(store: &Store, roots: &RootRing, call: &Call) -> Result<(), Error> {
    let checks = roots.checks();
    let ids: Vec<_> = checks.iter().map(|check| check.id.clone()).collect();
    again(|| async {
        let tx = store.begin().await?;
        let keys = tx.lock_data_keys().await?;
        let needed = keys.iter().find(|key| key.state != KeyState::Destroyed && !ids.contains(&key.root_id));
        if let Some(key) = needed {
            let problem = format!("the root key {} wraps {} still; countersign keys rewrap", key.root_id, key.id);
            return Err(anyhow!(problem).into());
        }
        tx.keep_key_checks(&[]).await?;
        for check in &checks {
            tx.insert_key_check(check).await?;
        }
        let note = format!("root keys are {}", ids.join(" "));
        tx.record(&Event::about_nobody(EventKind::KeysChanged, &call.origin).note(&note), call.now).await?;
        tx.commit().await
    })
    .await
}
