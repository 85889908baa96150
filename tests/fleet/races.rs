//! Three replicas over one database and one Redis, and many calls at once: exactly one succeeds.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use crate::{
    replica::{Enrolled, Fleet, Replica, reason, rounds},
    servers::{redis, sql::Sql},
};

const CALLS: usize = 200;
/// On a busy machine some of so many calls wait in vain for a connection. They are let in nowhere, and say so.
const BUSY: &str = "STORE_UNAVAILABLE";

/// Runs a story with three replicas on each database.
pub async fn on_each_database(story: impl AsyncFn(&Fleet, &[Replica])) {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let replicas = [fleet.replica().await, fleet.replica().await, fleet.replica().await];
        story(&fleet, &replicas).await;
    }
}

/// Counts what comes of many answers to the user's challenges with one code, spread over replicas and challenges.
async fn answers(replicas: &[Replica], user: &Enrolled, challenges: usize, code: &str) -> BTreeMap<String, usize> {
    let mut open = Vec::new();
    for n in 0..challenges {
        open.push(replicas[n % 3].local_auth(&user.email).await.unwrap().challenge_id);
    }
    let mut calls = JoinSet::new();
    for n in 0..CALLS {
        let mut client = replicas[n % 3].twofa.clone();
        let challenge_id = open[n / 3 % open.len()].clone();
        let request = countersign::wire::pb::VerifyRequest { code: code.to_owned(), challenge_id, method: 0 };
        calls.spawn(async move { reason(&client.verify(request).await) });
    }
    let mut counts = BTreeMap::new();
    for reason in calls.join_all().await {
        *counts.entry(reason).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn one_authenticator_code_over_five_challenges_and_three_replicas_works_once() {
    on_each_database(async |fleet, replicas| {
        for round in 0..rounds() {
            let email = format!("totp{round}@example.com");
            fleet.add_user(&email);
            let user = replicas[round % 3].enrol(&email).await;
            let counts = answers(replicas, &user, 5, &user.next_code()).await;
            assert_eq!(counts.get("OK"), Some(&1), "{counts:?}");
            assert!(
                counts
                    .keys()
                    .all(|reason| ["OK", "INVALID_CODE", "CHALLENGE_EXPIRED", BUSY].contains(&reason.as_str())),
                "{counts:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_backup_code_over_five_challenges_and_three_replicas_works_once() {
    on_each_database(async |fleet, replicas| {
        for round in 0..rounds() {
            let email = format!("backup{round}@example.com");
            fleet.add_user(&email);
            let user = replicas[round % 3].enrol(&email).await;
            let counts = answers(replicas, &user, 5, &user.backup_codes[round % user.backup_codes.len()]).await;
            assert_eq!(counts.get("OK"), Some(&1), "{counts:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_token_over_three_replicas_has_one_successor() {
    on_each_database(async |fleet, replicas| {
        fleet.add_user("refresh@example.com");
        for _ in 0..rounds() {
            let signed_in = replicas[0].local_auth("refresh@example.com").await.unwrap();
            let mut calls = JoinSet::new();
            for n in 0..CALLS {
                let mut client = replicas[n % 3].sessions.clone();
                let refresh_token = signed_in.refresh_token.clone();
                let request = countersign::wire::pb::RefreshSessionRequest { refresh_token };
                calls.spawn(async move {
                    client.refresh_session(request).await.map(|answer| answer.into_inner().refresh_token)
                });
            }
            let mut successors = BTreeMap::new();
            for answer in calls.join_all().await {
                let key = answer.unwrap_or_else(|status| reason::<()>(&Err(status)));
                *successors.entry(key).or_insert(0) += 1;
            }
            successors.remove(BUSY);
            assert_eq!(successors.len(), 1, "{successors:?}");
            let successor = successors.into_keys().next().unwrap();
            assert_ne!(successor, signed_in.refresh_token);
            assert!(replicas[1].refresh(&successor).await.is_ok());
        }
    })
    .await;
}
