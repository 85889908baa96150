//! Goes through the audit log from where it begins to its end, and names what does not fit.

use std::time::Duration;

use crate::{
    audit,
    clock::Timestamp,
    error::Error,
    model::{AuditRecord, ChainPoint, EventKind, Seal},
    seal::{KeyRing, hex},
    store::Store,
    token::keys::SigningKeys,
};

const BATCH: u64 = 1000;
/// A record is sealed sooner, as long as the service runs.
const LATE: Duration = Duration::from_secs(60);
/// What is counted by the minute has the time at which that began, and is written after its end.
const LATE_COUNT: Duration = Duration::from_secs(180);
/// More findings tell nothing more.
const FINDINGS: usize = 100;

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A record is not what it was when it was written.
    Altered {
        /// Its place; None = it is not sealed yet.
        position: Option<i64>,
        /// Its id.
        id: String,
        /// When it says it happened.
        time: Timestamp,
    },
    /// A record has nothing that authenticates it, though those before it have.
    Unauthenticated {
        /// Its place; None = it is not sealed yet.
        position: Option<i64>,
        /// Its id.
        id: String,
    },
    /// There are no records at these places.
    Missing {
        /// The first of them.
        from: i64,
        /// The last of them.
        to: i64,
    },
    /// The record at this place is not the one that was sealed there.
    Replaced {
        /// The place.
        position: i64,
        /// The id of the record that is there.
        id: String,
    },
    /// The signature of this place is no good.
    Unsigned {
        /// The place.
        position: i64,
    },
    /// There are records at places where the log does not reach.
    Outside {
        /// The place of one of them.
        position: i64,
    },
    /// The chain ends at another place than is signed.
    End {
        /// The place that is signed.
        signed: i64,
        /// The last place that there is.
        found: i64,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many sealed records there are.
    pub sealed: u64,
    /// How many are not sealed yet.
    pub unsealed: u64,
    /// How many are of a release that did not authenticate them.
    pub old: u64,
    /// How many were sealed more than a minute after they happened: the service was down then, or the chain was set back.
    pub late: u64,
    /// When the first of those was sealed.
    pub late_time: Option<Timestamp>,
    /// Where the chain ends, as it is signed.
    pub end: i64,
    /// The link there, in hexadecimal digits.
    pub end_hash: String,
    /// What does not fit; at most a hundred.
    pub findings: Vec<Finding>,
}

/// Verifies the whole log.
pub async fn verify_audit(store: &Store, ring: &KeyRing, keys: &SigningKeys) -> Result<Verdict, Error> {
    let (anchor, end) = store.audit_chain().await?;
    let mut walk = Walk::from(&anchor);
    walk.look_at_signature(keys, &anchor, &audit::anchor(&anchor));
    walk.look_at_signature(keys, &end, &audit::head(&end));
    walk.go(store, ring, end.position).await?;
    if walk.position != end.position {
        walk.find(Finding::End { signed: end.position, found: walk.position });
    } else if walk.hash != end.hash {
        walk.find(Finding::Replaced { position: end.position, id: String::new() });
    }
    walk.look_at_tail(store).await?;
    let (anchor_now, end_now) = store.audit_chain().await?;
    if anchor_now.position != anchor.position {
        // What was dropped meanwhile is no finding, as long as the service has signed for it.
        walk.verdict.findings.retain(|finding| !finding.is_before(anchor_now.position));
        walk.look_at_signature(keys, &anchor_now, &audit::anchor(&anchor_now));
    }
    for position in store.audit_places_outside(end_now.position).await? {
        walk.find(Finding::Outside { position });
    }
    Ok(Verdict { end: end.position, end_hash: hex(&end.hash), ..walk.verdict })
}

impl Finding {
    /// Whether all that it is about lies before a place, or at it.
    fn is_before(&self, place: i64) -> bool {
        match self {
            Self::Altered { position, .. } | Self::Unauthenticated { position, .. } => {
                position.is_some_and(|position| position <= place)
            }
            Self::Missing { to: position, .. }
            | Self::Replaced { position, .. }
            | Self::End { signed: position, .. } => *position <= place,
            Self::Unsigned { .. } | Self::Outside { .. } => false,
        }
    }
}

/// Whether everything after the place that the log begins after, up to another, is as it was and older than that; answers the link
/// there, and whether records are authenticated by then. None = something does not fit.
pub(super) async fn may_be_dropped(
    store: &Store,
    ring: &KeyRing,
    anchor: &ChainPoint,
    to: i64,
    cutoff: Timestamp,
) -> Result<Option<([u8; 32], bool)>, Error> {
    let mut walk = Walk::from(anchor);
    walk.go(store, ring, to).await?;
    let is_whole = walk.verdict.findings.is_empty() && walk.position == to;
    let is_old = walk.newest.is_none_or(|newest| newest < cutoff);
    Ok((is_whole && is_old).then_some((walk.hash, walk.is_authenticated)))
}

