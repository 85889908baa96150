//! What holds of Redis in each of its forms, and while it is away.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use countersign::{
    clock::Timestamp,
    config::{self, Config, Layers},
    ephemeral::{Ephemeral, NewEntry, Payment, Redis, SourceWindow, Try},
    error::{Error, Outage},
    secret,
};
use tokio::{
    task::{JoinSet, yield_now},
    time::{Instant, sleep, timeout},
};

use crate::{
    ephemeral::{LOGIN, NOW, SHELF, entry, hash, newest},
    servers::{certificates::client_certificate, process::Server, redis as servers},
};

const WINDOW: SourceWindow = SourceWindow { capacity: 2, span: Duration::from_secs(600) };
/// What a caller waits at most while Redis is away.
const SOON: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// A store with keys of its own.
pub fn store(url: &str) -> Redis {
    Redis::new(&configured(url, "")).unwrap()
}

fn configured(url: &str, ca_file: &str) -> config::Redis {
    read(url, ca_file).unwrap()
}

fn read(url: &str, ca_file: &str) -> Result<config::Redis, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("countersign:{}:", NUMBER.fetch_add(1, Ordering::Relaxed));
    let settings = [("url", url), ("key_prefix", &prefix), ("ca_file", ca_file)];
    let mut settings: Vec<_> = settings.map(|(key, value)| format!("redis.{key}={value}")).into();
    settings.push("data_dir=data".to_owned());
    settings.push("database.url=sqlite:nowhere.db".to_owned());
    let config = Config::read(Layers::load(None, &settings));
    config.map(|config| config.redis).map_err(|problems| problems[0].to_string())
}

/// The promises that matter.
async fn keeps_its_promises(store: &dyn Ephemeral, now: Timestamp) {
    store.ping().await.unwrap();
    // Several shelves and sources: they lie on several nodes of a cluster.
    for name in 0..20 {
        let end_time = now.plus(Duration::from_secs(300));
        let new = NewEntry { end_time, ..entry(LOGIN, name, 2) };
        store.open([name; 16], new, now).await.unwrap();
        assert_eq!(store.take([name; 16], hash(name), now).await.unwrap().unwrap().attempts_left, 1);
        assert_eq!(newest(store.take_newest([name; 16], &[LOGIN], now).await).unwrap().attempts_left, 0);
        assert!(store.take([name; 16], hash(name), now).await.unwrap().is_none());
        store.give_back([name; 16], hash(name)).await.unwrap();
        assert_eq!(store.find([name; 16], hash(name), now).await.unwrap().unwrap().attempts_left, 1);
        store.close([name; 16], hash(name)).await.unwrap();
        assert!(store.find([name; 16], hash(name), now).await.unwrap().is_none());
        for expected in [Payment::Paid, Payment::Paid, Payment::Wait] {
            assert_eq!(store.pay([name; 32], WINDOW, now).await.unwrap(), expected);
        }
        store.settle([name; 32], Try::TakenBack, now).await.unwrap();
        assert_eq!(store.pay([name; 32], WINDOW, now).await.unwrap(), Payment::Paid);
        for epoch in [now, NOW] {
            assert_eq!(store.raise_epoch([name; 32], epoch).await.unwrap(), now);
        }
    }
}

/// Waits until a store works again by itself.
async fn works_again(store: &dyn Ephemeral) {
    let again = async {
        while store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, again).await.unwrap();
    assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_some());
}

