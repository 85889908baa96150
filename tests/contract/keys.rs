//! Keys that come, take over and go: what is refused, and how values are sealed anew.

use std::time::Duration;

use countersign::{
    app::{Schema, open_with_roots, read_ring, write_ring},
    config::{Config, Layers},
    error::Error,
    flow::keys::{
        Keeper, destroy_key, disable_key, enable_key, follow_keys, make_key, must_wrap_nothing, promote_key, reseal,
        rewrap,
    },
    model::{Email, PhoneNumber, UserId},
    seal::{KeyState, KeyUse, RootRing},
    store::{SealedColumn, Store},
    swap::Swap,
    token::keys::SigningKeys,
};
use tempfile::TempDir;

use crate::{
    home::{account, on_every_home},
    kit::{Bench, NOW, call},
};

const MINUTE: Duration = Duration::from_secs(60);

fn told<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => "OK".to_owned(),
        Err(error) => format!("{:#}", error.into_anyhow()),
    }
}

async fn state(store: &Store, id: &str) -> KeyState {
    store.data_keys().await.unwrap().into_iter().find(|key| key.id == id).unwrap().state
}

async fn active(store: &Store, key_use: KeyUse) -> String {
    let keys = store.data_keys().await.unwrap();
    keys.into_iter().find(|key| key.key_use == key_use && key.state == KeyState::Active).unwrap().id
}

/// Goes by the keys of the database, as a service does within seconds.
async fn follow(bench: &Bench) {
    bench.kit.ring.hold(&bench.roots, &bench.kit.store.data_keys().await.unwrap()).unwrap();
    bench.kit.access.follow(SigningKeys::from_ring(&bench.kit.ring).unwrap());
}

#[tokio::test]
async fn a_key_takes_over_only_when_every_live_replica_holds_it() {
    let bench = Bench::new(&[]).await;
    let (store, later) = (&bench.kit.store, NOW.plus(MINUTE));
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    let both = [old.clone(), new.clone()];
    store.report_replica("one", &both, later).await.unwrap();
    store.report_replica("two", &both[..1], later).await.unwrap();
    let refused = told(promote_key(store, &new, &call(NOW), later).await);
    assert!(refused.contains("too early: 1 of the live replicas") && refused.contains("two"), "{refused}");
    assert_eq!(state(store, &new).await, KeyState::Readable);
    // One that is silent for half a minute is not live any more.
    let silent = later.plus(Duration::from_secs(30));
    store.report_replica("one", &both, silent).await.unwrap();
    assert_eq!(told(promote_key(store, &new, &call(NOW), silent).await), "OK");
    assert_eq!((state(store, &old).await, state(store, &new).await), (KeyState::Readable, KeyState::Active));
    assert!(told(promote_key(store, &new, &call(NOW), silent).await).contains("is active"));
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_keys_changed'").await, 2);
}

#[tokio::test]
async fn of_two_keys_that_are_promoted_at_once_one_is_active_afterwards() {
    on_every_home(async |store| {
        let roots = RootRing::generate(NOW).unwrap();
        let mut new = Vec::new();
        for _ in 0..2 {
            let key = roots.make(KeyUse::Seal, KeyState::Readable, NOW).unwrap();
            let tx = store.begin().await.unwrap();
            tx.insert_data_key(&key).await.unwrap();
            tx.commit().await.unwrap();
            new.push(key.id);
        }
        let (first, second) = (call(NOW), call(NOW));
        let (one, two) =
            tokio::join!(promote_key(&store, &new[0], &first, NOW), promote_key(&store, &new[1], &second, NOW));
        assert_eq!((told(one).as_str(), told(two).as_str()), ("OK", "OK"), "one after the other");
        let keys = store.data_keys().await.unwrap();
        let active = keys.iter().filter(|key| key.key_use == KeyUse::Seal && key.state == KeyState::Active).count();
        assert_eq!(active, 1);
    })
    .await;
}

