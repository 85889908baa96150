//! Three replicas and a provider of text messages: however many ask at once, no more is sent than may be.

use std::collections::BTreeMap;

use countersign::wire::pb;
use tokio::task::JoinSet;

use crate::{
    provider::Provider,
    replica::{Fleet, PASSWORD, Replica, reason, with_token},
    servers::{redis, sql::Sql},
};

const CALLS: usize = 1000;
const EMAIL: &str = "phone@example.com";
const NUMBER: &str = "+306912345678";
/// Five to a number in an hour, by whoever has confirmed it.
const LEFT: usize = 5;
const KNOWN: [&str; 4] = ["OK", "RATE_LIMITED", "STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"];

async fn enrol(replica: &Replica, provider: &Provider) {
    let token = replica.local_auth(EMAIL).await.unwrap().access_token;
    let request =
        pb::EnableRequest { method: pb::Method::Phone.into(), phone_number: NUMBER.to_owned(), ..Default::default() };
    replica.twofa.clone().enable(with_token(request, &token)).await.unwrap();
    let answer = pb::VerifyRequest { code: provider.code(), ..Default::default() };
    replica.twofa.clone().verify(with_token(answer, &token)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_sign_ins_at_once_send_no_more_than_may_be_sent() {
    for sql in Sql::shared() {
        let provider = Provider::start().await;
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let sets = provider.twilio();
        let replicas =
            [fleet.replica_with(&sets).await, fleet.replica_with(&sets).await, fleet.replica_with(&sets).await];
        fleet.add_user(EMAIL);
        enrol(&replicas[0], &provider).await;

        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            let mut client = replicas[n % 3].twofa.clone();
            let request = pb::LocalAuthRequest { email: EMAIL.to_owned(), password: PASSWORD.to_owned() };
            calls.spawn(async move { client.local_auth(request).await.map(|answer| answer.into_inner().challenge_id) });
        }
        let challenges: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
        // Most were turned away: as many passwords cannot be hashed at once.
        assert!(challenges.len() > LEFT, "{}", challenges.len());
        assert!(provider.count() <= 1 + LEFT, "{}", provider.count());

        // And everybody asks again, for the challenges that are open still.
        let open: Vec<_> = {
            let mut open = Vec::new();
            for n in 0..5 {
                open.push(replicas[n % 3].local_auth(EMAIL).await.unwrap().challenge_id);
            }
            open
        };
        let mut calls = JoinSet::new();
        for n in 0..CALLS {
            let mut client = replicas[n % 3].twofa.clone();
            let request = pb::SendCodeRequest { challenge_id: open[n / 3 % open.len()].clone(), method: 0 };
            calls.spawn(async move { reason(&client.send_code(request).await) });
        }
        let mut reasons = BTreeMap::new();
        for reason in calls.join_all().await {
            *reasons.entry(reason).or_insert(0) += 1;
        }
        assert!(reasons.keys().all(|reason| KNOWN.contains(&reason.as_str())), "{reasons:?}");
        // On a busy machine a call that has paid may be cut off before it sends: never more, and seldom less.
        assert!((2..=1 + LEFT).contains(&provider.count()), "{}", provider.count());
        assert!(provider.messages().iter().all(|message| message.to == NUMBER));
    }
}
