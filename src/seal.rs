//! The key ring, and the sealing of what lies in stores with its keys.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, anyhow, ensure};
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use serde::Deserialize;

use crate::{
    clock::Timestamp,
    file,
    secret::{self, Secret},
};

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Seals what lies in the stores: XChaCha20-Poly1305.
    Seal,
    /// Signs access tokens: Ed25519.
    Sign,
    /// Hashes names that must be found again but not read: HMAC-SHA-256.
    Index,
}

impl KeyUse {
    const ALL: [Self; 3] = [Self::Seal, Self::Sign, Self::Index];

    /// The word in the ring file and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Sign => "sign",
            Self::Index => "index",
        }
    }
}

/// A key of the ring.
pub struct Key {
    /// Its id, which stands beside whatever was made with it.
    pub id: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// When it was made.
    pub create_time: Timestamp,
    /// 256 random bits.
    pub secret: Secret<[u8; 32]>,
}

impl Key {
    fn generate(key_use: KeyUse, now: Timestamp) -> anyhow::Result<Self> {
        let id = format!("{}-{}", key_use.as_str(), hex(&secret::random::<8>()?));
        Ok(Self { id, key_use, create_time: now, secret: Secret::new(secret::random()?) })
    }

    /// A value that tells this key from any other and tells nothing of it.
    pub fn check_value(&self) -> [u8; 16] {
        let tag = mac(self.secret.expose(), &[b"countersign key check", self.id.as_bytes()]);
        let mut value = [0; 16];
        value.copy_from_slice(&tag[..16]);
        value
    }
}

/// What the database keeps of a key, to know the ring by.
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

/// Every key of the installation: the one secret outside the database.
pub struct KeyRing {
    keys: Vec<Key>,
}

/// Where a sealed value lies. It is bound into the seal, so that a value moved elsewhere does not open.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Table, or kind of ephemeral entry.
    pub table: &'static str,
    /// Column.
    pub column: &'static str,
    /// Whose it is.
    pub user: &'a [u8],
    /// Which row.
    pub row: &'a [u8],
}

impl Place<'_> {
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let mut data = Vec::with_capacity(128);
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.user, self.row, key_id.as_bytes()] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

impl KeyRing {
    /// A new ring with one key of each use.
    pub fn generate(now: Timestamp) -> anyhow::Result<Self> {
        let keys = KeyUse::ALL.into_iter().map(|key_use| Key::generate(key_use, now)).collect::<Result<_, _>>()?;
        Ok(Self { keys })
    }