#[tokio::test]
async fn a_signing_key_is_in_the_jwks_before_it_signs_and_stays_until_the_last_token_has_ended() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let store = &bench.kit.store;
    let token = bench.token("alice@example.com").await;
    let old = active(store, KeyUse::Sign).await;
    let new = make_key(store, &bench.roots, KeyUse::Sign, &call(NOW)).await.unwrap();
    follow(&bench).await;
    let kids = || bench.kit.access.public_keys().into_iter().map(|key| key.kid).collect::<Vec<_>>();
    assert!(kids().contains(&new) && kids().contains(&old));
    assert_eq!(bench.kit.access.keys().active_id().unwrap(), old);
    let soon = call(NOW.plus(MINUTE * 5).minus(Duration::from_millis(1)));
    assert!(told(promote_key(store, &new, &soon, NOW).await).contains("too early"));
    let ready = call(NOW.plus(MINUTE * 5));
    assert_eq!(told(promote_key(store, &new, &ready, NOW).await), "OK");
    follow(&bench).await;
    assert_eq!(bench.kit.access.keys().active_id().unwrap(), new);
    assert!(bench.kit.access.read(&token, NOW.plus(MINUTE * 6)).is_some(), "what the old one has signed is good");
    let early = call(NOW.plus(MINUTE * 20));
    for refused in [disable_key(store, &old, &early).await, destroy_key(store, &old, &early).await] {
        assert!(told(refused).contains("too early"));
    }
    let late = call(NOW.plus(MINUTE * 21));
    assert_eq!(told(destroy_key(store, &old, &late).await), "OK");
    follow(&bench).await;
    assert!(!kids().contains(&old) && bench.kit.access.read(&token, NOW).is_none());
}

/// Adds accounts with a number each, sealed by the active key.
async fn add_phones(store: &Store, count: usize) {
    let tx = store.begin().await.unwrap();
    for n in 0..count {
        let mut account = account(&format!("phone{n}@example.com"));
        account.id = UserId::new(NOW);
        account.phone = PhoneNumber::from_e164("+306912345678");
        account.notice_email = Some(Email::parse("second@example.com").unwrap());
        assert_eq!(tx.insert_account(&account).await.unwrap(), Swap::Done);
    }
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn values_are_sealed_anew_from_where_the_last_replica_was_and_then_the_old_key_can_go() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let store = &bench.kit.store;
    bench.enrol(&bench.token("alice@example.com").await).await;
    add_phones(store, 350).await;
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    follow(&bench).await;
    let left = async |column| store.count_sealed_by(column, &old).await.unwrap();
    assert_eq!(left(SealedColumn::Phones).await, 350);
    let late = call(NOW.plus(MINUTE * 60));
    let refused = told(destroy_key(store, &old, &late).await);
    assert!(refused.contains("2 values of factors.data need"), "{refused}");
    assert!(told(disable_key(store, &old, &late).await).contains("need"));

    // Some of it; then another replica goes on where this one was.
    let mut before = Vec::new();
    while left(SealedColumn::Phones).await == 350 {
        assert!(reseal(&bench.kit).await.unwrap());
    }
    before.push(left(SealedColumn::Phones).await);
    assert_eq!(before, [250], "a hundred at a time");
    assert!(store.reseal(SealedColumn::Phones).await.unwrap().unwrap().count == 100);
    while reseal(&bench.kit).await.unwrap() {}
    for column in SealedColumn::ALL {
        assert_eq!(left(column).await, 0, "{}", column.name());
    }
    assert_eq!(store.count_sealed_by(SealedColumn::Phones, &new).await.unwrap(), 350);
    assert!(told(destroy_key(store, &old, &call(NOW.plus(MINUTE * 10))).await).contains("too early"));
    assert_eq!(told(disable_key(store, &old, &late).await), "OK");
    assert_eq!(told(enable_key(store, &old, &late).await), "OK");
    assert_eq!(told(destroy_key(store, &old, &late).await), "OK");
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM data_keys WHERE length(wrapped) = 0").await, 1);
    follow(&bench).await;
    let alice = store.find_account_by_email(&Email::parse("alice@example.com").unwrap()).await.unwrap().unwrap();
    assert!(alice.password_hash.is_some());
    assert!(store.factors(alice.id).await.unwrap().iter().all(|factor| !factor.data.is_damaged()));
    assert!(bench.kit.ring.take_damages().is_empty());
}

