//! The next records of the audit log for a reader, and how far it has come with them.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    error::Error,
    flow::{Call, Kit},
    limit,
    model::{AuditRecord, Channel, Cursor, EventKind},
    store::AuditFilter,
};

/// Records in a batch.
const RECORDS: u64 = 200;
/// So many wait on a channel; what comes after them waits in the audit log.
const WAITING: u64 = 10_000;
/// Clocks of replicas are no further apart.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(10);
/// That an outbox is full is told so often.
const TELL: Duration = Duration::from_secs(60);
static TOLD: AtomicI64 = AtomicI64::new(0);

/// A reader of the audit log.
pub(super) struct Reader {
    /// Its name.
    pub(super) name: &'static str,
    /// Where it puts what it finds.
    pub(super) channel: Channel,
    /// What it looks for.
    pub(super) kinds: Vec<EventKind>,
    /// It looks at nothing that is younger.
    pub(super) delay: Duration,
}

/// What it has found.
pub(super) struct Batch {
    /// Places and records, in the order of the chain.
    pub(super) records: Vec<(i64, AuditRecord)>,
    /// Where the reader was.
    pub(super) from: Cursor,
    /// The last place that was looked at.
    pub(super) seen: i64,
    /// Whether there may be more at once.
    pub(super) is_full: bool,
}

impl Reader {
    /// The next batch; None = there is nothing to be done. Whoever has never read begins with what comes from now on.
    pub(super) async fn next(&self, kit: &Kit, call: &Call) -> Result<Option<Batch>, Error> {
        let Some(from) = kit.store.delivery_cursor(self.name).await? else {
            let (_, end) = kit.store.audit_chain().await?;
            kit.store.begin_delivery_cursor(self.name, end.position).await?;
            return Ok(None);
        };
        let kinds = self.kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
        let filter = AuditFilter { kinds, ..AuditFilter::default() };
        let (mut records, mut seen) = kit.store.audit_records_after(&filter, from.position, RECORDS).await?;
        // One from a clock that was far ahead is not waited for.
        let (young, ahead) = (call.now.minus(self.delay), call.now.plus(CLOCK_SKEW));
        let is_young = |record: &AuditRecord| record.create_time > young && record.create_time <= ahead;
        let waits = !self.delay.is_zero();
        if let Some(first) = records.iter().position(|(_, record)| waits && is_young(record)) {
            seen = first.checked_sub(1).map_or(from.position, |last| records[last].0);
            records.truncate(first);
        }
        // Nothing is written only to say that nothing was found, unless there was much to look through.
        let is_far = seen.saturating_sub(from.position) >= i64::try_from(RECORDS).unwrap_or(i64::MAX);
        if records.is_empty() && !is_far {
            return Ok(None);
        }
        if !records.is_empty() && kit.store.delivery_backlog(self.channel).await?.waiting >= WAITING {
            tell_full(self.channel, call.now);
            return Ok(None);
        }
        let is_full = u64::try_from(records.len()).is_ok_and(|found| found >= RECORDS);
        let all = records.len();
        records.retain(|(_, record)| call.now.since(record.create_time) < limit::DELIVERY_LIFE);
        if records.len() < all {
            tracing::warn!(
                reader = self.name,
                records = all - records.len(),
                "what is older than three days is not told"
            );
        }
        Ok(Some(Batch { records, from, seen, is_full }))
    }
}

fn tell_full(channel: Channel, now: Timestamp) {
    let last = TOLD.load(Ordering::Relaxed);
    let is_due = now.since(Timestamp::from_millis(last)) >= TELL;
    if is_due && TOLD.compare_exchange(last, now.millis(), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        tracing::error!(
            channel = channel.as_str(),
            waiting = WAITING,
            "nothing more is put into the outbox until some of what waits there is taken; the audit log keeps it"
        );
    }
}
