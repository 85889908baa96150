//! Callers who were told to wait: counted per source and minute, and written to the audit log as one row each.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
};

use super::Kit;
use crate::{
    clock::Timestamp,
    error::Error,
    model::{Event, EventKind, Origin},
};

/// Sources that are told apart in memory; those beyond are counted together, under no address.
const SOURCES: usize = 10_000;
/// Rows that are written in one transaction, which keeps others waiting on SQLite.
const AT_ONCE: usize = 100;
const MINUTE: i64 = 60;

/// The counts that are not written yet. A crash loses at most the last minute of them.
#[derive(Default)]
pub struct Refusals(Mutex<BTreeMap<(i64, IpAddr), i64>>);

impl Refusals {
    /// Counts a caller who was told to wait.
    pub fn count(&self, source: IpAddr, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.seconds().div_euclid(MINUTE);
        let is_full = counts.len() >= SOURCES && !counts.contains_key(&(minute, source));
        let source = if is_full { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { source };
        *counts.entry((minute, source)).or_default() += 1;
    }

    /// Some of the counts of the minutes before a moment. They stay until they are told of: whoever is cut off in between loses none.
    fn before(&self, now: Timestamp) -> Vec<((i64, IpAddr), i64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first_kept = (now.seconds().div_euclid(MINUTE), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        counts.range(..first_kept).take(AT_ONCE).map(|(key, count)| (*key, *count)).collect()
    }

    /// These are told.
    fn told(&self, told: &[((i64, IpAddr), i64)]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in told {
            if let Some(left) = counts.get_mut(key) {
                *left -= count;
                if *left <= 0 {
                    counts.remove(key);
                }
            }
        }
    }
}

/// Writes the counts of the minutes before `now`.
pub async fn record_refusals(kit: &Kit, now: Timestamp) -> Result<(), Error> {
    loop {
        let counts = kit.refusals.before(now);
        if counts.is_empty() {
            return Ok(());
        }
        write(kit, &counts).await?;
        kit.refusals.told(&counts);
    }
}

async fn write(kit: &Kit, counts: &[((i64, IpAddr), i64)]) -> Result<(), Error> {
    let tx = kit.store.begin().await?;
    for &((minute, source), count) in counts {
        let origin =
            Origin { source, user_agent: String::new(), request_id: String::new(), trace_id: None, admin: None };
        let event = Event {
            kind: EventKind::ExcessRateLimit,
            subject: None,
            identifier_hash: None,
            session: None,
            method: None,
            reason: Some("RATE_LIMITED"),
            count: Some(count),
            note: None,
            origin: &origin,
        };
        tx.record(&event, Timestamp::from_seconds(minute * MINUTE)).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_059);
    const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn source(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
    }

    #[test]
    fn sources_beyond_ten_thousand_are_counted_together_and_the_known_ones_go_on() {
        let refusals = Refusals::default();
        let sources = u32::try_from(SOURCES).unwrap_or_default();
        for n in 0..sources {
            refusals.count(source(n), NOW);
        }
        for n in [0, 7, 7, sources, sources + 1] {
            refusals.count(source(n), NOW);
        }
        let now = Timestamp::from_seconds(1_800_000_060);
        let mut counts = BTreeMap::new();
        loop {
            let some = refusals.before(now);
            refusals.told(&some);
            if some.is_empty() {
                break;
            }
            counts.extend(some);
        }
        assert_eq!(counts.len(), SOURCES + 1);
        let count = |source| counts.get(&(30_000_000, source)).copied();
        assert_eq!((count(source(0)), count(source(6)), count(source(7))), (Some(2), Some(1), Some(3)));
        assert_eq!((count(source(sources)), count(NOBODY)), (None, Some(2)));
    }

    #[test]
    fn a_minute_is_told_when_it_is_over_and_again_when_that_went_wrong() {
        let refusals = Refusals::default();
        let after = |seconds| NOW.plus(std::time::Duration::from_secs(seconds));
        refusals.count(source(1), NOW);
        assert!(refusals.before(NOW).is_empty(), "it is not over");
        refusals.count(source(1), after(1));
        let told = refusals.before(after(1));
        assert_eq!(told, [((30_000_000, source(1)), 1)]);
        assert_eq!(refusals.before(after(1)), told, "nobody has told of it");
        // One more while it is told of.
        refusals.count(source(1), NOW);
        refusals.told(&told);
        assert_eq!(refusals.before(after(61)), [((30_000_000, source(1)), 1), ((30_000_001, source(1)), 1)]);
        refusals.told(&refusals.before(after(61)));
        assert!(refusals.before(after(61)).is_empty(), "once");
    }
}
