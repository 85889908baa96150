//! Records sealed values that do not open: altered, moved, or of a key that is gone. Whoever was shown nothing of it is told here.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    error::Error,
    flow::{Call, Kit},
    model::{Event, EventKind, UserId},
    seal::Damage,
};

/// The same one is recorded so often.
const AGAIN: Duration = Duration::from_secs(60 * 60);
/// So many are told apart.
const KNOWN: usize = 10_000;

/// Those that are recorded already.
#[derive(Default)]
pub struct Damages(Mutex<BTreeMap<Damage, Timestamp>>);

impl Damages {
    /// Whether one is to be recorded now.
    fn is_new(&self, damage: &Damage, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(damage).is_none_or(|time| now.since(*time) >= AGAIN)
    }

    fn know(&self, damage: Damage, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(damage, now);
    }
}

/// Records those that were found since the last time. What cannot be recorded is tried again the next time.
pub async fn record_damages(kit: &Kit, damages: &Damages, call: &Call) -> Result<(), Error> {
    let mut found = kit.ring.take_damages();
    found.retain(|damage| damages.is_new(damage, call.now));
    while let Some(damage) = found.pop_first() {
        if let Err(fault) = record(kit, &damage, call).await {
            kit.ring.put_back(found.into_iter().chain([damage]));
            return Err(fault);
        }
        damages.know(damage, call.now);
    }
    Ok(())
}

async fn record(kit: &Kit, damage: &Damage, call: &Call) -> Result<(), Error> {
    let Damage { table, column, user, row } = damage;
    let note = format!("{table}.{column} {row}");
    let event = Event::about_nobody(EventKind::SealedValueBroken, &call.origin).note(&note);
    let subject = <[u8; 16]>::try_from(user.as_slice()).ok().map(UserId::from_bytes);
    let tx = kit.store.begin().await?;
    tx.record(&Event { subject, ..event }, call.now).await?;
    tx.commit().await?;
    tracing::error!(table, column, row, "a sealed value does not open: it was altered or moved, or its key is gone");
    Ok(())
}
