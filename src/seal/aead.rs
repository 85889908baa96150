//! XChaCha20-Poly1305, and the form that a sealed value has: a format, the id of its key, a nonce, and what is sealed.

use anyhow::{Context, anyhow};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

use super::Place;
use crate::secret::{self, Secret};

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals a value for a place.
pub(super) fn seal(key_id: &str, key: &[u8; 32], place: Place<'_>, plain: &[u8]) -> anyhow::Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = secret::random()?;
    let aad = place.associated_data(key_id);
    let sealed = XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &aad })
        .map_err(|_| anyhow!("sealing failed"))?;
    let mut out = head(key_id);
    out.reserve(NONCE_BYTES + sealed.len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// Opens a value that was sealed for this place; `find` finds the key with an id.
pub(super) fn open<'k>(
    find: impl FnOnce(&[u8]) -> Option<(&'k str, &'k Secret<[u8; 32]>)>,
    place: Place<'_>,
    sealed: &[u8],
) -> anyhow::Result<Secret<Vec<u8>>> {
    let (key_id, nonce, body) = split(sealed).context("a sealed value is cut short")?;
    let (key_id, key) = find(key_id).context("a value is sealed with a key that is not held")?;
    let aad = place.associated_data(key_id);
    XChaCha20Poly1305::new(key.expose().into())
        .decrypt(&XNonce::from(nonce), Payload { msg: body, aad: &aad })
        .map(Secret::new)
        .map_err(|_| anyhow!("a value in {}.{} does not open: altered, or moved", place.table, place.column))
}

/// Format and key.
pub(super) fn head(key_id: &str) -> Vec<u8> {
    let mut head = vec![FORMAT, u8::try_from(key_id.len()).unwrap_or(u8::MAX)];
    head.extend_from_slice(key_id.as_bytes());
    head
}

fn split(sealed: &[u8]) -> Option<(&[u8], [u8; NONCE_BYTES], &[u8])> {
    let (&format, rest) = sealed.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (key_id, rest) = rest.split_at_checked(usize::from(length))?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>()?;
    (format == FORMAT).then_some((key_id, *nonce, body))
}
