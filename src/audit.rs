//! What makes the audit log tamper-evident: each record is a link that holds the one before, and the last link is signed. Pure.

use crate::{model::Seal, secret};

/// The link before the first.
pub const BEGINNING: [u8; 32] = [0; 32];

/// The link of a record at a position.
pub fn link(before: &[u8; 32], position: i64, seal: &Seal) -> [u8; 32] {
    let mut bytes = b"countersign audit link v1".to_vec();
    bytes.extend_from_slice(before);
    bytes.extend_from_slice(&position.to_be_bytes());
    match &seal.mac {
        Some(mac) => {
            bytes.push(1);
            bytes.extend_from_slice(mac);
        }
        // Of a release that made none: the chain holds what the record was when it was sealed.
        None => {
            bytes.push(0);
            bytes.extend_from_slice(&seal.expected);
        }
    }
    secret::fingerprint(&bytes)
}

/// What is signed of the end of the chain.
pub fn head(position: i64, hash: &[u8; 32]) -> Vec<u8> {
    [b"countersign audit head v1".as_slice(), &position.to_be_bytes(), hash].concat()
}

/// What is signed of the place that the log begins after, since older records were dropped. It is no end: else whoever has seen the
/// chain end there could say that it begins there.
pub fn anchor(position: i64, hash: &[u8; 32]) -> Vec<u8> {
    [b"countersign audit anchor v1".as_slice(), &position.to_be_bytes(), hash].concat()
}

/// What is wrong with a record by itself.
pub fn is_altered(seal: &Seal) -> bool {
    seal.mac.as_deref().is_some_and(|mac| !secret::same(mac, &seal.expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(mac: Option<u8>, expected: u8) -> Seal {
        Seal { expected: [expected; 32], mac: mac.map(|byte| vec![byte; 32]), position: None, link: None }
    }

    #[test]
    fn a_link_holds_what_was_before_the_place_and_the_record() {
        let first = link(&BEGINNING, 1, &seal(Some(7), 7));
        assert_ne!(first, link(&first, 1, &seal(Some(7), 7)));
        assert_ne!(first, link(&BEGINNING, 2, &seal(Some(7), 7)));
        assert_ne!(first, link(&BEGINNING, 1, &seal(Some(8), 7)));
        assert_ne!(first, link(&BEGINNING, 1, &seal(None, 7)), "a record cannot lose what authenticates it");
        assert_eq!(first, link(&BEGINNING, 1, &seal(Some(7), 8)), "an altered one is told by its own mac");
        assert!(is_altered(&seal(Some(7), 8)) && !is_altered(&seal(Some(7), 7)) && !is_altered(&seal(None, 7)));
    }
}
