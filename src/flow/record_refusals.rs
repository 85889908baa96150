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
        let origin = Origin { source, user_agent: String::new(), request_id: String::new() };
        let event = Event {
            kind: EventKind::ExcessRateLimit,
            subject: None,
            identifier_hash: None,
            session: None,
            method: None,
            reason: Some("RATE_LIMITED"),
            count: Some(count),
            origin: &origin,
        };
        tx.record(&event, Timestamp::from_seconds(minute * MINUTE)).await?;
    }
    tx.commit().await
}
