//! How many wrong answers are too many: all there is to each limit, in one place. Pure.

use std::{net::IpAddr, time::Duration};

use crate::{
    clock::Timestamp,
    ephemeral::SourceWindow,
    model::FailureKey,
    store::{Collapse, Rung, Window},
};

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

/// Wrong passwords for an account from one network climb the same waits, and never end the password.
const PASSWORD_LADDER: [(i64, Duration); 7] = SECOND_FACTOR_LADDER;

/// Whoever has been quiet so long starts anew at the foot of the password ladder.
pub const PASSWORD_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// Wrong passwords for an account from all networks together that never signed in to it.
pub const STRANGERS: Window = Window { capacity: 100, span: Duration::from_secs(24 * 60 * 60) };

/// How long a network is remembered after a sign-in.
pub const NETWORK_MEMORY: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// It is remembered anew when so much of that is over.
pub const NETWORK_SLACK: Duration = Duration::from_secs(24 * 60 * 60);

/// New sets of backup codes for an account.
pub const BACKUP_CODE_SETS: Window = Window { capacity: 5, span: Duration::from_secs(60 * 60) };

/// Text messages to an account whose codes have not come back: in an hour, in a day. A code that comes back gives its place back.
pub const SMS_UNANSWERED: [Window; 2] = [Window { capacity: 5, span: HOUR }, Window { capacity: 10, span: DAY }];

/// Text messages to an account in all.
pub const SMS_OF_ACCOUNT: Window = Window { capacity: 30, span: DAY };

/// Text messages that an account asks for, also those that nobody takes.
pub const SMS_ASKED_FOR: Window = Window { capacity: 20, span: HOUR };

/// Text messages to a number, by whoever has confirmed it.
pub const SMS_TO_NUMBER: Window = Window { capacity: 5, span: HOUR };

/// Text messages to a number that somebody is about to confirm: whoever that is, its owner's stay.
pub const SMS_TO_NEW_NUMBER: Window = Window { capacity: 5, span: HOUR };

/// Text messages to numbers that begin alike.
pub const SMS_TO_PREFIX: Window = Window { capacity: 20, span: Duration::from_secs(60) };

/// When hardly a code comes back from numbers that begin alike, no more go there for a while.
pub const SMS_COLLAPSE: Collapse = Collapse { sent: 20, one_in: 10, span: HOUR };

/// Whoever has asked for no code so long begins anew with a challenge, which has ended by then.
pub const RESEND_QUIET: Duration = Duration::from_secs(15 * 60);

/// How long each code that is sent for a challenge makes the next one wait. After the last one there is none.
const RESEND_LADDER: [(i64, Duration); 3] =
    [(1, Duration::from_secs(30)), (2, Duration::from_secs(60)), (3, Duration::from_secs(120))];

/// Notices to a user of passwords from new networks: whoever knows the password and has many networks is told of no further.
pub const NEW_NETWORK_NOTICES: Window = Window { capacity: 5, span: DAY };

/// Notices to a user of sign-ins that were not completed.
pub const ABANDONED_NOTICES: Window = Window { capacity: 1, span: HOUR };

/// Notices to a user of anything else, of each kind.
pub const NOTICES: Window = Window { capacity: 10, span: HOUR };

/// What nobody takes is tried again for so long.
pub const DELIVERY_LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

/// The first wait between two tries; each is twice the one before, up to the longest.
const DELIVERY_WAIT: Duration = Duration::from_secs(5);
const LONGEST_DELIVERY_WAIT: Duration = HOUR;

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Failures of a source are counted for so long.
const SOURCE_SPAN: Duration = Duration::from_secs(10 * 60);

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

/// The ladder of wrong passwords as it stands at `now`.
pub fn password_rungs(now: Timestamp) -> Vec<Rung> {
    PASSWORD_LADDER.iter().map(|&(failures, wait)| Rung { failures, locked_until: now.plus(wait) }).collect()
}

/// The waits between codes of one challenge, which ends at `end_time`.
pub fn resend_rungs(now: Timestamp, end_time: Timestamp) -> Vec<Rung> {
    let waits = RESEND_LADDER.iter().map(|&(failures, wait)| Rung { failures, locked_until: now.plus(wait) });
    waits.chain([Rung { failures: 4, locked_until: end_time }]).collect()
}

