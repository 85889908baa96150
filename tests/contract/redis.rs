//! What Redis promises beyond the other store: in every form that it comes in, and when it is lost.

use std::{sync::Arc, time::Duration};

use countersign::{
    config::{Config, Layers},
    ephemeral::{Ephemeral, Payment, Redis, SourceWindow, Try},
    error::{Error, Outage},
    flow::{self, EnableRequest, SignIn},
    secret::Secret,
};

use crate::{
    ephemeral::{LOGIN, NOW, SHELF, entry, hash},
    kit::{Bench, PASSWORD, call},
    servers::redis::{self as servers, Cluster, Sentinels},
};

const WINDOW: SourceWindow = SourceWindow { capacity: 1, span: Duration::from_secs(60) };

/// Opens the store that a URL names.
pub fn store(url: &str, sets: &[String]) -> Redis {
    let own = [format!("redis.url={url}"), "redis.key_prefix=contract:".to_owned()];
    let config = Config::read(Layers::load(None, &[&own, sets].concat())).unwrap();
    Redis::new(&config.redis).unwrap()
}

/// A life of an entry and of a source, on many shelves: on a cluster they lie on different nodes.
async fn works(store: &Redis) {
    for name in 0..40 {
        let (shelf, source) = ([name; 16], [name; 32]);
        store.open(shelf, entry(LOGIN, name, 2), NOW).await.unwrap();
        assert!(store.find(shelf, hash(name), NOW).await.unwrap().is_some());
        assert_eq!(store.take(shelf, hash(name), NOW).await.unwrap().unwrap().sealed, [name]);
        store.give_back(shelf, hash(name)).await.unwrap();
        assert_eq!(store.take_newest(shelf, LOGIN, NOW).await.unwrap().unwrap().attempts_left, 1);
        store.close(shelf, hash(name)).await.unwrap();
        assert!(store.take(shelf, hash(name), NOW).await.unwrap().is_none());
        assert_eq!(store.pay(source, WINDOW, NOW).await.unwrap(), Payment::Paid);
        store.settle(source, Try::Failed, NOW).await.unwrap();
        assert!(matches!(store.pay(source, WINDOW, NOW).await.unwrap(), Payment::Full { .. }));
    }
    store.ping().await.unwrap();
}

fn is_outage<T>(answer: Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Broken(fault)) if fault.is::<Outage>())
}

/// The answer, which must come within 2 s.
async fn promptly<T>(answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(2), answer).await.expect("no answer within 2 s")
}

/// Waits until the store answers again, by itself.
async fn recovers(store: &Redis) {
    let recovered = async {
        while store.open(SHELF, entry(LOGIN, 1, 1), NOW).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(15), recovered).await.expect("not well again within 15 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_what_belongs_together_on_one_node() {
    let cluster = Cluster::start();
    works(&store(&cluster.url(), &[])).await;
    let keys: Vec<usize> = cluster.nodes.iter().map(|node| node.cli(&["DBSIZE"]).trim().parse().unwrap()).collect();
    assert!(keys.iter().all(|keys| *keys > 0), "one node has all: {keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_a_server_of_ones_own_authority_and_no_other() {
    let (redis, ca) = servers::Redis::with_tls();
    works(&store(&redis.url, &[format!("redis.ca_file={}", ca.display())])).await;
    assert!(is_outage(store(&redis.url, &[]).ping().await), "an authority that nobody has named");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_needs_no_more_than_the_manual_says() {
    let redis = servers::Redis::with_user("contract:");
    works(&store(&redis.url, &[])).await;
    let url = redis.url.replace("a-password", "another-password");
    assert!(is_outage(store(&url, &[]).ping().await));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_flushed_admits_nothing() {
    let redis = servers::Redis::start();
    let store = store(&redis.url, &[]);
    store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
    redis.cli(&["FLUSHALL"]);
    assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
    store.give_back(SHELF, hash(1)).await.unwrap();
    assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none(), "nothing comes of giving back");
    redis.cli(&["SCRIPT", "FLUSH"]);
    works(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_outage_at_once_and_forgotten_when_it_is_back() {
    let mut redis = servers::Redis::start();
    let store = store(&redis.url, &[]);
    works(&store).await;
    redis.server.kill();
    for _ in 0..3 {
        assert!(is_outage(promptly(store.take(SHELF, hash(1), NOW)).await));
        assert!(is_outage(promptly(store.ping()).await));
    }
    redis.start_again();
    recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_an_outage_within_two_seconds_for_everybody() {
    let redis = servers::Redis::start();
    let store = Arc::new(store(&redis.url, &[]));
    works(&store).await;
    redis.server.signal("STOP");
    for _ in 0..2 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let store = Arc::clone(&store);
            calls.spawn(async move { is_outage(promptly(store.take(SHELF, hash(1), NOW)).await) });
        }
        assert!(calls.join_all().await.into_iter().all(|outage| outage));
    }
    redis.server.signal("CONT");
    recovers(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_is_found_by_the_sentinels() {
    let mut sentinels = Sentinels::start();
    let store = store(&sentinels.url(), &[]);
    works(&store).await;
    sentinels.master.server.kill();
    assert!(is_outage(promptly(store.take(SHELF, hash(1), NOW)).await));
    recovers(&store).await;
    assert!(sentinels.replica.cli(&["INFO", "replication"]).contains("role:master"));
}

#[tokio::test]
async fn nothing_that_names_or_opens_an_entry_lies_in_the_clear() {
    const ALICE: &str = "alice@example.com";
    let redis = servers::Redis::start();
    let bench = Bench::over(Arc::new(store(&redis.url, &[])), &[ALICE]).await;
    let kit = &bench.kit;
    let signed_in = flow::local_auth(kit, ALICE, &Secret::new(PASSWORD.to_owned()), &call(NOW)).await.unwrap();
    let SignIn::Tokens(tokens) = signed_in else { panic!("no factor yet") };
    let caller = bench.admit("TwoFaService/Enable", tokens.access_token.expose(), NOW).await.unwrap();
    let request = EnableRequest { method: None, label: "a label".to_owned(), replaces: None };
    let enabled = flow::enable(kit, &caller, request, &call(NOW)).await.unwrap();
    let uri = enabled.enrolment.uri.expose();
    let secret = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let raw = totp_rs::Totp::from_url(uri).unwrap();
    let code = raw.generate(NOW.seconds().cast_unsigned()).to_string();

    let mut all = String::new();
    for key in redis.cli(&["KEYS", "*"]).lines() {
        all += key;
        all += &redis.cli(&["HGETALL", key]);
    }
    assert!(all.contains("enroll_totp"), "what is there to be counted: {all}");
    for text in [enabled.handle.to_text(), secret, code, ALICE.to_owned(), "a label".to_owned()] {
        assert!(!all.contains(&text), "{text} lies in the clear");
    }
}
