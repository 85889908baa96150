//! The first factor: a password.

use unicode_normalization::UnicodeNormalization;

use crate::{
    error::{Error, Refusal},
    hash::{Hasher, Queue},
    model::PasswordHash,
    secret::Secret,
};

const MIN_CHARACTERS: usize = 8;
const MAX_CHARACTERS: usize = 256;

/// A password in NFC, so that it does not matter how the keyboard composes its letters.
pub struct Password(Secret<String>);

impl Password {
    /// Reads a password that is shown at sign-in. Only its length is judged: rules are for passwords that are set.
    pub fn parse(text: &Secret<String>) -> Result<Self, Refusal> {
        let normal = Secret::new(text.expose().nfc().collect::<String>());
        if normal.expose().is_empty() {
            return Err(Refusal::field("password", "must not be empty."));
        }
        if normal.expose().chars().count() > MAX_CHARACTERS {
            return Err(Refusal::field("password", format!("must have at most {MAX_CHARACTERS} characters.")));
        }
        Ok(Self(normal))
    }

    /// Reads a password that is to be set.
    pub fn parse_new(text: &Secret<String>) -> Result<Self, Refusal> {
        let password = Self::parse(text)?;
        if password.0.expose().chars().count() < MIN_CHARACTERS {
            return Err(Refusal::field("password", format!("must have at least {MIN_CHARACTERS} characters.")));
        }
        Ok(password)
    }

    /// Hashes it, to be set.
    pub async fn hash(self, hasher: &Hasher) -> Result<PasswordHash, Error> {
        hasher.hash(Queue::SignIn, self.0).await
    }

    /// Whether it is the one that was hashed. Without a hash it takes as long, and is not.
    pub async fn matches(self, hasher: &Hasher, hash: Option<&PasswordHash>) -> Result<bool, Error> {
        hasher.verify(Queue::SignIn, self.0, hash).await
    }
}