/// The text messages of a day (UTC), all accounts together.
pub fn sms_budget(capacity: u32, now: Timestamp) -> Window {
    let into_the_day = u64::try_from(now.seconds()).unwrap_or(0) % DAY.as_secs();
    Window { capacity: i64::from(capacity), span: DAY - Duration::from_secs(into_the_day) }
}

/// Whether so many messages of a budget are a reason to be told.
pub fn is_alarming(sent: i64, capacity: u32) -> bool {
    sent.saturating_mul(100) >= i64::from(capacity).saturating_mul(80)
}

/// When what was tried so often is tried next; None = it is given up.
pub fn next_delivery(attempts: i64, create_time: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or(0);
    let next = now.plus((DELIVERY_WAIT * 2_u32.pow(doublings)).min(LONGEST_DELIVERY_WAIT));
    (next.since(create_time) <= DELIVERY_LIFE).then_some(next)
}

/// The network of an address, as the limits see it: IPv4 /24, IPv6 /56.
pub fn network(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.octets()[..3].to_vec(),
        IpAddr::V6(ip) => ip.octets()[..7].to_vec(),
    }
}

/// What counts as one source: an IPv4 address, or the IPv6 /64 that is the least that anybody is given.
pub fn source(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets()[..8].to_vec(),
    }
}

/// How often a source may send a wrong password.
pub const fn source_window(capacity: u32) -> SourceWindow {
    SourceWindow { capacity, span: SOURCE_SPAN }
}

/// The same while replicas do not know of each other's counts.
pub const fn stricter_source_window(capacity: u32) -> SourceWindow {
    SourceWindow { capacity: capacity.div_ceil(4), span: SOURCE_SPAN }
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
    fn a_network_is_what_one_subscriber_has() {
        let network = |text: &str| text.parse().map(network).unwrap_or_default();
        assert_eq!(network("192.0.2.1"), network("192.0.2.254"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.7"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("2001:db8:0:1200::1"), network("2001:db8:0:12ff:ffff::1"));
        assert_ne!(network("2001:db8:0:1200::1"), network("2001:db8:0:1300::1"));
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let now = Timestamp::from_millis(1_000_001);
        assert_eq!(wait(Timestamp::from_millis(1_001_002), now), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_day_s_budget_ends_at_midnight_and_alarms_at_four_fifths() {
        let midnight = Timestamp::from_seconds(1_800_057_600);
        let window = sms_budget(1000, midnight.minus(Duration::from_secs(1)));
        assert_eq!((window.capacity, window.span), (1000, Duration::from_secs(1)));
        assert_eq!(sms_budget(1, midnight).span, DAY);
        assert!(
            is_alarming(800, 1000)
                && !is_alarming(799, 1000)
                && is_alarming(1, 1)
                && is_alarming(3, 3)
                && !is_alarming(2, 3)
        );
    }

    #[test]
    fn codes_of_a_challenge_wait_longer_each_time_and_end_with_it() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let end = now.plus(Duration::from_secs(300));
        let rungs = resend_rungs(now, end);
        let waits: Vec<_> = rungs.iter().map(|rung| (rung.failures, rung.locked_until.since(now).as_secs())).collect();
        assert_eq!(waits, [(1, 30), (2, 60), (3, 120), (4, 300)]);
    }

    #[test]
    fn a_delivery_waits_twice_as_long_each_time_up_to_an_hour_and_is_given_up_after_three_days() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let wait = |attempts| next_delivery(attempts, now, now).map(|next| next.since(now).as_secs());
        let waits: Vec<_> = (1..=12).filter_map(wait).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        // However often it was tried.
        assert_eq!([0, i64::MIN, i64::MAX].map(wait), [Some(5), Some(5), Some(3600)]);
        let made = |before| next_delivery(1, now.minus(DELIVERY_LIFE - before), now);
        assert!(made(DELIVERY_WAIT).is_some());
        assert!(made(DELIVERY_WAIT - Duration::from_millis(1)).is_none());
    }
}