    /// Reads a ring file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let given = file::read_given(path)?;
        if let Some(warning) = given.warning {
            tracing::warn!("{warning}");
        }
        let text = Secret::new(given.text);
        Self::parse(text.expose()).with_context(|| format!("{} is not a key ring", path.display()))
    }

    /// Writes a new ring file, for its owner alone.
    pub fn create(&self, path: &Path) -> anyhow::Result<()> {
        file::create_private(path, self.to_text().expose().as_bytes())
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        // The parser's own message would quote the line, and with it the key.
        let file: RingFile = toml::from_str(text).map_err(|fault| anyhow!("{}", fault.message()))?;
        let mut keys: Vec<Key> = Vec::new();
        for entry in file.keys {
            let bytes = Secret::new(STANDARD.decode(entry.secret.expose()).unwrap_or_default());
            let secret: [u8; 32] = bytes
                .expose()
                .as_slice()
                .try_into()
                .map_err(|_| anyhow!("the secret of key {} is not 32 bytes in base64", entry.id))?;
            ensure!((1..=64).contains(&entry.id.len()), "the id of a key has 1 to 64 characters");
            ensure!(keys.iter().all(|key| key.id != entry.id), "key {} is there twice", entry.id);
            let create_time = Timestamp::from_seconds(entry.create_time);
            keys.push(Key { id: entry.id, key_use: entry.key_use, create_time, secret: Secret::new(secret) });
        }
        for key_use in KeyUse::ALL {
            ensure!(keys.iter().any(|key| key.key_use == key_use), "it has no key with use = \"{}\"", key_use.as_str());
        }
        Ok(Self { keys })
    }

    fn to_text(&self) -> Secret<String> {
        let mut text = String::from(
            "# The key ring of Countersign. Whoever has this file and the database can read every secret in it.\n\
             # Keep it apart from the database and from its backups. Without it the database cannot be used.\n",
        );
        for key in &self.keys {
            let secret = Secret::new(STANDARD.encode(key.secret.expose()));
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n[[keys]]\nid = \"{}\"\nuse = \"{}\"\ncreate_time = {}\nsecret = \"{}\"\n",
                key.id,
                key.key_use.as_str(),
                key.create_time.seconds(),
                secret.expose()
            );
        }
        Secret::new(text)
    }

    /// Every key, oldest first.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What the database shall keep of the ring.
    pub fn checks(&self) -> Vec<KeyCheck> {
        let check = |key: &Key| KeyCheck {
            id: key.id.clone(),
            key_use: key.key_use.as_str().to_owned(),
            value: key.check_value().to_vec(),
            create_time: key.create_time,
        };
        self.keys.iter().map(check).collect()
    }

    /// Holds the ring against what a database keeps of its own; says which keys are missing or different.
    pub fn verify(&self, known: &[KeyCheck]) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        for check in known {
            match self.keys.iter().find(|key| key.id == check.id) {
                None => problems.push(format!("key {} is in the database but not in the ring", check.id)),
                Some(key) if secret::same(&key.check_value(), &check.value) => {}
                Some(_) => problems.push(format!("key {} is not the one that the database was made with", check.id)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Seals a value for a place, with the newest sealing key.
    pub fn seal(&self, place: Place<'_>, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
        let key = self.newest(KeyUse::Seal)?;
        let nonce: [u8; NONCE_BYTES] = secret::random()?;
        let aad = place.associated_data(&key.id);
        let sealed = XChaCha20Poly1305::new(key.secret.expose().into())
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
            .map_err(|_| anyhow!("sealing failed"))?;
        let mut out = Vec::with_capacity(2 + key.id.len() + NONCE_BYTES + sealed.len());
        out.push(FORMAT);
        out.push(u8::try_from(key.id.len())?);
        out.extend_from_slice(key.id.as_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens a value that was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> anyhow::Result<Secret<Vec<u8>>> {
        let (key_id, nonce, body) = split(sealed).context("a sealed value is cut short")?;
        let key = self
            .keys
            .iter()
            .find(|key| key.key_use == KeyUse::Seal && key.id.as_bytes() == key_id)
            .context("a value is sealed with a key that the ring lacks")?;
        let aad = place.associated_data(&key.id);
        XChaCha20Poly1305::new(key.secret.expose().into())
            .decrypt(&XNonce::from(nonce), Payload { msg: body, aad: &aad })
            .map(Secret::new)
            .map_err(|_| anyhow!("a value in {}.{} does not open: altered, or moved", place.table, place.column))
    }

    /// A keyed hash: finds a name again without keeping it.
    pub fn index(&self, domain: &str, name: &[u8]) -> anyhow::Result<[u8; 32]> {
        let key = self.keys.iter().find(|key| key.key_use == KeyUse::Index).context("the ring has no index key")?;
        Ok(mac(key.secret.expose(), &[domain.as_bytes(), name]))
    }

    fn newest(&self, key_use: KeyUse) -> anyhow::Result<&Key> {
        let of_use = self.keys.iter().filter(|key| key.key_use == key_use);
        of_use.max_by_key(|key| key.create_time).with_context(|| format!("the ring has no {} key", key_use.as_str()))
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

fn split(sealed: &[u8]) -> Option<(&[u8], [u8; NONCE_BYTES], &[u8])> {
    let (&format, rest) = sealed.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (key_id, rest) = rest.split_at_checked(usize::from(length))?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>()?;
    (format == FORMAT).then_some((key_id, *nonce, body))
}

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
