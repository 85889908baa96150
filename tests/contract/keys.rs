//! Keys that come, take over and go: what is refused, and how values are sealed anew.

use std::time::Duration;

use countersign::{
    error::Error,
    flow::{
        Call,
        keys::{Broken, destroy_key, disable_key, enable_key, make_key, promote_key, reseal},
    },
    model::{Email, PhoneNumber, UserId},
    seal::{KeyState, KeyUse, RootRing},
    store::{Held, SealedColumn, Store},
    swap::Swap,
    token::keys::SigningKeys,
};

use crate::{
    home::{account, on_every_home},
    kit::{Bench, NOW, call},
};

pub const MINUTE: Duration = Duration::from_secs(60);

pub fn told<T>(answer: Result<T, Error>) -> String {
    match answer {
        Ok(_) => "OK".to_owned(),
        Err(error) => format!("{:#}", error.into_anyhow()),
    }
}

pub async fn state(store: &Store, id: &str) -> KeyState {
    store.data_keys().await.unwrap().into_iter().find(|key| key.id == id).unwrap().state
}

pub async fn active(store: &Store, key_use: KeyUse) -> String {
    let keys = store.data_keys().await.unwrap();
    keys.into_iter().find(|key| key.key_use == key_use && key.state == KeyState::Active).unwrap().id
}

/// Keys of a replica.
pub fn held(ids: &[String]) -> Held {
    Held { holds: ids.to_vec(), makes_with: Vec::new() }
}

/// Destroys a key, unless a value is sealed by it that does not open.
pub async fn destroy(store: &Store, id: &str, call: &Call) -> Result<(), Error> {
    destroy_key(store, id, Broken::Keep, call, NOW).await
}

/// Goes by the keys of the database, as a service does within seconds.
pub async fn follow(bench: &Bench) {
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
    store.report_replica("one", &held(&both), later).await.unwrap();
    store.report_replica("two", &held(&both[..1]), later).await.unwrap();
    let refused = told(promote_key(store, &new, &call(NOW), later).await);
    assert!(refused.contains("too early: 1 of the live replicas") && refused.contains("two"), "{refused}");
    assert_eq!(state(store, &new).await, KeyState::Readable);
    // One that is silent for half a minute is not live any more.
    let silent = later.plus(Duration::from_secs(30));
    store.report_replica("one", &held(&both), silent).await.unwrap();
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
    let soon = call(NOW.plus(MINUTE * 6).minus(Duration::from_millis(1)));
    assert!(told(promote_key(store, &new, &soon, NOW).await).contains("too early"));
    let ready = call(NOW.plus(MINUTE * 6));
    assert_eq!(told(promote_key(store, &new, &ready, NOW).await), "OK");
    follow(&bench).await;
    assert_eq!(bench.kit.access.keys().active_id().unwrap(), new);
    assert!(bench.kit.access.read(&token, NOW.plus(MINUTE * 7)).is_some(), "what the old one has signed is good");
    let early = call(NOW.plus(MINUTE * 21));
    for refused in [disable_key(store, &old, &early, NOW).await, destroy(store, &old, &early).await] {
        assert!(told(refused).contains("too early"));
    }
    let late = call(NOW.plus(MINUTE * 22));
    assert_eq!(told(destroy(store, &old, &late).await), "OK");
    follow(&bench).await;
    assert!(!kids().contains(&old) && bench.kit.access.read(&token, NOW).is_none());
    // One that has left the JWKS is forgotten there, and does not come back.
    let other = make_key(store, &bench.roots, KeyUse::Sign, &late).await.unwrap();
    assert_eq!(told(disable_key(store, &other, &late, NOW).await), "OK");
    follow(&bench).await;
    assert!(!kids().contains(&other));
    assert!(told(enable_key(store, &other, &late).await).contains("has left the JWKS"));
}

/// Adds accounts with a number each, sealed by the active key. Their ids come after those of accounts that were added at `NOW`.
pub async fn add_phones(store: &Store, count: usize) {
    let tx = store.begin().await.unwrap();
    for n in 0..count {
        let mut account = account(&format!("phone{n}@example.com"));
        account.id = UserId::new(NOW.plus(Duration::from_millis(1)));
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
    let refused = told(destroy(store, &old, &late).await);
    assert!(refused.contains("2 values of factors.data need"), "{refused}");
    assert!(told(disable_key(store, &old, &late, NOW).await).contains("need"));

    // Some of it; then another replica goes on where this one was.
    let mut before = Vec::new();
    while left(SealedColumn::Phones).await == 350 {
        assert!(reseal(&bench.kit, NOW.plus(MINUTE)).await.unwrap());
    }
    before.push(left(SealedColumn::Phones).await);
    assert_eq!(before, [151], "two hundred rows at a time, one of which has no number");
    assert!(store.reseal(SealedColumn::Phones).await.unwrap().unwrap().count == 199);
    while reseal(&bench.kit, NOW.plus(MINUTE)).await.unwrap() {}
    for column in SealedColumn::ALL {
        assert_eq!(left(column).await, 0, "{}", column.name());
    }
    assert_eq!(store.count_sealed_by(SealedColumn::Phones, &new).await.unwrap(), 350);
    assert!(told(destroy(store, &old, &call(NOW.plus(MINUTE * 10))).await).contains("too early"));
    assert_eq!(told(disable_key(store, &old, &late, NOW).await), "OK");
    assert_eq!(told(enable_key(store, &old, &late).await), "OK");
    assert_eq!(told(destroy(store, &old, &late).await), "OK");
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
    let key = active(store, KeyUse::Seal).await;
    assert_eq!(store.seal_anew(SealedColumn::Phones, &rows[0], "seal-other").await.unwrap(), Swap::Stale);
    let tx = store.begin().await.unwrap();
    assert_eq!(tx.save_phone(user, &other).await.unwrap(), Swap::Done);
    tx.commit().await.unwrap();
    assert_eq!(store.seal_anew(SealedColumn::Phones, &rows[0], &key).await.unwrap(), Swap::Stale);
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
        assert!(told(destroy(store, &id, &late).await).contains("is active and cannot be destroyed"));
        assert!(told(disable_key(store, &id, &late, NOW).await).contains("is active and cannot be disabled"));
    }
    assert!(told(destroy(store, "seal-0", &call(NOW)).await).contains("there is no key seal-0"));
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
    let refused = told(destroy(store, &old, &call(NOW)).await);
    assert!(refused.contains("1 values of users.password_hash need"), "{refused}");
}
