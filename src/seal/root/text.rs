//! The text of a ring: a file, or a line for an environment or a vault. No fault of one says what is in it.

use std::fmt::Write as _;

use anyhow::{Context, anyhow, ensure};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use serde::Deserialize;

use super::{RootKey, RootRing, inherited_root};
use crate::{
    clock::Timestamp,
    seal::keys::{DataKey, KeyUse},
    secret::Secret,
};

impl RootRing {
    /// Reads a ring from its text: that of a file, or keys as `ID:BASE64` with white space between them.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        let ring = match first {
            Some(line) if line.starts_with('[') => Self::parse_file(text)?,
            Some(_) => Self::parse_line(text)?,
            None => return Err(anyhow!("it is empty")),
        };
        for (at, root) in ring.roots.iter().enumerate() {
            ensure!(is_id(&root.id), "the id of a key has 1 to 64 letters, digits, hyphens, underscores or dots");
            ensure!(ring.roots[..at].iter().all(|other| other.id != root.id), "key {} is there twice", root.id);
        }
        ensure!(!ring.roots.is_empty(), "it has no key with use = \"root\"");
        Ok(ring)
    }

    fn parse_line(text: &str) -> anyhow::Result<Self> {
        let mut roots = Vec::new();
        for (at, word) in text.split_whitespace().enumerate() {
            // Where both are swapped the id is the secret: no fault says more of it than its place.
            let (id, encoded) = word.split_once(':').with_context(|| format!("key {} must be ID:BASE64", at + 1))?;
            ensure!(is_id(id) && !is_secret(id), "key {} must be ID:BASE64", at + 1);
            let create_time = Timestamp::from_seconds(i64::try_from(at)?);
            roots.push(RootKey { id: id.to_owned(), create_time, secret: secret_of(id, encoded)? });
        }
        Ok(Self { roots, inherited: Vec::new() })
    }

    fn parse_file(text: &str) -> anyhow::Result<Self> {
        // The parser's own message would quote the line, and with it the key.
        let file: RingFile = toml::from_str(text).map_err(|fault| anyhow!("{}", fault.message()))?;
        let (mut roots, mut inherited) = (Vec::new(), Vec::<DataKey>::new());
        for entry in file.keys {
            let secret = secret_of(&entry.id, entry.secret.expose())?;
            let create_time = Timestamp::from_seconds(entry.create_time);
            ensure!(inherited.iter().all(|key| key.id != entry.id), "key {} is there twice", entry.id);
            match entry.key_use {
                KeyUse::Root => roots.push(RootKey { id: entry.id, create_time, secret }),
                key_use @ (KeyUse::Seal | KeyUse::Sign | KeyUse::Index) => {
                    inherited.push(DataKey { id: entry.id, key_use, is_active: false, create_time, secret });
                }
            }
        }
        if roots.is_empty() && !inherited.is_empty() {
            roots.push(inherited_root(&inherited)?);
        }
        for key_use in KeyUse::DATA {
            if let Some(newest) = inherited.iter_mut().filter(|k| k.key_use == key_use).max_by_key(|k| k.create_time) {
                newest.is_active = true;
            }
        }
        Ok(Self { roots, inherited })
    }

    /// The ring as its file has it.
    pub(super) fn to_text(&self) -> Secret<String> {
        let mut text = String::from(
            "# The key ring of Countersign. Whoever has this file and the database can read every secret in it.\n\
             # Keep it apart from the database and from its backups. Without it the database cannot be used.\n",
        );
        let roots = self.roots.iter().map(|root| (&root.id, KeyUse::Root, root.create_time, &root.secret));
        let inherited = self.inherited.iter().map(|key| (&key.id, key.key_use, key.create_time, &key.secret));
        for (id, key_use, create_time, secret) in roots.chain(inherited) {
            let (key_use, seconds) = (key_use.as_str(), create_time.seconds());
            let secret = Secret::new(STANDARD.encode(secret.expose()));
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n[[keys]]\nid = \"{id}\"\nuse = \"{key_use}\"\ncreate_time = {seconds}\nsecret = \"{}\"\n",
                secret.expose()
            );
        }
        Secret::new(text)
    }

    /// The root keys in one line, for an environment or a vault.
    pub fn to_line(&self) -> Secret<String> {
        let word = |root: &RootKey| format!("{}:{}", root.id, STANDARD.encode(root.secret.expose()));
        Secret::new(self.roots.iter().map(word).collect::<Vec<_>>().join(" "))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    keys: Vec<RingEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RingEntry {
    id: String,
    #[serde(rename = "use")]
    key_use: KeyUse,
    create_time: i64,
    #[serde(deserialize_with = "secret_text")]
    secret: Secret<String>,
}

fn secret_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret<String>, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn is_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

fn is_secret(text: &str) -> bool {
    STANDARD_NO_PAD.decode(text.trim_end_matches('=')).is_ok_and(|bytes| bytes.len() == 32)
}

fn secret_of(id: &str, encoded: &str) -> anyhow::Result<Secret<[u8; 32]>> {
    let bytes = Secret::new(STANDARD.decode(encoded).unwrap_or_default());
    let secret = bytes.expose().as_slice().try_into().map(Secret::new);
    secret.map_err(|_| anyhow!("the secret of key {id} is not 32 bytes in base64"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::KeyState;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_ring_reads_back_from_its_file_and_from_its_line() -> anyhow::Result<()> {
        let mut ring = RootRing::generate(NOW)?;
        let key = ring.make(KeyUse::Seal, KeyState::Active, NOW)?;
        ring.add(NOW)?;
        for text in [ring.to_text(), ring.to_line()] {
            let read = RootRing::parse(text.expose())?;
            assert_eq!(read.newest()?.id, ring.newest()?.id);
            assert_eq!(read.unwrap(&key)?.id, key.id);
            let keys = std::slice::from_ref(&key);
            assert!(ring.verify(&read.checks(keys)).is_ok() && read.verify(&ring.checks(keys)).is_ok());
        }
        for wrong in ["", "# nothing", "root-1", "root-1:c2hvcnQ=", "[[keys]]\nid = \"x\"\n"] {
            assert!(RootRing::parse(wrong).is_err(), "{wrong:?}");
        }
        let secret = STANDARD.encode([7; 32]);
        for swapped in [format!("{secret}:root-1"), format!("{}:root-1", secret.trim_end_matches('=')), secret.clone()]
        {
            let told = RootRing::parse(&swapped).err().map(|fault| format!("{fault:#}")).unwrap_or_default();
            assert!(told.contains("key 1") && !told.contains(&secret[..20]), "{told}");
        }
        let twice = format!("{0} {0}", ring.to_line().expose());
        assert!(RootRing::parse(&twice).is_err());
        Ok(())
    }
}
