//! Wrong passwords are counted per source, whatever the names that they are tried for. A try is paid for before it is judged, and
//! paid back when it was right.

use std::time::Duration;

use crate::{
    ephemeral::{Ephemeral, Memory, Payment, SourceHash, SourceWindow, Try},
    error::{Error, Outage, Refusal},
    flow::{Call, Kit},
    limit,
};

/// Sources that are told apart while the ephemeral store is out of reach.
const LOCAL_SOURCES: usize = 100_000;
/// Tries of a source that are under way are waited for: they may all be right. So often is looked again, after so long, for two
/// seconds in all.
const LOOKS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// How often a source may be wrong.
pub struct Sources {
    capacity: Option<u32>,
    local: Memory,
}

impl Sources {
    /// With so many failures; None = as many as it likes.
    pub fn new(capacity: Option<u32>) -> Self {
        Self { capacity, local: Memory::new(LOCAL_SOURCES) }
    }
}

/// A try that a source has paid for.
pub(super) struct Paid {
    source: SourceHash,
    is_local: bool,
}

impl Paid {
    /// Pays for a try; refuses a source that was wrong too often. None = sources are not counted.
    pub(super) async fn pay(kit: &Kit, call: &Call) -> Result<Option<Self>, Error> {
        let Some(capacity) = kit.sources.capacity else {
            return Ok(None);
        };
        let source = kit.ring.index("source", &limit::source(call.origin.source))?;
        match pay(kit.ephemeral.as_ref(), source, limit::source_window(capacity), call).await {
            Err(Error::Broken(fault)) if fault.is::<Outage>() => {
                tracing::warn!(fault = format!("{fault:#}"), "sources are counted by this process alone, and stricter");
                pay(&kit.sources.local, source, limit::stricter_source_window(capacity), call).await?;
                Ok(Some(Self { source, is_local: true }))
            }
            paid => paid.map(|()| Some(Self { source, is_local: false })),
        }
    }

    /// Says how the try ended. A count that cannot be told stays a failure.
    pub(super) async fn settle(self, kit: &Kit, ended: Try, call: &Call) {
        let store = if self.is_local { &kit.sources.local } else { kit.ephemeral.as_ref() };
        if let Err(fault) = store.settle(self.source, ended, call.now).await {
            tracing::warn!(?fault, "a try stays counted as a failure of its source");
        }
    }
}

async fn pay(store: &dyn Ephemeral, source: SourceHash, window: SourceWindow, call: &Call) -> Result<(), Error> {
    for _ in 0..LOOKS {
        match store.pay(source, window, call.now).await? {
            Payment::Paid => return Ok(()),
            Payment::Full { end_time } => {
                return Err(Refusal::RateLimited { retry_after: limit::wait(end_time, call.now) }.into());
            }
            Payment::Wait => tokio::time::sleep(PAUSE).await,
        }
    }
    Err(Refusal::RateLimited { retry_after: Some(Duration::from_secs(1)) }.into())
}
