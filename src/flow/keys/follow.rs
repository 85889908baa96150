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

    /// Goes by these keys, and by the ring where it was read anew; or goes on with what there is.
    fn follow(
        &mut self,
        kit: &Kit,
        keys: Vec<WrappedKey>,
        reread: impl FnOnce() -> anyhow::Result<Option<RootRing>>,
    ) -> anyhow::Result<()> {
        let roots = reread()?;
        let ids = |ring: &RootRing| ring.roots().iter().map(|root| root.id.clone()).collect::<Vec<_>>();
        let is_other_ring = roots.as_ref().is_some_and(|roots| ids(roots) != ids(&self.roots));
        if keys != self.keys || is_other_ring {
            kit.ring.hold(roots.as_ref().unwrap_or(&self.roots), &keys)?;
            kit.access.follow(SigningKeys::from_ring(&kit.ring)?);
            self.keys = keys;
        }
        if let Some(roots) = roots {
            self.roots = roots;
        }
        Ok(())
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
    let (followed, ids) = {
        let mut held = keeper.held();
        let followed = held.follow(kit, keys, || reread(lacks_root));
        (followed, held.ids(kit))
    };
    // Whoever cannot follow says so, too: it serves with what it holds, and no key may take over that it has not.
    kit.store.report_replica(&keeper.name, &ids, machine).await?;
    Ok(followed?)
}
