//! The keys that sign access tokens, and their public halves.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use jsonwebtoken::{DecodingKey, EncodingKey};

use crate::{
    clock::Timestamp,
    seal::{Fence, KeyRing, KeyUse},
    secret,
};

/// A public key as JWK (RFC 8037) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The key's id.
    pub kid: String,
    /// The 32 bytes of the public key in base64url.
    pub x: String,
}

/// The signing keys that a process holds.
pub struct SigningKeys {
    keys: Vec<SigningKey>,
    fence: Arc<Fence>,
}

pub(super) struct SigningKey {
    pub(super) id: String,
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
    pair: Ed25519KeyPair,
    x: String,
    is_active: bool,
    create_time: Timestamp,
}

impl SigningKeys {
    /// Takes the signing keys out of a ring.
    pub fn from_ring(ring: &KeyRing) -> anyhow::Result<Self> {
        let held = ring.keys();
        let signing = held.iter().filter(|key| key.key_use == KeyUse::Sign);
        let keys = signing
            .map(|key| {
                let pair = Ed25519KeyPair::from_seed_unchecked(key.secret.expose())
                    .map_err(|_| anyhow!("key {} cannot sign", key.id))?;
                let private = pair.to_pkcs8v1().map_err(|_| anyhow!("key {} cannot sign", key.id))?;
                let public = pair.public_key().as_ref();
                Ok(SigningKey {
                    id: key.id.clone(),
                    encoding: EncodingKey::from_ed_der(private.as_ref()),
                    decoding: DecodingKey::from_ed_der(public),
                    x: secret::to_text(public),
                    pair,
                    is_active: key.is_active,
                    create_time: key.create_time,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { keys, fence: Arc::clone(ring.fence()) })
    }

    /// The public halves, newest first.
    pub fn public(&self) -> Vec<PublicKey> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|key| std::cmp::Reverse(key.create_time));
        keys.into_iter().map(|key| PublicKey { kid: key.id.clone(), x: key.x.clone() }).collect()
    }

    /// Signs with the active key; answers its id, too.
    pub fn sign(&self, message: &[u8]) -> anyhow::Result<(String, Vec<u8>)> {
        let key = self.signer()?;
        Ok((key.id.clone(), key.pair.sign(message).as_ref().to_vec()))
    }

    /// Whether a signature is one of these keys.
    pub fn has_signed(&self, key_id: &str, message: &[u8], signature: &[u8]) -> bool {
        let Some(key) = self.find(key_id) else {
            return false;
        };
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key().as_ref());
        public.verify(message, signature).is_ok()
    }

    /// The id of the key that signs.
    pub fn active_id(&self) -> anyhow::Result<&str> {
        Ok(&self.active()?.id)
    }

    /// The key that signs, while this process may.
    pub(super) fn signer(&self) -> anyhow::Result<&SigningKey> {
        self.fence.pass()?;
        self.active()
    }

    fn active(&self) -> anyhow::Result<&SigningKey> {
        self.keys.iter().find(|key| key.is_active).context("no active signing key is held")
    }

    pub(super) fn find(&self, id: &str) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}
