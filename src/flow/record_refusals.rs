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

    /// Counts again what could not be written.
    fn put_back(&self, untold: Vec<((i64, IpAddr), i64)>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, count) in untold {
            *counts.entry(key).or_default() += count;
        }
    }

    /// Takes the counts of the minutes before a moment.
    fn take_before(&self, now: Timestamp) -> Vec<((i64, IpAddr), i64)> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let first_kept = (now.seconds().div_euclid(MINUTE), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let kept = counts.split_off(&first_kept);
        std::mem::replace(&mut *counts, kept).into_iter().collect()
    }
}

/// Writes the counts of the minutes before `now`.
pub async fn record_refusals(kit: &Kit, now: Timestamp) -> Result<(), Error> {
    let counts = kit.refusals.take_before(now);
    if counts.is_empty() {
        return Ok(());
    }
    let written = write(kit, &counts).await;
    if written.is_err() {
        kit.refusals.put_back(counts);
    }
    written
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
        let counts: BTreeMap<_, _> = refusals.take_before(Timestamp::from_seconds(1_800_000_060)).into_iter().collect();
        assert_eq!(counts.len(), SOURCES + 1);
        let count = |source| counts.get(&(30_000_000, source)).copied();
        assert_eq!((count(source(0)), count(source(6)), count(source(7))), (Some(2), Some(1), Some(3)));
        assert_eq!((count(source(sources)), count(NOBODY)), (None, Some(2)));
    }

    #[test]
    fn a_minute_is_told_when_it_is_over_and_again_when_that_went_wrong() {
        let refusals = Refusals::default();
        refusals.count(source(1), NOW);
        assert!(refusals.take_before(NOW).is_empty(), "it is not over");
        refusals.count(source(1), NOW.plus(std::time::Duration::from_secs(1)));
        let told = refusals.take_before(NOW.plus(std::time::Duration::from_secs(1)));
        assert_eq!(told, [((30_000_000, source(1)), 1)]);
        assert!(refusals.take_before(NOW.plus(std::time::Duration::from_secs(1))).is_empty(), "once");
        refusals.put_back(told);
        refusals.count(source(1), NOW);
        let told = refusals.take_before(NOW.plus(std::time::Duration::from_secs(61)));
        assert_eq!(told, [((30_000_000, source(1)), 2), ((30_000_001, source(1)), 1)]);
    }
}
