//! Follows the keys of the database, and says which of them this process holds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{
    clock::Timestamp,
    error::Error,
    flow::Kit,
    model::RequestId,
    seal::{KeyState, RootRing, WrappedKey},
    token::keys::SigningKeys,
};

/// What this process holds.
pub struct Keeper {
    name: String,
    held: Mutex<Held>,
}

struct Held {
    roots: RootRing,
    keys: Vec<WrappedKey>,
}

impl Keeper {
    /// A process that holds these root keys.
    pub fn new(roots: RootRing, now: Timestamp) -> Self {
        Self { name: RequestId::new(now).to_string(), held: Mutex::new(Held { roots, keys: Vec::new() }) }
    }

    /// Its name among the replicas.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Whether there is a key that the root keys at hand do not open.
    fn lacks_root(&self, keys: &[WrappedKey]) -> bool {
        let is_there = |id: &str| self.roots.roots().iter().any(|root| root.id == id);
        keys.iter().any(|key| key.state != KeyState::Destroyed && !is_there(&key.root_id))
    }

    fn ids(&self, kit: &Kit) -> Vec<String> {
        let roots = self.roots.roots().iter().map(|root| root.id.clone());
        roots.chain(kit.ring.keys().iter().map(|key| key.id.clone())).collect()
    }
}

/// Goes by the keys that the database has now. `reread` reads the ring anew; it is told whether a root key is missing. What cannot be
/// read or opened leaves everything as it is. The report goes by the machine's time: it is for processes.
pub async fn follow_keys(
    kit: &Kit,
    keeper: &Keeper,
    reread: impl FnOnce(bool) -> anyhow::Result<Option<RootRing>>,
    machine: Timestamp,
) -> Result<(), Error> {
    let keys = kit.store.data_keys().await?;
    let lacks_root = keeper.held().lacks_root(&keys);
    let ids = {
        let mut held = keeper.held();
        if let Some(roots) = reread(lacks_root)? {
            held.roots = roots;
        }
        if keys != held.keys {
            kit.ring.hold(&held.roots, &keys)?;
            kit.access.follow(SigningKeys::from_ring(&kit.ring)?);
            held.keys = keys;
            tracing::info!(keys = ?held.ids(kit), "the keys are held");
        }
        held.ids(kit)
    };
    kit.store.report_replica(&keeper.name, &ids, machine).await
}
