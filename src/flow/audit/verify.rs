//! Goes through the audit log from where it begins to its end, and names what does not fit.

use crate::{
    audit,
    clock::Timestamp,
    error::Error,
    model::{AuditRecord, ChainPoint, Seal},
    store::Store,
    token::keys::SigningKeys,
};

const BATCH: u64 = 1000;
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
    /// Where the chain ends, as it is signed.
    pub end: i64,
    /// The link there, in hexadecimal digits.
    pub end_hash: String,
    /// What does not fit; at most a hundred.
    pub findings: Vec<Finding>,
}

/// Verifies the whole log.
pub async fn verify_audit(store: &Store, keys: &SigningKeys) -> Result<Verdict, Error> {
    let (anchor, end) = store.audit_chain().await?;
    let mut walk = Walk::from(&anchor);
    let signed =
        [(&anchor, audit::anchor(anchor.position, &anchor.hash)), (&end, audit::head(end.position, &end.hash))];
    for (point, message) in signed {
        let is_beginning = point.position == 0 && point.hash == audit::BEGINNING;
        if !is_beginning && !keys.has_signed(&point.key_id, &message, &point.signature) {
            walk.find(Finding::Unsigned { position: point.position });
        }
    }
    loop {
        // What is sealed meanwhile comes after the end that was read, and is for the next time.
        let records = store.audit_seals_after(walk.position, BATCH).await?;
        let records: Vec<_> = records.into_iter().filter(|(_, seal)| seal.position <= Some(end.position)).collect();
        if records.is_empty() {
            break;
        }
        records.iter().for_each(|(record, seal)| walk.step(record, seal));
    }
    if walk.position != end.position {
        walk.find(Finding::End { signed: end.position, found: walk.position });
    } else if walk.hash != end.hash {
        walk.find(Finding::Replaced { position: end.position, id: String::new() });
    }
    let mut after = None;
    loop {
        let records = store.unsealed_audit_records(after, BATCH).await?;
        let Some((last, _)) = records.last() else {
            break;
        };
        after = Some(last.id);
        records.iter().for_each(|(record, seal)| walk.look(record, seal));
        walk.verdict.unsealed += records.len() as u64;
    }
    let hex = |hash: &[u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Verdict { end: end.position, end_hash: hex(&end.hash), ..walk.verdict })
}

/// Where a walk along the chain is.
struct Walk {
    position: i64,
    hash: [u8; 32],
    is_authenticated: bool,
    verdict: Verdict,
}

impl Walk {
    fn from(anchor: &ChainPoint) -> Self {
        let ChainPoint { position, hash, .. } = *anchor;
        Self { position, hash, is_authenticated: false, verdict: Verdict::default() }
    }

    fn find(&mut self, finding: Finding) {
        if self.verdict.findings.len() < FINDINGS {
            self.verdict.findings.push(finding);
        }
    }

    fn step(&mut self, record: &AuditRecord, seal: &Seal) {
        let position = seal.position.unwrap_or_default();
        self.verdict.sealed += 1;
        if position > self.position + 1 {
            self.find(Finding::Missing { from: self.position + 1, to: position - 1 });
        }
        self.look(record, seal);
        let is_next = position == self.position + 1;
        let expected = audit::link(&self.hash, position, seal);
        let link = seal.link.as_deref().and_then(|link| <[u8; 32]>::try_from(link).ok());
        // After a gap nobody knows what was before: the link is taken as it is.
        if position <= self.position || (is_next && link != Some(expected)) {
            self.find(Finding::Replaced { position, id: record.id.to_string() });
        }
        self.position = self.position.max(position);
        self.hash = link.unwrap_or(expected);
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
