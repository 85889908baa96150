//! Root keys: the one secret outside the database. They wrap the data keys, and do nothing else.

mod text;

use std::path::Path;

use anyhow::{Context, anyhow, ensure};

use super::{
    Place, aead, hex,
    keys::{DataKey, KeyState, KeyUse, WrappedKey},
    mac,
};
use crate::{
    clock::Timestamp,
    file,
    secret::{self, Secret},
};

/// A root key.
pub struct RootKey {
    /// Its id.
    pub id: String,
    /// When it was made.
    pub create_time: Timestamp,
    secret: Secret<[u8; 32]>,
}

/// The root keys, the newest of which wraps.
pub struct RootRing {
    roots: Vec<RootKey>,
    /// Keys of a ring of an older release, which held all of them itself. They are wrapped and kept in the database at the first start.
    inherited: Vec<DataKey>,
}

/// What the database keeps of a root key, to know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCheck {
    /// The key's id.
    pub id: String,
    /// What it is for, as a word.
    pub key_use: String,
    /// Its check value.
    pub value: Vec<u8>,
    /// When it was made.
    pub create_time: Timestamp,
}

impl RootKey {
    fn generate(now: Timestamp) -> anyhow::Result<Self> {
        Ok(Self { id: new_id(KeyUse::Root)?, create_time: now, secret: Secret::new(secret::random()?) })
    }

    /// A value that tells this key from any other and tells nothing of it.
    pub fn check_value(&self) -> [u8; 16] {
        check_value(&self.id, &self.secret)
    }
}

impl RootRing {
    /// A new ring with one root key.
    pub fn generate(now: Timestamp) -> anyhow::Result<Self> {
        Ok(Self { roots: vec![RootKey::generate(now)?], inherited: Vec::new() })
    }

    /// Adds a new root key, which wraps from now on; answers its id.
    pub fn add(&mut self, now: Timestamp) -> anyhow::Result<String> {
        let root = RootKey::generate(now)?;
        let id = root.id.clone();
        self.roots.push(root);
        Ok(id)
    }

    /// Takes a root key away, but for the last.
    pub fn drop_root(&mut self, id: &str) -> anyhow::Result<()> {
        ensure!(self.roots.iter().any(|root| root.id == id), "there is no root key {id} in the ring");
        ensure!(self.roots.len() > 1, "{id} is the only root key");
        self.roots.retain(|root| root.id != id);
        // What an older release kept beside its keys goes with the root key that was made of them, and with no other.
        if !self.inherited.is_empty() && inherited_root(&self.inherited)?.id == id {
            self.inherited.clear();
        }
        Ok(())
    }

    /// Reads a ring file; and a warning when others may read it, too.
    pub fn read(path: &Path) -> anyhow::Result<(Self, Option<String>)> {
        let given = file::read_given(path)?;
        let text = Secret::new(given.text);
        let ring = Self::parse(text.expose()).with_context(|| format!("{} is not a key ring", path.display()))?;
        Ok((ring, given.warning))
    }

    /// Writes a new ring file, for its owner alone.
    pub fn create(&self, path: &Path) -> anyhow::Result<()> {
        file::create_private(path, self.to_text().expose().as_bytes())
    }

    /// Writes another ring into a file that is there; whole or not at all.
    pub fn replace(&self, path: &Path) -> anyhow::Result<()> {
        file::replace_private(path, self.to_text().expose().as_bytes())
    }

    /// The root keys, oldest first.
    pub fn roots(&self) -> &[RootKey] {
        &self.roots
    }

    /// The keys of such a ring.
    pub fn inherited(&self) -> &[DataKey] {
        &self.inherited
    }

    /// What the database shall keep of the root keys that wrap these keys. Where it is the one of an older release, what that release
    /// knows of its ring.
    pub fn checks(&self, keys: &[WrappedKey]) -> Vec<KeyCheck> {
        let check = |id: &String, key_use: KeyUse, value: [u8; 16], create_time| KeyCheck {
            id: id.clone(),
            key_use: key_use.as_str().to_owned(),
            value: value.to_vec(),
            create_time,
        };
        let wraps = |root: &RootKey| keys.iter().any(|key| key.state != KeyState::Destroyed && key.root_id == root.id);
        let inherited = self.inherited.iter().any(|key| key.key_use == KeyUse::Seal)
            && inherited_root(&self.inherited).is_ok_and(|root| wraps(&root));
        if inherited {
            let value = |key: &DataKey| check_value(&key.id, &key.secret);
            return self.inherited.iter().map(|key| check(&key.id, key.key_use, value(key), key.create_time)).collect();
        }
        let wrapping = self.roots.iter().filter(|root| wraps(root));
        wrapping.map(|root| check(&root.id, KeyUse::Root, root.check_value(), root.create_time)).collect()
    }