/// Every call answers soon that the store is out of reach, also many at once, and those that come after them.
async fn is_away(store: &Arc<Redis>) {
    for _ in 0..3 {
        let begun = Instant::now();
        let mut calls = JoinSet::new();
        for _ in 0..50 {
            let store = Arc::clone(store);
            calls.spawn(async move { store.take(SHELF, hash(1), NOW).await });
        }
        for answer in calls.join_all().await {
            assert!(is_outage(&answer), "{answer:?}");
        }
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    assert!(is_outage(&store.ping().await));
}

fn is_outage<T>(answer: &Result<T, Error>) -> bool {
    matches!(answer, Err(Error::Broken(fault)) if fault.downcast_ref::<Outage>().is_some())
}

#[tokio::test]
async fn a_cluster_keeps_the_promises_on_each_of_its_nodes() {
    let cluster = servers::cluster();
    let store = store(&cluster.url);
    keeps_its_promises(&store, NOW).await;
    for node in &cluster.servers {
        assert_ne!(servers::cli(node, &["DBSIZE"]).trim(), "0");
    }
    // A slot moves from one node to another: what is new in it lies on the other node at once.
    let config = configured(&cluster.url, "");
    let store = Redis::new(&config).unwrap();
    store.ping().await.unwrap();
    let key = format!("{}{{{}}}", config.key_prefix, "01".repeat(16));
    let slot = servers::cli(&cluster.servers[0], &["CLUSTER", "KEYSLOT", &key]);
    let set = |node, words: [&str; 2]| servers::cli(node, &["CLUSTER", "SETSLOT", slot.trim(), words[0], words[1]]);
    let asks = |node: &&_| !servers::cli(node, &["HLEN", &key]).contains("MOVED");
    let (from, others): (Vec<_>, Vec<_>) = cluster.servers.iter().partition(asks);
    let (from, to) = (from[0], others[0]);
    let id = |node| servers::cli(node, &["CLUSTER", "MYID"]).trim().to_owned();
    assert_eq!(set(to, ["IMPORTING", &id(from)]).trim(), "OK");
    assert_eq!(set(from, ["MIGRATING", &id(to)]).trim(), "OK");
    store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
    assert_eq!(store.take(SHELF, hash(1), NOW).await.unwrap().unwrap().attempts_left, 4);
    for node in [to, from] {
        assert_eq!(set(node, ["NODE", &id(to)]).trim(), "OK");
    }
    assert_eq!(store.take(SHELF, hash(1), NOW).await.unwrap().unwrap().attempts_left, 3);
}

#[tokio::test]
async fn over_tls_a_server_is_taken_by_the_authority_that_is_named_and_by_no_other() {
    let (server, authority) = servers::tls();
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let store = Redis::new(&configured(&url, authority.to_str().unwrap())).unwrap();
    keeps_its_promises(&store, NOW).await;
    let stranger = Redis::new(&configured(&url, "")).unwrap();
    assert!(is_outage(&stranger.ping().await));
    let (_other, other_authority) = servers::tls();
    let stranger = Redis::new(&configured(&url, other_authority.to_str().unwrap())).unwrap();
    assert!(is_outage(&stranger.ping().await));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_shown_the_one_that_is_named() {
    let (server, authority) = servers::tls_with("yes");
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let (certificate, key) = client_certificate(&server.home, "countersign", "DNS:countersign.internal", "2");
    let mut config = configured(&url, authority.to_str().unwrap());
    assert!(is_outage(&Redis::new(&config).unwrap().ping().await), "without one");
    config.client = Some((certificate, key));
    keeps_its_promises(&Redis::new(&config).unwrap(), NOW).await;
    let (other, other_authority) = servers::tls_with("yes");
    assert!(other_authority.exists());
    config.client = Some(client_certificate(&other.home, "countersign", "DNS:countersign.internal", "2"));
    assert!(is_outage(&Redis::new(&config).unwrap().ping().await), "one of another authority");
}

#[tokio::test]
async fn a_user_needs_no_more_than_the_manual_says() {
    let (_server, url) = servers::guarded();
    keeps_its_promises(&store(&url), NOW).await;
}

#[tokio::test]
async fn no_fault_tells_a_password() {
    let (server, _) = servers::guarded();
    let mut told = Vec::new();
    for url in [
        format!("redis://hunter1:hunter2@127.0.0.1:{}", server.port),
        "redis://hunter1:hunter2@127.0.0.1:1".to_owned(),
        "redis://hunter1:hunter2@127.0.0.1:1,redis://hunter1:hunter2@127.0.0.1:2".to_owned(),
        "redis+sentinel://hunter1:hunter2@127.0.0.1:1/main".to_owned(),
    ] {
        match store(&url).open(SHELF, entry(LOGIN, 1, 5), NOW).await {
            Err(Error::Broken(fault)) if fault.downcast_ref::<Outage>().is_some() => told.push(format!("{fault:?}")),
            answer => panic!("{answer:?}"),
        }
    }
    for url in [
        "redis://hunter1:hunter2@host:hunter2",
        "redis://host/hunter2",
        "redis://hunter1:hunter2@a,redis://hunter1:other@b",
        "redis+sentinel://hunter1:hunter2@host:hunter2:1/main",
    ] {
        let fault =
            read(url, "").and_then(|config| Redis::new(&config).map(drop).map_err(|fault| format!("{fault:?}")));
        let fault = fault.unwrap_err();
        assert!(fault.starts_with("redis.url "), "{fault}");
        told.push(fault);
    }
    for text in told {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn a_file_of_authorities_that_is_of_no_use_is_named_before_anything_is_opened() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let missing = home.path().join("missing.pem");
    let refused = |url: &str, file: &Path| {
        let fault = Redis::new(&configured(url, file.to_str().unwrap())).err().unwrap();
        assert!(fault.to_string().starts_with("redis.ca_file"), "{fault}");
    };
    let changeable = home.path().join("changeable.pem");
    std::fs::write(&changeable, "-----BEGIN CERTIFICATE-----").unwrap();
    std::fs::set_permissions(&changeable, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let fault = Redis::new(&configured("rediss://localhost", changeable.to_str().unwrap())).err().unwrap();
    assert!(format!("{fault:?}").contains("chmod go-w"), "{fault:?}");
    refused("rediss://localhost", &empty);
    refused("rediss://localhost", &missing);
    refused("redis://localhost", &empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_is_an_outage_until_it_is_back() {
    let mut server = servers::single();
    let store = Arc::new(store(&servers::url(&server)));
    works_again(&*store).await;
    server.kill();
    is_away(&store).await;
    let _server = servers::again(&server.home, server.port);
    let found = async {
        loop {
            match store.find(SHELF, hash(1), NOW).await {
                Ok(found) => break found,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    assert!(timeout(PATIENCE, found).await.unwrap().is_none());
    works_again(&*store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_silent_is_an_outage_until_it_speaks() {
    let server = servers::single();
    let store = Arc::new(store(&servers::url(&server)));
    works_again(&*store).await;
    server.signal("STOP");
    is_away(&store).await;
    server.signal("CONT");
    works_again(&*store).await;
}

#[tokio::test]
async fn a_connection_that_has_ended_between_two_calls_costs_no_call() {
    let server = servers::single();
    let store = store(&servers::url(&server));
    for _ in 0..10 {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        servers::cli(&server, &["CLIENT", "KILL", "TYPE", "normal"]);
        // The end has arrived by now; it has yet to be read.
        for _ in 0..100 {
            yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_can_be_made_before_its_server() {
    let server = servers::single();
    let (home, port, url) = (server.home.clone(), server.port, servers::url(&server));
    drop(server);
    let store = Arc::new(store(&url));
    is_away(&store).await;
    let _server = servers::again(&home, port);
    works_again(&*store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_known_to_be_gone_costs_next_to_nothing() {
    let mut server = servers::single();
    let store = Arc::new(store(&servers::url(&server)));
    server.kill();
    let begun = Instant::now();
    for _ in 0..1000 {
        assert!(is_outage(&store.take(SHELF, hash(1), NOW).await));
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_server_that_has_forgotten_everything_admits_nothing_and_learns_again() {
    let server = servers::single();
    let store = store(&servers::url(&server));
    store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
    servers::cli(&server, &["FLUSHALL"]);
    servers::cli(&server, &["SCRIPT", "FLUSH"]);
    store.give_back(SHELF, hash(1)).await.unwrap();
    store.settle([1; 32], Try::TakenBack, NOW).await.unwrap();
    assert!(store.find(SHELF, hash(1), NOW).await.unwrap().is_none());
    assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
    assert!(newest(store.take_newest(SHELF, &[LOGIN], NOW).await).is_none());
    assert_eq!(servers::cli(&server, &["DBSIZE"]).trim(), "0");
    keeps_its_promises(&store, NOW).await;
}

#[tokio::test]
async fn a_server_without_memory_is_an_outage_and_never_a_yes() {
    let server = servers::single();
    let store = store(&servers::url(&server));
    store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
    servers::cli(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    assert!(is_outage(&store.take(SHELF, hash(1), NOW).await));
    assert!(is_outage(&store.pay([1; 32], WINDOW, NOW).await));
    servers::cli(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(store.take(SHELF, hash(1), NOW).await.unwrap().unwrap().attempts_left, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_is_found_when_the_old_one_is_gone() {
    a_new_master_is_found_after(Server::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_is_found_when_the_old_one_is_silent() {
    a_new_master_is_found_after(|master| master.signal("STOP")).await;
}

async fn a_new_master_is_found_after(mut end: impl FnMut(&mut Server)) {
    let mut deployment = servers::sentinels();
    let store = Arc::new(store(&deployment.url));
    keeps_its_promises(&*store, NOW).await;
    end(&mut deployment.servers[0]);
    let begun = Instant::now();
    assert!(is_outage(&store.take(SHELF, hash(1), NOW).await));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    works_again(&*store).await;
    // What was there may be there still.
    keeps_its_promises(&*store, NOW.plus(Duration::from_secs(3600))).await;
}

#[tokio::test]
async fn at_rest_lie_hashes_kinds_and_numbers_and_they_go_when_they_have_ended() {
    let server = servers::single();
    let config = configured(&servers::url(&server), "");
    let store = Redis::new(&config).unwrap();
    let token = b"a token that the caller holds";
    let sealed = vec![0xee; 100];
    let new = NewEntry { hash: secret::fingerprint(token), sealed: sealed.clone(), ..entry(LOGIN, 1, 5) };
    store.open(SHELF, new, NOW).await.unwrap();
    store.pay([2; 32], WINDOW, NOW).await.unwrap();

    let mut connection = ::redis::Client::open(servers::url(&server)).unwrap().get_connection().unwrap();
    let mut keys: Vec<String> = ::redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    keys.sort();
    let prefix = &config.key_prefix;
    assert_eq!(keys, [format!("{prefix}source:{{{}}}", "02".repeat(32)), format!("{prefix}{{{}}}", "01".repeat(16))]);
    let mut fields =
        |key: &str| -> HashMap<Vec<u8>, Vec<u8>> { ::redis::cmd("HGETALL").arg(key).query(&mut connection).unwrap() };
    let entries = fields(&keys[1]);
    assert_eq!(entries.len(), 1);
    let value = &entries[&secret::fingerprint(token)[..]];
    let words: Vec<_> = value.split(|byte| !byte.is_ascii_alphanumeric()).filter(|word| word.len() > 3).collect();
    assert_eq!(words, [LOGIN.name.as_bytes()]);
    assert!(value.ends_with(&sealed));
    let source = fields(&keys[0]);
    assert!(source.values().flatten().all(u8::is_ascii_digit), "{source:?}");
    for (key, end) in [(&keys[1], 300_000), (&keys[0], 600_000)] {
        let left: i64 = ::redis::cmd("PTTL").arg(key).query(&mut connection).unwrap();
        assert!((end..=end + 60_000).contains(&left), "{left}");
    }
}