#[tokio::test]
async fn what_changes_while_it_is_sealed_anew_stays_as_it_was_changed() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let store = &bench.kit.store;
    add_phones(store, 1).await;
    let email = Email::parse("phone0@example.com").unwrap();
    let user = store.find_account_by_email(&email).await.unwrap().unwrap().id;
    let rows = store.sealed_rows(SealedColumn::Phones, uuid::Uuid::nil(), 10).await.unwrap();
    let other = PhoneNumber::from_e164("+306987654321").unwrap();
    let tx = store.begin().await.unwrap();
    assert_eq!(tx.save_phone(user, &other).await.unwrap(), Swap::Done);
    assert_eq!(tx.seal_anew(SealedColumn::Phones, &rows[0]).await.unwrap(), Swap::Stale);
    tx.commit().await.unwrap();
    let now = store.find_account(user).await.unwrap().unwrap();
    assert_eq!(now.phone.unwrap().expose(), other.expose());
}

#[tokio::test]
async fn the_index_key_stays_and_so_does_one_that_is_active() {
    let bench = Bench::new(&[]).await;
    let store = &bench.kit.store;
    assert!(told(make_key(store, &bench.roots, KeyUse::Index, &call(NOW)).await).contains("cannot be changed"));
    for key_use in KeyUse::DATA {
        let id = active(store, key_use).await;
        let late = call(NOW.plus(MINUTE * 60));
        assert!(told(destroy_key(store, &id, &late).await).contains("is active and cannot be destroyed"));
        assert!(told(disable_key(store, &id, &late).await).contains("is active and cannot be disabled"));
    }
    assert!(told(destroy_key(store, "seal-0", &call(NOW)).await).contains("there is no key seal-0"));
}

/// A place with a ring and a database.
async fn place() -> (TempDir, Config) {
    let home = tempfile::tempdir().unwrap();
    let sets = [format!("data_dir={}", home.path().join("data").display())];
    let config = Config::read(Layers::load(None, &sets)).unwrap();
    open_with_roots(&config, Schema::Migrate, NOW).await.unwrap().0.close().await.unwrap();
    (home, config)
}

#[tokio::test]
async fn a_root_key_is_replaced_when_every_live_replica_holds_the_new_one_and_the_old_ring_is_of_no_use_then() {
    let (home, config) = place().await;
    let path = config.keys.file().unwrap().to_owned();
    let kept = home.path().join("kept.toml");
    std::fs::copy(&path, &kept).unwrap();
    let (store, ring, mut roots) = open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap();
    let old = roots.newest().unwrap().id.clone();
    let new = roots.add(NOW).unwrap();
    roots.replace(&path).unwrap();
    store.report_replica("one", std::slice::from_ref(&old), NOW).await.unwrap();
    assert!(told(rewrap(&store, &roots, &call(NOW), NOW).await).contains("too early"));
    store.report_replica("one", &[old.clone(), new.clone()], NOW).await.unwrap();
    let mut without = read_ring(&config.keys).unwrap().unwrap();
    without.drop_root(&old).unwrap();
    assert!(told(must_wrap_nothing(&store, &old).await).contains("wraps"), "not before it is done");
    assert_eq!(rewrap(&store, &roots, &call(NOW), NOW).await.unwrap(), 3);
    assert_eq!(rewrap(&store, &roots, &call(NOW), NOW).await.unwrap(), 0, "again");
    assert!(ring.hold(&without, &store.data_keys().await.unwrap()).is_ok());
    assert_eq!(told(must_wrap_nothing(&store, &old).await), "OK");
    // With both it may be started, and with the new one alone.
    store.close().await.unwrap();
    let (store, _, _) = open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap();
    without.replace(&path).unwrap();
    store.close().await.unwrap();
    open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap().0.close().await.unwrap();
    std::fs::copy(&kept, &path).unwrap();
    let refused = format!("{:#}", open_with_roots(&config, Schema::AsConfigured, NOW).await.err().unwrap());
    assert!(refused.contains("does not fit the database") && refused.contains(&new), "{refused}");
}

