//! The embedded store: in this process, for one replica. Bounded, and gone with the process.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    DatabaseHash, EntryHash, Ephemeral, Kind, NewEntry, Newest, Payment, Shelf, SourceHash, SourceWindow, Taken, Try,
};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    swap::Swap,
};

/// The embedded store.
pub struct Memory {
    capacity: usize,
    shelves: Mutex<Shelves>,
    sources: Mutex<HashMap<SourceHash, Source>>,
    epochs: Mutex<HashMap<DatabaseHash, Timestamp>>,
}

/// Tries of a source in the window that ends at `end_time`.
struct Source {
    failures: u32,
    under_way: u32,
    end_time: Timestamp,
}

#[derive(Default)]
struct Shelves {
    by_owner: HashMap<Shelf, Vec<Entry>>,
    entries: usize,
}

struct Entry {
    kind: &'static str,
    hash: EntryHash,
    sealed: Vec<u8>,
    code: Option<Vec<u8>>,
    attempts_left: u32,
    end_time: Timestamp,
}

impl Memory {
    /// A store that holds at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, shelves: Mutex::default(), sources: Mutex::default(), epochs: Mutex::default() }
    }

    fn sources(&self) -> MutexGuard<'_, HashMap<SourceHash, Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Ephemeral for Memory {
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error> {
        let mut shelves = self.lock();
        if shelves.entries >= self.capacity {
            shelves.sweep(now);
        }
        if shelves.entries >= self.capacity {
            return Err(Refusal::RateLimited { retry_after: Some(Duration::from_secs(60)) }.into());
        }
        let before = shelves.by_owner.get(&shelf).map_or(0, Vec::len);
        let own = shelves.by_owner.entry(shelf).or_default();
        own.retain(|known| known.end_time > now && known.hash != entry.hash);
        // Entries lie in the order in which they were opened.
        let mut surplus =
            (own.iter().filter(|known| known.kind == entry.kind.name).count() + 1).saturating_sub(entry.kind.capacity);
        own.retain(|known| {
            let dies = surplus > 0 && known.kind == entry.kind.name;
            surplus -= usize::from(dies);
            !dies
        });
        own.push(Entry {
            kind: entry.kind.name,
            hash: entry.hash,
            sealed: entry.sealed,
            code: None,
            attempts_left: entry.attempts,
            end_time: entry.end_time,
        });
        let after = own.len();
        shelves.entries = shelves.entries + after - before;
        Ok(())
    }

    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        Ok(self.lock().find(shelf, |entry| entry.hash == hash).and_then(|entry| entry.take(now)))
    }

    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        let mut shelves = self.lock();
        let found = shelves.find(shelf, |entry| entry.hash == hash).filter(|entry| entry.end_time > now);
        Ok(found.map(|entry| entry.seen()))
    }

    async fn take_newest(&self, shelf: Shelf, kinds: &[Kind], now: Timestamp) -> Result<Newest, Error> {
        let mut shelves = self.lock();
        let mut open = Vec::new();
        for kind in kinds {
            let newest = shelves.find(shelf, |entry| entry.kind == kind.name).filter(|entry| entry.is_open(now));
            open.extend(newest.map(|entry| entry.hash));
        }
        match open.as_slice() {
            [] => Ok(Newest::Nothing),
            [hash] => {
                let taken = shelves.find(shelf, |entry| entry.hash == *hash).and_then(|entry| entry.take(now));
                Ok(taken.map_or(Newest::Nothing, Newest::Taken))
            }
            [..] => Ok(Newest::Several),
        }
    }

    async fn save_code(&self, shelf: Shelf, hash: EntryHash, code: &[u8], now: Timestamp) -> Result<Swap, Error> {
        let mut shelves = self.lock();
        match shelves.find(shelf, |entry| entry.hash == hash).filter(|entry| entry.is_open(now)) {
            Some(entry) => {
                entry.code = Some(code.to_vec());
                Ok(Swap::Done)
            }
            None => Ok(Swap::Stale),
        }
    }

    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        if let Some(entry) = self.lock().find(shelf, |entry| entry.hash == hash) {
            entry.attempts_left += 1;
        }
        Ok(())
    }

    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        let mut shelves = self.lock();
        if let Some(own) = shelves.by_owner.get_mut(&shelf) {
            let before = own.len();
            own.retain(|entry| entry.hash != hash);
            let (closed, empty) = (before - own.len(), own.is_empty());
            shelves.entries -= closed;
            if empty {
                shelves.by_owner.remove(&shelf);
            }
        }
        Ok(())
    }

    async fn pay(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<Payment, Error> {
        let mut sources = self.sources();
        if sources.len() >= self.capacity && !sources.contains_key(&source) {
            sources.retain(|_, known| known.end_time > now);
            if sources.len() >= self.capacity {
                return Err(Refusal::RateLimited { retry_after: Some(Duration::from_secs(60)) }.into());
            }
        }
        let fresh = || Source { failures: 0, under_way: 0, end_time: now.plus(window.span) };
        let known = sources.entry(source).or_insert_with(fresh);
        if known.end_time <= now {
            *known = fresh();
        }
        if known.failures >= window.capacity {
            return Ok(Payment::Full { end_time: known.end_time });
        }
        if known.failures + known.under_way >= window.capacity {
            return Ok(Payment::Wait);
        }
        known.under_way += 1;
        Ok(Payment::Paid)
    }

    async fn settle(&self, source: SourceHash, ended: Try, now: Timestamp) -> Result<(), Error> {
        if let Some(known) = self.sources().get_mut(&source).filter(|known| known.end_time > now) {
            // One that was paid for in a window that is over has nothing to take back.
            known.under_way = known.under_way.saturating_sub(1);
            known.failures += u32::from(ended == Try::Failed);
        }
        Ok(())
    }

    async fn raise_epoch(&self, database: DatabaseHash, epoch: Timestamp) -> Result<Timestamp, Error> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = epochs.entry(database).or_insert(epoch);
        *known = epoch.max(*known);
        Ok(*known)
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.lock().sweep(now);
        self.sources().retain(|_, known| known.end_time > now);
        Ok(())
    }
}

impl Shelves {
    /// The newest entry of a shelf that fits.
    fn find(&mut self, shelf: Shelf, fits: impl Fn(&Entry) -> bool) -> Option<&mut Entry> {
        self.by_owner.get_mut(&shelf)?.iter_mut().rev().find(|entry| fits(entry))
    }

    fn sweep(&mut self, now: Timestamp) {
        self.by_owner.retain(|_, own| {
            own.retain(|entry| entry.end_time > now);
            !own.is_empty()
        });
        self.entries = self.by_owner.values().map(Vec::len).sum();
    }
}

impl Entry {
    fn is_open(&self, now: Timestamp) -> bool {
        self.end_time > now && self.attempts_left > 0
    }

    fn take(&mut self, now: Timestamp) -> Option<Taken> {
        if !self.is_open(now) {
            return None;
        }
        self.attempts_left -= 1;
        Some(self.seen())
    }

    fn seen(&self) -> Taken {
        Taken {
            hash: self.hash,
            sealed: self.sealed.clone(),
            code: self.code.clone(),
            attempts_left: self.attempts_left,
            end_time: self.end_time,
        }
    }
}
