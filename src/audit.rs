//! What makes the audit log tamper-evident: each record is a link that holds the one before, and the last link is signed. And how a
//! record is written out. Pure.

use serde_json::Value;

use crate::{
    clock::Timestamp,
    model::{AuditRecord, ChainPoint, Seal},
    seal::KeyRing,
};

/// The link before the first.
pub const BEGINNING: [u8; 32] = [0; 32];

/// The link of a record at a position, sealed at a time. It is keyed: nobody but the service can make one.
pub fn link(
    ring: &KeyRing,
    before: &[u8; 32],
    position: i64,
    time: Timestamp,
    seal: &Seal,
) -> anyhow::Result<[u8; 32]> {
    let mut bytes = before.to_vec();
    bytes.extend_from_slice(&position.to_be_bytes());
    bytes.extend_from_slice(&time.millis().to_be_bytes());
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
    ring.index("audit link v1", &bytes)
}

/// What is signed of the end of the chain.
pub fn head(end: &ChainPoint) -> Vec<u8> {
    [b"countersign audit head v1".as_slice(), &end.position.to_be_bytes(), &end.hash].concat()
}

/// What is signed of the place that the log begins after, since older records were dropped. It is no end: else whoever has seen the
/// chain end there could say that it begins there.
pub fn anchor(anchor: &ChainPoint) -> Vec<u8> {
    let ChainPoint { position, hash, is_authenticated, .. } = anchor;
    let name = b"countersign audit anchor v1".as_slice();
    [name, &position.to_be_bytes(), hash, &[u8::from(*is_authenticated)]].concat()
}

/// Whether a point is the beginning, which nobody has signed.
pub fn is_beginning(point: &ChainPoint) -> bool {
    point.position == 0 && point.hash == BEGINNING && !point.is_authenticated
}

/// What is wrong with a record by itself.
pub fn is_altered(seal: &Seal) -> bool {
    seal.mac.as_deref().is_some_and(|mac| !crate::secret::same(mac, &seal.expected))
}

/// A record and its place as JSON: the names are those of `AuditEvent`.
pub fn json(position: i64, record: &AuditRecord) -> Value {
    let all = serde_json::json!({
        "auditEventId": record.id.to_string(),
        "position": position,
        "createTime": record.create_time.to_rfc3339(),
        "kind": record.kind,
        "reason": record.reason,
        "userId": record.subject.map(|id| id.to_string()),
        "adminUserId": record.admin.map(|id| id.to_string()),
        "sessionId": record.session.map(|id| id.to_string()),
        "method": record.method,
        "count": record.count,
        "source": record.source,
        "userAgent": record.user_agent,
        "requestId": record.request_id,
        "traceId": record.trace_id,
        "note": record.note,
    });
    match all {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn seal(mac: Option<u8>, expected: u8) -> Seal {
        let mac = mac.map(|byte| vec![byte; 32]);
        Seal { expected: [expected; 32], mac, position: None, link: None, seal_time: None }
    }

    #[test]
    fn a_link_holds_what_was_before_the_place_the_time_and_the_record() -> anyhow::Result<()> {
        let ring = KeyRing::generate(NOW)?;
        let link = |before: &[u8; 32], position, time, seal: &Seal| link(&ring, before, position, time, seal);
        let first = link(&BEGINNING, 1, NOW, &seal(Some(7), 7))?;
        assert_ne!(first, link(&first, 1, NOW, &seal(Some(7), 7))?);
        assert_ne!(first, link(&BEGINNING, 2, NOW, &seal(Some(7), 7))?);
        assert_ne!(first, link(&BEGINNING, 1, Timestamp::from_seconds(1), &seal(Some(7), 7))?);
        assert_ne!(first, link(&BEGINNING, 1, NOW, &seal(Some(8), 7))?);
        assert_ne!(first, link(&BEGINNING, 1, NOW, &seal(None, 7))?, "a record cannot lose what authenticates it");
        assert_eq!(first, link(&BEGINNING, 1, NOW, &seal(Some(7), 8))?, "an altered one is told by its own mac");
        let other = KeyRing::generate(NOW)?;
        assert_ne!(first, super::link(&other, &BEGINNING, 1, NOW, &seal(Some(7), 7))?, "without the key there is none");
        assert!(is_altered(&seal(Some(7), 8)) && !is_altered(&seal(Some(7), 7)) && !is_altered(&seal(None, 7)));
        Ok(())
    }
}
