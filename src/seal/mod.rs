//! Keys, and the sealing of what lies in stores with them. Root keys lie outside the database and wrap the data keys, which lie in it.

mod aead;
mod fence;
mod keys;
mod ring;
mod root;

use std::fmt::Write as _;

use aws_lc_rs::hmac;

pub use fence::Fence;
pub use keys::{DataKey, KeyState, KeyUse, WrappedKey};
pub use ring::{Damage, KeyRing};
pub use root::{KeyCheck, RootKey, RootRing};

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

/// What every value begins with that was sealed by a key.
pub fn sealed_by(key_id: &str) -> Vec<u8> {
    aead::head(key_id)
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
