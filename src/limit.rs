//! How many wrong answers are too many: all there is to each limit, in one place. Pure.

use std::time::Duration;

use crate::{clock::Timestamp, model::FailureKey, store::Rung};

/// Second-factor failures in a row, and how long the next code then waits.
const SECOND_FACTOR_LADDER: [(i64, Duration); 7] = [
    (5, Duration::from_secs(30)),
    (6, Duration::from_secs(60)),
    (7, Duration::from_secs(2 * 60)),
    (8, Duration::from_secs(5 * 60)),
    (9, Duration::from_secs(15 * 60)),
    (10, Duration::from_secs(30 * 60)),
    (11, Duration::from_secs(60 * 60)),
];

/// So many failures in a row end the method for the account, until it is enrolled again.
const SECOND_FACTOR_CAP: i64 = 100;

/// A lock without an end.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

/// The ladder of second-factor failures as it stands at `now`. Only an enrolled method can be ended: enrolling it again is the
/// cure, and must stay possible.
pub fn second_factor_rungs(key: FailureKey, now: Timestamp) -> Vec<Rung> {
    let waits = SECOND_FACTOR_LADDER.iter().map(|&(failures, wait)| Rung { failures, locked_until: now.plus(wait) });
    let end = match key {
        FailureKey::Method(_) => Some(Rung { failures: SECOND_FACTOR_CAP, locked_until: NEVER }),
        FailureKey::Enrolment(_) => None,
    };
    waits.chain(end).collect()
}

/// How long to wait for a lock to end, in whole seconds; None when it never does.
pub fn wait(locked_until: Timestamp, now: Timestamp) -> Option<Duration> {
    let wait = locked_until.since(now);
    (locked_until != NEVER).then(|| Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Method;

    #[test]
    fn the_ladder_only_ever_climbs() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let rungs = second_factor_rungs(FailureKey::Method(Method::Totp), now);
        assert!(rungs.windows(2).all(|pair| pair[0].failures < pair[1].failures));
        assert!(rungs.windows(2).all(|pair| pair[0].locked_until < pair[1].locked_until));
        assert_eq!(wait(rungs[0].locked_until, now), Some(Duration::from_secs(30)));
        assert_eq!(wait(NEVER, now), None);
        let enrolment = second_factor_rungs(FailureKey::Enrolment(Method::Totp), now);
        assert!(enrolment.iter().all(|rung| rung.locked_until < NEVER));
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let now = Timestamp::from_millis(1_000_001);
        assert_eq!(wait(Timestamp::from_millis(1_001_002), now), Some(Duration::from_secs(2)));
    }
}
