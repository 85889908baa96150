//! Wrong passwords are counted per source, whatever the names that they are tried for. A try is paid for before it is judged, and
//! paid back when it was right.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    clock::Timestamp,
    ephemeral::{Ephemeral, Memory, Payment, SourceHash, SourceWindow, Try},
    error::{Error, Outage, Refusal},
    flow::{Call, Kit},
    limit,
};

/// Sources that are told apart while the ephemeral store is out of reach.
const LOCAL_SOURCES: usize = 100_000;
/// Tries of a source that are under way are waited for, since they may all be right: for so long, looking again after each pause.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);
/// So many tries of a source wait in this process; more are turned away at once, so that one source does not use all places up.
const WAITING: u32 = 32;

/// How often a source may be wrong.
pub struct Sources {
    capacity: Option<u32>,
    /// What this process knows by itself, for when the ephemeral store is out of reach.
    local: Memory,
    waiting: Mutex<HashMap<SourceHash, u32>>,
}

/// A place among those of a source who wait.
struct Waiting<'a> {
    sources: &'a Sources,
    source: SourceHash,
}

impl Sources {
    /// With so many failures; None = as many as it likes.
    pub fn new(capacity: Option<u32>) -> Self {
        Self { capacity, local: Memory::new(LOCAL_SOURCES), waiting: Mutex::default() }
    }

    /// Forgets what has ended.
    pub(in crate::flow) async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.local.sweep(now).await
    }

    fn wait(&self, source: SourceHash) -> Result<Waiting<'_>, Refusal> {
        let mut waiting = self.waiting();
        let count = waiting.entry(source).or_default();
        if *count >= WAITING {
            return Err(busy());
        }
        *count += 1;
        Ok(Waiting { sources: self, source })
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<SourceHash, u32>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets this process know of a failure that is counted elsewhere.
    async fn remember(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<(), Error> {
        if self.local.pay(source, window, now).await? == Payment::Paid {
            self.local.settle(source, Try::Failed, now).await?;
        }
        Ok(())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.sources.waiting();
        if let Some(count) = waiting.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.source);
            }
        }
    }
}

fn busy() -> Refusal {
    Refusal::RateLimited { retry_after: Some(Duration::from_secs(1)) }
}

/// A try that a source has paid for.
pub(super) struct Paid {
    source: SourceHash,
    capacity: u32,
    is_local: bool,
}

impl Paid {
    /// Pays for a try; refuses a source that was wrong too often. None = sources are not counted.
    pub(super) async fn pay(kit: &Kit, call: &Call) -> Result<Option<Self>, Error> {
        let Some(capacity) = kit.sources.capacity else {
            return Ok(None);
        };
        let source = kit.ring.index("source", &limit::source(call.origin.source))?;
        let is_local = match pay(kit, kit.ephemeral.as_ref(), source, limit::source_window(capacity), call).await {
            Err(Error::Broken(fault)) if fault.is::<Outage>() => {
                tracing::warn!(fault = format!("{fault:#}"), "sources are counted by this process alone, and stricter");
                pay(kit, &kit.sources.local, source, limit::stricter_source_window(capacity), call).await?;
                true
            }
            paid => paid.map(|()| false)?,
        };
        Ok(Some(Self { source, capacity, is_local }))
    }

    /// Says how the try ended. A count that cannot be told stays a failure.
    pub(super) async fn settle(self, kit: &Kit, ended: Try, call: &Call) {
        let store = if self.is_local { &kit.sources.local } else { kit.ephemeral.as_ref() };
        let mut settled = store.settle(self.source, ended, call.now).await;
        if ended == Try::Failed && !self.is_local {
            let window = limit::source_window(self.capacity);
            settled = settled.and(kit.sources.remember(self.source, window, call.now).await);
        }
        if let Err(fault) = settled {
            tracing::warn!(?fault, "a try stays counted as a failure of its source");
        }
    }
}

async fn pay(
    kit: &Kit,
    store: &dyn Ephemeral,
    source: SourceHash,
    window: SourceWindow,
    call: &Call,
) -> Result<(), Error> {
    let paid = async {
        let mut place = None;
        loop {
            match store.pay(source, window, call.now).await? {
                Payment::Paid => return Ok(()),
                Payment::Full { end_time } => {
                    return Err(Refusal::RateLimited { retry_after: limit::wait(end_time, call.now) }.into());
                }
                Payment::Wait => {
                    if place.is_none() {
                        place = Some(kit.sources.wait(source)?);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, paid).await.unwrap_or_else(|_| Err(busy().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn a_place_that_is_left_is_free_again() -> Result<(), Refusal> {
        let sources = Sources::new(None);
        let places = (0..WAITING).map(|_| sources.wait([1; 32])).collect::<Result<Vec<_>, _>>()?;
        assert!(sources.wait([1; 32]).is_err());
        sources.wait([2; 32])?;
        drop(places);
        assert!(sources.waiting().is_empty());
        sources.wait([1; 32])?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_source_has_failed_and_is_not_under_way() -> Result<(), Error> {
        let (sources, window) = (Sources::new(None), limit::source_window(2));
        for _ in 0..3 {
            sources.remember([1; 32], window, NOW).await?;
        }
        assert!(matches!(sources.local.pay([1; 32], window, NOW).await?, Payment::Full { .. }));
        Ok(())
    }
}
