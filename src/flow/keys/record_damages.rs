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
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        match known.get(damage) {
            Some(time) if now.since(*time) < AGAIN => false,
            Some(_) | None => {
                known.insert(damage.clone(), now);
                true
            }
        }
    }
}

/// Records those that were found since the last time.
pub async fn record_damages(kit: &Kit, damages: &Damages, call: &Call) -> Result<(), Error> {
    for damage in kit.ring.take_damages() {
        if !damages.is_new(&damage, call.now) {
            continue;
        }
        let Damage { table, column, user, row } = damage;
        tracing::error!(
            table,
            column,
            row,
            "a sealed value does not open: it was altered or moved, or its key is gone"
        );
        let note = format!("{table}.{column} {row}");
        let event = Event::about_nobody(EventKind::SealedValueBroken, &call.origin).note(&note);
        let subject = <[u8; 16]>::try_from(user.as_slice()).ok().map(UserId::from_bytes);
        let tx = kit.store.begin().await?;
        tx.record(&Event { subject, ..event }, call.now).await?;
        tx.commit().await?;
    }
    Ok(())
}
