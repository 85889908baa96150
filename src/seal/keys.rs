//! Data keys: what seals, signs and hashes. They lie in the database, wrapped by a root key.

use crate::{clock::Timestamp, secret::Secret};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// Seals what lies in the stores: XChaCha20-Poly1305.
    Seal,
    /// Signs access tokens: Ed25519.
    Sign,
    /// Hashes names that must be found again but not read: HMAC-SHA-256.
    Index,
    /// Wraps the others. (Never in the database.)
    Root,
}

impl KeyUse {
    /// Those that lie in the database.
    pub const DATA: [Self; 3] = [Self::Seal, Self::Sign, Self::Index];

    /// The word in the database, in the ring and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Sign => "sign",
            Self::Index => "index",
            Self::Root => "root",
        }
    }

    /// Reads `as_str` back, of a data key.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::DATA.into_iter().find(|key_use| key_use.as_str() == word)
    }
}

/// What may be done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// New values are made with it.
    Active,
    /// Values that were made with it are read, and values that others make.
    Readable,
    /// It is not used, and can be again.
    Disabled,
    /// It is gone for ever.
    Destroyed,
}

impl KeyState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Readable, Self::Disabled, Self::Destroyed];

    /// The word in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Readable => "readable",
            Self::Disabled => "disabled",
            Self::Destroyed => "destroyed",
        }
    }

    /// Reads `as_str` back.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A data key in use.
pub struct DataKey {
    /// Its id, which stands beside whatever was made with it.
    pub id: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// Whether new values are made with it.
    pub is_active: bool,
    /// When it was made.
    pub create_time: Timestamp,
    /// 256 random bits.
    pub secret: Secret<[u8; 32]>,
}

/// A data key as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub key_use: KeyUse,
    /// What may be done with it.
    pub state: KeyState,
    /// Its secret, wrapped; empty = destroyed.
    pub wrapped: Vec<u8>,
    /// The root key that it is wrapped by.
    pub root_id: String,
    /// When it was made.
    pub create_time: Timestamp,
    /// Since when new values are made with it; None = they never were.
    pub active_time: Option<Timestamp>,
    /// Since when they are made with another one; None = they are not.
    pub demote_time: Option<Timestamp>,
}