#[tokio::test]
async fn a_database_of_the_release_before_is_used_with_its_ring_and_rotated_like_any_other() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let home = tempfile::tempdir().unwrap();
    let sets = [format!("data_dir={}", home.path().join("data").display())];
    let config = Config::read(Layers::load(None, &sets)).unwrap();
    write_ring(&config.keys, &RootRing::generate(NOW).unwrap()).unwrap();
    let secret = STANDARD.encode([9; 32]);
    let entry = |id: &str, key_use: &str| {
        format!("[[keys]]\nid = \"{id}\"\nuse = \"{key_use}\"\ncreate_time = 1800000000\nsecret = \"{secret}\"\n")
    };
    let old = [entry("seal-1", "seal"), entry("sign-1", "sign"), entry("index-1", "index")].concat();
    let path = config.keys.file().unwrap().to_owned();
    std::fs::write(&path, old).unwrap();
    let (store, _, mut roots) = open_with_roots(&config, Schema::Migrate, NOW).await.unwrap();
    for (key_use, id) in [(KeyUse::Seal, "seal-1"), (KeyUse::Sign, "sign-1"), (KeyUse::Index, "index-1")] {
        assert_eq!(active(&store, key_use).await, id);
    }
    let inherited = roots.newest().unwrap().id.clone();
    roots.add(NOW).unwrap();
    assert_eq!(rewrap(&store, &roots, &call(NOW), NOW).await.unwrap(), 3);
    roots.drop_root(&inherited).unwrap();
    roots.replace(&path).unwrap();
    store.close().await.unwrap();
    let (store, ring, _) = open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap();
    assert_eq!(ring.active_id(KeyUse::Seal).unwrap(), "seal-1");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("seal-1"), "the ring holds roots alone");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_replica_that_cannot_follow_goes_on_saying_what_it_holds_and_no_key_takes_over() {
    let bench = Bench::new(&[]).await;
    let (roots, kit) = (bench.roots, &bench.kit);
    let new = make_key(&kit.store, &roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    let keeper = Keeper::new(roots, NOW);
    let unreadable = |_| Err(anyhow::anyhow!("others may change it"));
    assert!(follow_keys(kit, &keeper, unreadable, NOW).await.is_err());
    let live = kit.store.replicas_since(NOW.minus(MINUTE)).await.unwrap();
    assert_eq!((live.len(), live[0].holds.contains(&new)), (1, false));
    assert!(told(promote_key(&kit.store, &new, &call(NOW), NOW).await).contains("too early"));
    // Nor does a ring that opens nothing take the place of the one that does.
    let other = |_| RootRing::generate(NOW).map(Some);
    assert!(follow_keys(kit, &keeper, other, NOW).await.is_err());
    follow_keys(kit, &keeper, |_| Ok(None), NOW).await.unwrap();
    assert_eq!(told(promote_key(&kit.store, &new, &call(NOW), NOW).await), "OK");
}

#[tokio::test]
async fn a_key_that_a_release_before_has_used_is_needed_as_long_as_a_row_needs_it() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let store = &bench.kit.store;
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    // As one that came with a ring of that release: when it was used is not known.
    bench.execute("UPDATE data_keys SET active_time = NULL, demote_time = NULL WHERE state = 'readable'").await;
    let refused = told(destroy_key(store, &old, &call(NOW)).await);
    assert!(refused.contains("1 values of users.password_hash need"), "{refused}");
}
