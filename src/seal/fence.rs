//! Keeps a process that nobody has heard of lately from making anything with its keys: another one may have taken over meanwhile.

use std::{
    sync::{PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::anyhow;

use crate::{clock::steady_now, error::Outage};

/// Whoever has said for so long nothing of what it holds makes nothing. Less than what the others wait before they take it for dead,
/// by more than clocks may be apart.
const GOOD: Duration = Duration::from_secs(20);

/// Up to when keys may be used to make something. It goes by the machine's steady time: it is about processes, also those that were
/// suspended.
#[derive(Default)]
pub struct Fence(RwLock<Option<Instant>>);

impl Fence {
    /// Opens it for a while, beginning at a moment before this process has said what it holds. Until this is done for the first
    /// time, there is no fence.
    pub fn open_from(&self, begin: Instant) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(begin + GOOD);
    }

    /// Refuses once it is closed.
    pub fn pass(&self) -> anyhow::Result<()> {
        match *self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(end) if steady_now() > end => {
                Err(anyhow!("this process could not say for a while which keys it holds, and makes nothing with them")
                    .context(Outage))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_closes_when_nothing_was_said_for_a_while_and_opens_again() {
        let fence = Fence::default();
        assert!(fence.pass().is_ok());
        let long_ago = steady_now().checked_sub(GOOD + Duration::from_millis(1));
        assert!(long_ago.is_some_and(|begin| {
            fence.open_from(begin);
            fence.pass().is_err_and(|fault| fault.is::<Outage>())
        }));
        fence.open_from(steady_now());
        assert!(fence.pass().is_ok());
    }
}
