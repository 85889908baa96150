//! Follows the keys of the database, and says which of them this process holds.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::{Timestamp, steady_now},
    error::Error,
    flow::Kit,
    model::RequestId,
    seal::{KeyState, KeyUse, RootRing, WrappedKey},
    store::Held,
    telemetry::meters,
    token::keys::SigningKeys,
};

/// What is known of a process that has said nothing for so long is forgotten by the next one that starts.
const FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// What this process holds.
pub struct Keeper {
    name: String,
    rings: Mutex<Rings>,
}

struct Rings {
    roots: RootRing,
    keys: Vec<WrappedKey>,
}

impl Keeper {
    /// A process that holds these root keys.
    pub fn new(roots: RootRing, now: Timestamp) -> Self {
        Self { name: RequestId::new(now).to_string(), rings: Mutex::new(Rings { roots, keys: Vec::new() }) }
    }

    /// Its name among the replicas.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn rings(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    /// Whether there is a key that the root keys at hand do not open.
    fn lacks_root(&self, keys: &[WrappedKey]) -> bool {
        let is_there = |id: &str| self.roots.roots().iter().any(|root| root.id == id);
        keys.iter().any(|key| key.state != KeyState::Destroyed && !is_there(&key.root_id))
    }

    /// Goes by these keys, and by the ring where it was read anew; or goes on with what there is.
    fn follow(&mut self, kit: &Kit, keys: Vec<WrappedKey>, roots: Option<RootRing>) -> anyhow::Result<()> {
        // By what they are, not by their names alone: a root key that was altered opens nothing.
        let is_other_ring = roots.as_ref().is_some_and(|roots| roots.checks(&keys) != self.roots.checks(&keys));
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

    fn held(&self, kit: &Kit) -> Held {
        let (roots, keys) = (self.roots.roots().iter().map(|root| root.id.clone()), kit.ring.keys());
        let makes_with = keys.iter().filter(|key| key.is_active).map(|key| key.id.clone()).collect();
        Held { holds: roots.chain(keys.iter().map(|key| key.id.clone())).collect(), makes_with }
    }
}

/// Says that this process serves, and goes by the keys. First that it lives and holds none, then which: no key takes over between the
/// two that it has not seen.
pub async fn announce(kit: &Kit, keeper: &Keeper, machine: Timestamp) -> Result<(), Error> {
    let now = kit.store.clock(machine).await?;
    kit.store.forget_silent_replicas(now.minus(FORGOTTEN)).await?;
    kit.store.report_replica(&keeper.name, &Held::default(), now).await?;
    follow_keys(kit, keeper, async |_| Ok(None), machine).await
}

/// Goes by the keys that the database has now. `reread` reads the ring anew; it is told whether a root key is missing. What cannot be
/// read or opened leaves everything as it is. The report goes by the database's time, or by the machine's where it has none: it is for
/// processes.
pub async fn follow_keys<F>(
    kit: &Kit,
    keeper: &Keeper,
    reread: impl FnOnce(bool) -> F,
    machine: Timestamp,
) -> Result<(), Error>
where
    F: Future<Output = anyhow::Result<Option<RootRing>>>,
{
    let begin = steady_now();
    let keys = kit.store.data_keys().await?;
    let lacks_root = keeper.rings().lacks_root(&keys);
    let read = reread(lacks_root).await;
    let (followed, held) = {
        let mut rings = keeper.rings();
        let followed = read.and_then(|roots| rings.follow(kit, keys.clone(), roots));
        (followed, rings.held(kit))
    };
    // Whoever cannot follow says so, too: it serves with what it holds, and no key may take over that it has not, nor one go that it
    // makes anything with.
    let now = kit.store.clock(machine).await?;
    measure(&keys, now);
    kit.store.report_replica(&keeper.name, &held, now).await?;
    kit.ring.fence().open_from(begin);
    Ok(followed?)
}

fn measure(keys: &[WrappedKey], now: Timestamp) {
    for key_use in KeyUse::DATA {
        for state in KeyState::ALL {
            let count = keys.iter().filter(|key| key.key_use == key_use && key.state == state).count();
            meters().keys(key_use.as_str(), state.as_str(), i64::try_from(count).unwrap_or(i64::MAX));
        }
        let active = keys.iter().find(|key| key.key_use == key_use && key.state == KeyState::Active);
        if let Some(since) = active.and_then(|key| key.active_time) {
            meters().key_age(key_use.as_str(), now.since(since));
        }
    }
}