    /// Holds the ring against what a database keeps of its own; says which keys are missing or different.
    pub fn verify(&self, known: &[KeyCheck]) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for check in known {
            let root = self.roots.iter().find(|root| root.id == check.id).map(RootKey::check_value);
            let inherited = self.inherited.iter().find(|key| key.id == check.id);
            match root.or_else(|| inherited.map(|key| check_value(&key.id, &key.secret))) {
                None => problems.push(format!("key {} is in the database but not in the ring", check.id)),
                Some(value) if secret::same(&value, &check.value) => {}
                Some(_) => problems.push(format!("key {} is not the one that the database was made with", check.id)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The root key that wraps.
    pub fn newest(&self) -> anyhow::Result<&RootKey> {
        self.roots.last().context("the ring has no root key")
    }

    /// Makes a new data key, wrapped.
    pub fn make(&self, key_use: KeyUse, state: KeyState, now: Timestamp) -> anyhow::Result<WrappedKey> {
        let secret = Secret::new(secret::random()?);
        let is_active = state == KeyState::Active;
        self.wrap(&DataKey { id: new_id(key_use)?, key_use, is_active, create_time: now, secret }, now)
    }

    /// Wraps a data key with the newest root key.
    pub fn wrap(&self, key: &DataKey, now: Timestamp) -> anyhow::Result<WrappedKey> {
        let root = self.newest()?;
        Ok(WrappedKey {
            wrapped: aead::seal(&root.id, root.secret.expose(), place(&key.id, key.key_use), key.secret.expose())?,
            id: key.id.clone(),
            key_use: key.key_use,
            state: if key.is_active { KeyState::Active } else { KeyState::Readable },
            root_id: root.id.clone(),
            create_time: key.create_time,
            active_time: key.is_active.then_some(now),
            demote_time: None,
        })
    }

    /// Opens a data key.
    pub fn unwrap(&self, key: &WrappedKey) -> anyhow::Result<DataKey> {
        let find = |id: &[u8]| {
            let root = self.roots.iter().find(|root| root.id.as_bytes() == id)?;
            Some((root.id.as_str(), &root.secret))
        };
        let plain = aead::open(find, place(&key.id, key.key_use), &key.wrapped)
            .with_context(|| format!("the key {} cannot be opened with the ring (root key {})", key.id, key.root_id))?;
        let secret = plain.expose().as_slice().try_into().map(Secret::new);
        Ok(DataKey {
            id: key.id.clone(),
            key_use: key.key_use,
            is_active: key.state == KeyState::Active,
            create_time: key.create_time,
            secret: secret.map_err(|_| anyhow!("the key {} has another length", key.id))?,
        })
    }
}

/// The root key of a ring that has none: made of its sealing keys, so that every process with the same ring has the same one.
fn inherited_root(keys: &[DataKey]) -> anyhow::Result<RootKey> {
    for key_use in KeyUse::DATA {
        ensure!(keys.iter().any(|key| key.key_use == key_use), "it has no key with use = \"{}\"", key_use.as_str());
    }
    let seals = keys.iter().filter(|key| key.key_use == KeyUse::Seal);
    let oldest = seals.min_by_key(|key| key.create_time).context("it has no sealing key")?;
    let secret = Secret::new(mac(oldest.secret.expose(), &[b"countersign inherited root"]));
    let id = format!("root-{}", hex(&mac(oldest.secret.expose(), &[b"countersign inherited root id"])[..8]));
    Ok(RootKey { id, create_time: oldest.create_time, secret })
}

fn check_value(id: &str, secret: &Secret<[u8; 32]>) -> [u8; 16] {
    let tag = mac(secret.expose(), &[b"countersign key check", id.as_bytes()]);
    let mut value = [0; 16];
    value.copy_from_slice(&tag[..16]);
    value
}

fn new_id(key_use: KeyUse) -> anyhow::Result<String> {
    Ok(format!("{}-{}", key_use.as_str(), hex(&secret::random::<8>()?)))
}

fn place(id: &str, key_use: KeyUse) -> Place<'_> {
    Place { table: "data_keys", column: key_use.as_str(), user: &[], row: id.as_bytes() }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_wrapped_key_opens_in_its_place_alone_and_with_its_root_alone() -> anyhow::Result<()> {
        let ring = RootRing::generate(NOW)?;
        let key = ring.make(KeyUse::Seal, KeyState::Readable, NOW)?;
        assert!(ring.unwrap(&key).is_ok());
        assert!(RootRing::generate(NOW)?.unwrap(&key).is_err());
        assert!(ring.unwrap(&WrappedKey { key_use: KeyUse::Sign, ..key.clone() }).is_err());
        assert!(ring.unwrap(&WrappedKey { id: "seal-0".to_owned(), ..key.clone() }).is_err());
        let mut flipped = key.clone();
        flipped.wrapped[60] ^= 1;
        assert!(ring.unwrap(&flipped).is_err());
        Ok(())
    }

    #[test]
    fn a_ring_of_an_older_release_gives_a_root_and_its_keys_to_be_kept() -> anyhow::Result<()> {
        let secret = STANDARD.encode([7; 32]);
        let entry = |id: &str, key_use: &str, time: u32| {
            format!("[[keys]]\nid = \"{id}\"\nuse = \"{key_use}\"\ncreate_time = {time}\nsecret = \"{secret}\"\n")
        };
        let old = [entry("seal-1", "seal", 1), entry("sign-1", "sign", 1), entry("index-1", "index", 1)].concat();
        let ring = RootRing::parse(&old)?;
        let again = RootRing::parse(&[old.as_str(), &entry("seal-2", "seal", 2)].concat())?;
        assert_eq!(ring.newest()?.check_value(), again.newest()?.check_value(), "every process has the same");
        assert_eq!(ring.inherited().iter().filter(|key| key.is_active).count(), 3);
        let active: Vec<_> = again.inherited().iter().filter(|key| key.is_active).map(|key| &key.id).collect();
        assert_eq!(active, ["sign-1", "index-1", "seal-2"]);
        let wrapped = ring.make(KeyUse::Seal, KeyState::Active, NOW)?;
        let ids = |ring: &RootRing, key: &WrappedKey| {
            ring.checks(std::slice::from_ref(key)).into_iter().map(|check| check.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(&ring, &wrapped), ["seal-1", "sign-1", "index-1"], "as that release knows them");
        let mut ring = ring;
        let new = ring.add(NOW)?;
        assert_eq!(ids(&ring, &ring.make(KeyUse::Seal, KeyState::Active, NOW)?), [new]);
        assert!(RootRing::parse(&entry("seal-1", "seal", 1)).is_err(), "a part of one is none");
        Ok(())
    }
}
