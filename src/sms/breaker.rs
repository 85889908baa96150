//! Leaves a provider alone that fails and fails, so that nobody waits for it; and tries it again after a while.

use std::{
    sync::atomic::{AtomicI64, AtomicU32, Ordering},
    time::Duration,
};

use super::Failure;
use crate::clock::Timestamp;

/// Failures in a row that are too many.
const TOO_MANY: u32 = 5;
/// How long it is left alone.
const REST: Duration = Duration::from_secs(30);

/// A circuit breaker of one provider, in this process. Two replicas may differ; each learns for itself.
#[derive(Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    open_until: AtomicI64,
}

impl Breaker {
    /// Whether the provider is asked.
    pub(super) fn lets_through(&self, now: Timestamp) -> bool {
        self.open_until.load(Ordering::Relaxed) <= now.millis()
    }

    pub(super) fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }

    /// A refusal of one message says nothing of the next one, unless it is the provider that is ill.
    pub(super) fn failed(&self, failure: Failure, now: Timestamp) {
        if matches!(failure, Failure::Refused(status) if status < 500 && ![401, 403, 429].contains(&status)) {
            return;
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= TOO_MANY {
            self.failures.store(0, Ordering::Relaxed);
            self.open_until.store(now.plus(REST).millis(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    #[test]
    fn five_failures_in_a_row_give_a_rest() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            (0..4).for_each(|_| breaker.failed(Failure::Unknown, NOW));
            assert!(breaker.lets_through(NOW));
            breaker.succeeded();
        }
        (0..20).for_each(|_| breaker.failed(Failure::Refused(400), NOW));
        assert!(breaker.lets_through(NOW), "a number that is refused is not the provider's illness");
        (0..5).for_each(|_| breaker.failed(Failure::Refused(503), NOW));
        assert!(!breaker.lets_through(NOW) && !breaker.lets_through(NOW.plus(REST - Duration::from_millis(1))));
        assert!(breaker.lets_through(NOW.plus(REST)));
    }
}
