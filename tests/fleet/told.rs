//! What a fleet tells its webhook: nothing is lost while the receiver is down, nor when a replica dies, and nothing is told twice
//! that was taken.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    receiver::{Posted, Receiver, SECRETS},
    replica::{Fleet, unix_seconds, until},
    servers::{redis, sql::Sql},
};

const USERS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_was_down_is_told_everything_though_a_replica_died_meanwhile() {
    for sql in Sql::shared() {
        let receiver = Receiver::start().await;
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let sets = receiver.sets();
        let mut replicas = Vec::new();
        for _ in 0..3 {
            replicas.push(fleet.replica_with(&sets).await);
        }
        let begun = "SELECT COUNT(*) AS n FROM delivery_cursors";
        until("the log is read", Duration::from_secs(10), async || fleet.count(begun).await == 1).await;
        receiver.answers(503);
        for n in 0..USERS {
            let email = format!("user{n}@example.com");
            fleet.add_user(&email);
            replicas[n % 3].enrol_by(&email, unix_seconds()).await;
        }
        // Each tells of the factor and of its backup codes.
        let waiting = "SELECT COUNT(*) AS n FROM deliveries WHERE attempts > 0";
        let all = i64::try_from(2 * USERS).unwrap();
        until("all of it was tried", Duration::from_secs(20), async || fleet.count(waiting).await == all).await;
        replicas[0].process.kill();
        let refused = receiver.posted().len();
        receiver.answers(200);
        // The one that has died held what it was about to tell for a minute at most.
        let left = "SELECT COUNT(*) AS n FROM deliveries";
        until("all of it is taken", Duration::from_secs(100), async || fleet.count(left).await == 0).await;
        let mut taken: BTreeMap<i64, usize> = BTreeMap::new();
        for one in &receiver.posted()[refused..] {
            assert!(SECRETS.into_iter().all(|secret| one.is_signed_with(secret)));
            *taken.entry(Posted::position(one)).or_default() += 1;
        }
        assert_eq!(taken.len(), 2 * USERS, "{taken:?}");
        assert!(taken.values().all(|count| *count == 1), "once each: {taken:?}");
    }
}