/// Where a walk along the chain is.
struct Walk {
    position: i64,
    hash: [u8; 32],
    is_authenticated: bool,
    newest: Option<Timestamp>,
    verdict: Verdict,
}

impl Walk {
    fn from(anchor: &ChainPoint) -> Self {
        let ChainPoint { position, hash, is_authenticated, .. } = *anchor;
        Self { position, hash, is_authenticated, newest: None, verdict: Verdict::default() }
    }

    /// Goes on to a place.
    async fn go(&mut self, store: &Store, ring: &KeyRing, to: i64) -> Result<(), Error> {
        loop {
            let mut records = store.audit_seals_after(self.position, BATCH).await?;
            // What is sealed meanwhile comes after the end that was read, and is for the next time.
            records.retain(|(_, seal)| seal.position <= Some(to));
            if records.is_empty() {
                return Ok(());
            }
            for (record, seal) in &records {
                self.step(ring, record, seal)?;
            }
        }
    }

    fn look_at_signature(&mut self, keys: &SigningKeys, point: &ChainPoint, message: &[u8]) {
        if !audit::is_beginning(point) && !keys.has_signed(&point.key_id, message, &point.signature) {
            self.find(Finding::Unsigned { position: point.position });
        }
    }

    async fn look_at_tail(&mut self, store: &Store) -> Result<(), Error> {
        let mut after = None;
        loop {
            let records = store.unsealed_audit_records(after, BATCH).await?;
            records.iter().for_each(|(record, seal)| self.look(record, seal));
            self.verdict.unsealed += records.len() as u64;
            // What has no id comes somewhere: whoever looks behind it may see it again.
            let last = records.iter().map(|(record, _)| record.id).max();
            if last <= after || (records.len() as u64) < BATCH {
                return Ok(());
            }
            after = last;
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.verdict.findings.len() < FINDINGS {
            self.verdict.findings.push(finding);
        }
    }

    fn step(&mut self, ring: &KeyRing, record: &AuditRecord, seal: &Seal) -> Result<(), Error> {
        let position = seal.position.unwrap_or_default();
        self.verdict.sealed += 1;
        // After the largest place there is none: whatever comes there again has been put there.
        let next = self.position.saturating_add(1);
        if position > next {
            self.find(Finding::Missing { from: next, to: position - 1 });
        }
        self.look(record, seal);
        let time = seal.seal_time.unwrap_or(record.create_time);
        let is_counted = record.kind == EventKind::ExcessRateLimit.as_str();
        if time.since(record.create_time) > if is_counted { LATE_COUNT } else { LATE } {
            self.verdict.late += 1;
            self.verdict.late_time = self.verdict.late_time.or(Some(time));
        }
        self.newest = self.newest.max(Some(record.create_time));
        let is_next = position == next;
        let expected = audit::link(ring, &self.hash, position, time, seal)?;
        let link = seal.link.as_deref().and_then(|link| <[u8; 32]>::try_from(link).ok());
        // After a gap nobody knows what was before: the link is taken as it is.
        if position <= self.position || (is_next && link != Some(expected)) {
            self.find(Finding::Replaced { position, id: record.id.to_string() });
        }
        self.position = self.position.max(position);
        self.hash = link.unwrap_or(expected);
        Ok(())
    }

    /// Looks at a record by itself.
    fn look(&mut self, record: &AuditRecord, seal: &Seal) {
        let (position, id) = (seal.position, record.id.to_string());
        if audit::is_altered(seal) {
            self.find(Finding::Altered { position, id, time: record.create_time });
        } else if seal.mac.is_some() {
            self.is_authenticated = true;
        } else if self.is_authenticated {
            self.find(Finding::Unauthenticated { position, id });
        } else {
            self.verdict.old += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_while_it_is_walked_is_no_finding_and_what_stays_is() {
        let id = String::new;
        let time = Timestamp::from_seconds(0);
        for gone in [
            Finding::Missing { from: 3, to: 10 },
            Finding::Replaced { position: 10, id: id() },
            Finding::Altered { position: Some(1), id: id(), time },
            Finding::Unauthenticated { position: Some(10), id: id() },
            Finding::End { signed: 10, found: 4 },
        ] {
            assert!(gone.is_before(10), "{gone:?}");
        }
        for stays in [
            Finding::Missing { from: 3, to: 11 },
            Finding::Replaced { position: 11, id: id() },
            Finding::Altered { position: None, id: id(), time },
            Finding::End { signed: 11, found: 4 },
            Finding::Unsigned { position: 3 },
            Finding::Outside { position: 3 },
        ] {
            assert!(!stays.is_before(10), "{stays:?}");
        }
    }
}
