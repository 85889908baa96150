//! The data keys that a process holds: it seals, opens and hashes with them. They change while it runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use anyhow::Context;

use super::{
    Fence, Place, aead, hex,
    keys::{DataKey, KeyState, KeyUse, WrappedKey},
    mac,
    root::RootRing,
};
use crate::{clock::Timestamp, secret::Secret};

/// Values that do not open are told apart up to here.
const DAMAGES: usize = 1000;

/// The data keys of a process.
#[derive(Default)]
pub struct KeyRing {
    keys: RwLock<Arc<Vec<DataKey>>>,
    /// Ids of keys that are there and must not be used.
    withheld: RwLock<BTreeSet<String>>,
    fence: Arc<Fence>,
    damages: Mutex<BTreeSet<Damage>>,
}

/// A sealed value that does not open.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// Its table.
    pub table: &'static str,
    /// Its column.
    pub column: &'static str,
    /// Whose it is; may be empty.
    pub user: Vec<u8>,
    /// Which row, in hexadecimal digits.
    pub row: String,
}

impl KeyRing {
    /// New keys, one of each use.
    pub fn generate(now: Timestamp) -> anyhow::Result<Self> {
        let (ring, roots) = (Self::default(), RootRing::generate(now)?);
        let make = |key_use| roots.make(key_use, KeyState::Active, now);
        let keys = KeyUse::DATA.into_iter().map(make).collect::<anyhow::Result<Vec<_>>>()?;
        ring.hold(&roots, &keys)?;
        Ok(ring)
    }

    /// Holds these keys from now on, less those that must not be used; or goes on with what it has when one does not open.
    pub fn hold(&self, roots: &RootRing, keys: &[WrappedKey]) -> anyhow::Result<()> {
        let is_used = |key: &&WrappedKey| matches!(key.state, KeyState::Active | KeyState::Readable);
        let withheld = keys.iter().filter(|key| !is_used(key)).map(|key| key.id.clone()).collect();
        let keys = keys.iter().filter(is_used).map(|key| roots.unwrap(key)).collect::<anyhow::Result<Vec<_>>>()?;
        for key_use in KeyUse::DATA {
            let has_active = keys.iter().any(|key| key.key_use == key_use && key.is_active);
            anyhow::ensure!(has_active, "there is no active {} key in the database", key_use.as_str());
        }
        *self.withheld.write().unwrap_or_else(PoisonError::into_inner) = withheld;
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    /// What keeps this process from making anything with its keys when nobody has heard of it for a while.
    pub fn fence(&self) -> &Arc<Fence> {
        &self.fence
    }

    /// The keys that are held.
    pub fn keys(&self) -> Arc<Vec<DataKey>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The id of the key that new values of a use are made with.
    pub fn active_id(&self, key_use: KeyUse) -> anyhow::Result<String> {
        Ok(active(&self.keys(), key_use)?.id.clone())
    }

    /// Seals a value for a place, with the active sealing key.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.fence.pass()?;
        let keys = self.keys();
        let key = active(&keys, KeyUse::Seal)?;
        aead::seal(&key.id, key.secret.expose(), place, plain)
    }

    /// Opens a value that was sealed for this place. One that does not open is remembered: somebody must be told. Where its key is
    /// withheld, its operator knows; and where it is not held by a process that nobody has heard of for a while, that is an outage: the
    /// key may have taken over meanwhile, and the value is as it should be.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> anyhow::Result<Secret<Vec<u8>>> {
        let keys = self.keys();
        let find = |id: &[u8]| {
            let key = keys.iter().find(|key| key.key_use == KeyUse::Seal && key.id.as_bytes() == id)?;
            Some((key.id.as_str(), &key.secret))
        };
        let opened = aead::open(find, place, sealed);
        if opened.is_err() && !self.is_withheld(sealed) {
            let is_held = keys.iter().any(|key| sealed.starts_with(&aead::head(&key.id)));
            if !is_held {
                self.fence.pass()?;
            }
            self.remember(place);
        }
        opened
    }

    /// A keyed hash: finds a name again without keeping it.
    pub fn index(&self, domain: &str, name: &[u8]) -> anyhow::Result<[u8; 32]> {
        let keys = self.keys();
        Ok(mac(active(&keys, KeyUse::Index)?.secret.expose(), &[domain.as_bytes(), name]))
    }

    fn is_withheld(&self, sealed: &[u8]) -> bool {
        let withheld = self.withheld.read().unwrap_or_else(PoisonError::into_inner);
        withheld.iter().any(|id| sealed.starts_with(&aead::head(id)))
    }

    fn remember(&self, place: Place<'_>) {
        let Place { table, column, user, row } = place;
        self.put_back([Damage { table, column, user: user.to_vec(), row: hex(row) }]);
    }

    /// Remembers values that do not open.
    pub fn put_back(&self, again: impl IntoIterator<Item = Damage>) {
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        for damage in again {
            if damages.len() < DAMAGES {
                damages.insert(damage);
            }
        }
    }

    /// The values that did not open since this was asked last.
    pub fn take_damages(&self) -> BTreeSet<Damage> {
        std::mem::take(&mut *self.damages.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn active(keys: &[DataKey], key_use: KeyUse) -> anyhow::Result<&DataKey> {
    let of_use = keys.iter().find(|key| key.key_use == key_use && key.is_active);
    of_use.with_context(|| format!("no active {} key is held", key_use.as_str()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{clock::steady_now, error::Outage};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const PLACE: Place<'_> = Place { table: "users", column: "phone", user: b"u", row: b"u" };

    #[test]
    fn a_key_that_took_over_while_nobody_had_heard_of_this_process_makes_an_outage_and_no_damage() -> anyhow::Result<()>
    {
        let (here, there) = (KeyRing::generate(NOW)?, KeyRing::generate(NOW)?);
        let sealed = there.seal(PLACE, b"a value")?;
        let long_ago = steady_now().checked_sub(Duration::from_secs(3600)).context("the machine is young")?;
        here.fence().open_from(long_ago);
        assert!(here.open(PLACE, &sealed).is_err_and(|fault| fault.is::<Outage>()));
        assert!(here.take_damages().is_empty());
        // What it holds it opens all the while, and whoever was heard of knows every key that there is.
        here.fence().open_from(steady_now());
        let own = here.seal(PLACE, b"a value")?;
        assert!(here.open(PLACE, &sealed).is_err_and(|fault| !fault.is::<Outage>()));
        assert_eq!(here.take_damages().len(), 1);
        here.fence().open_from(long_ago);
        assert_eq!(here.open(PLACE, &own)?.expose(), b"a value");
        let mut altered = own.clone();
        *altered.last_mut().context("it is empty")? ^= 1;
        assert!(
            here.open(PLACE, &altered).is_err_and(|fault| !fault.is::<Outage>()),
            "its key is held: it was altered"
        );
        Ok(())
    }
}
