//! Replicas that cannot follow the keys, or were away; and values that do not open.

use std::time::Duration;

use countersign::{
    clock::steady_now,
    error::{Error, Outage},
    flow::{
        SignIn,
        keys::{
            Broken, Damages, Keeper, destroy_key, disable_key, follow_keys, make_key, promote_key, record_damages,
            reseal,
        },
        local_auth,
    },
    seal::{KeyState, KeyUse, RootRing},
    secret::Secret,
    store::{Held, Reseal, SealedColumn},
    swap::Swap,
};

use crate::{
    keys::{MINUTE, active, add_phones, destroy, follow, told},
    kit::{Bench, NOW, PASSWORD, call},
};

#[tokio::test]
async fn a_replica_that_cannot_follow_goes_on_saying_what_it_holds_and_no_key_takes_over() {
    let bench = Bench::new(&[]).await;
    let (roots, kit) = (bench.roots, &bench.kit);
    let new = make_key(&kit.store, &roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    let keeper_line = roots.to_line();
    let keeper = Keeper::new(roots, NOW);
    let unreadable = async |_| Err(anyhow::anyhow!("others may change it"));
    assert!(follow_keys(kit, &keeper, unreadable, NOW).await.is_err());
    let live = kit.store.replicas_since(NOW.minus(MINUTE)).await.unwrap();
    assert_eq!((live.len(), live[0].held.holds.contains(&new)), (1, false));
    assert!(told(promote_key(&kit.store, &new, &call(NOW), NOW).await).contains("too early"));
    // Nor does a ring that opens nothing take the place of the one that does.
    let other = async |_| RootRing::generate(NOW).map(Some);
    assert!(follow_keys(kit, &keeper, other, NOW).await.is_err());
    let altered = async |_| {
        let line = keeper_line.expose().clone();
        let (id, _) = line.split_once(':').unwrap();
        RootRing::parse(&format!("{id}:{}", "A".repeat(43) + "=")).map(Some)
    };
    follow_keys(kit, &keeper, async |_| Ok(None), NOW).await.unwrap();
    assert!(follow_keys(kit, &keeper, altered, NOW).await.is_err(), "one of the same name");
    follow_keys(kit, &keeper, async |_| Ok(None), NOW).await.unwrap();
    assert_eq!(told(promote_key(&kit.store, &new, &call(NOW), NOW).await), "OK");
}

#[tokio::test]
async fn a_replica_that_has_not_followed_yet_takes_no_re_sealing_back() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let store = &bench.kit.store;
    add_phones(store, 3).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    assert!(!reseal(&bench.kit, NOW).await.unwrap(), "it holds another key for the active one");
    assert!(store.reseal(SealedColumn::Factors).await.unwrap().is_none(), "nothing is begun");
    follow(&bench).await;
    while reseal(&bench.kit, NOW.plus(MINUTE)).await.unwrap() {}
    assert_eq!(store.count_sealed_by(SealedColumn::Phones, &new).await.unwrap(), 3);
    // A third key, which another replica seals with already.
    let third = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    follow(&bench).await;
    promote_key(store, &third, &call(NOW), NOW).await.unwrap();
    let known = store.reseal(SealedColumn::Phones).await.unwrap();
    let begun = Reseal { key_id: third.clone(), last: uuid::Uuid::nil(), count: 0, is_done: false };
    assert_eq!(store.save_reseal(SealedColumn::Phones, known.as_ref(), &begun).await.unwrap(), Swap::Done);
    assert!(!reseal(&bench.kit, NOW.plus(MINUTE)).await.unwrap());
    assert_eq!(store.reseal(SealedColumn::Phones).await.unwrap().unwrap().key_id, third, "not taken back");
}

async fn sign_in(bench: &Bench) -> Result<SignIn, Error> {
    local_auth(&bench.kit, "alice@example.com", &Secret::new(PASSWORD.to_owned()), &call(NOW)).await
}

#[tokio::test]
async fn a_process_that_was_suspended_makes_nothing_until_it_has_said_what_it_holds() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let kit = &bench.kit;
    let token = bench.token("alice@example.com").await;
    add_phones(&kit.store, 1).await;
    let rows = kit.store.sealed_rows(SealedColumn::Phones, uuid::Uuid::nil(), 10).await.unwrap();
    let long_ago = steady_now().checked_sub(Duration::from_secs(21)).unwrap();
    kit.ring.fence().open_from(long_ago);
    let key = active(&kit.store, KeyUse::Seal).await;
    let row = rows.iter().find(|(_, _, sealed)| sealed.is_some()).unwrap();
    let fault = kit.store.seal_anew(SealedColumn::Phones, row, &key).await.err().unwrap().into_anyhow();
    assert!(fault.is::<Outage>(), "{fault:#}");
    assert!(kit.access.keys().sign(b"anything").is_err());
    let refused = told(sign_in(&bench).await);
    assert!(refused.contains("which keys it holds"), "{refused}");
    assert!(kit.access.read(&token, NOW).is_some(), "what is there is read");
    let keeper = Keeper::new(RootRing::generate(NOW).unwrap(), NOW);
    let unreadable = async |_| Err(anyhow::anyhow!("others may change it"));
    assert!(follow_keys(kit, &keeper, unreadable, NOW).await.is_err());
    // It has said so, and nobody takes a key from it.
    assert_eq!(told(sign_in(&bench).await), "OK");
}

#[tokio::test]
async fn a_key_stays_while_a_live_replica_makes_anything_with_it() {
    let bench = Bench::new(&[]).await;
    let store = &bench.kit.store;
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    let held =
        |makes_with: &String| Held { holds: vec![old.clone(), new.clone()], makes_with: vec![makes_with.clone()] };
    let (late, machine) = (call(NOW.plus(MINUTE * 60)), NOW.plus(MINUTE * 60));
    store.report_replica("one", &held(&old), machine).await.unwrap();
    assert_eq!(told(promote_key(store, &new, &call(NOW), machine).await), "OK", "it holds it");
    for refused in
        [disable_key(store, &old, &late, machine).await, destroy_key(store, &old, Broken::GiveUp, &late, machine).await]
    {
        let refused = told(refused);
        assert!(refused.contains("1 live replicas make new values") && refused.contains("one"), "{refused}");
    }
    store.report_replica("one", &held(&new), machine).await.unwrap();
    assert_eq!(told(destroy_key(store, &old, Broken::Keep, &late, machine).await), "OK");
}

#[tokio::test]
async fn whoever_takes_the_old_key_for_the_active_one_seals_nothing_anew_with_it() {
    let bench = Bench::new(&[]).await;
    let store = &bench.kit.store;
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    follow(&bench).await;
    add_phones(store, 1).await;
    let rows = store.sealed_rows(SealedColumn::Phones, uuid::Uuid::nil(), 10).await.unwrap();
    let mut keys = store.data_keys().await.unwrap();
    for key in keys.iter_mut().filter(|key| key.key_use == KeyUse::Seal) {
        let is_old = key.id == old;
        key.state = if is_old { KeyState::Active } else { KeyState::Readable };
    }
    bench.kit.ring.hold(&bench.roots, &keys).unwrap();
    assert_eq!(store.seal_anew(SealedColumn::Phones, &rows[0], &old).await.unwrap(), Swap::Stale);
    assert_eq!(store.count_sealed_by(SealedColumn::Phones, &new).await.unwrap(), 1);
}

#[tokio::test]
async fn what_a_straggler_has_sealed_with_the_old_key_is_sealed_anew_as_well() {
    let bench = Bench::new(&[]).await;
    let (store, later) = (&bench.kit.store, NOW.plus(MINUTE));
    let old = active(store, KeyUse::Seal).await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    let before = store.data_keys().await.unwrap();
    let is_done = async || store.reseal(SealedColumn::Phones).await.unwrap().is_some_and(|reseal| reseal.is_done);
    follow(&bench).await;
    while reseal(&bench.kit, later.minus(Duration::from_millis(1))).await.unwrap() {}
    assert!(!is_done().await, "others may not have followed yet");
    while reseal(&bench.kit, later).await.unwrap() {}
    assert!(is_done().await);
    // One who comes later than anybody should.
    let mut keys = before;
    for key in keys.iter_mut().filter(|key| key.key_use == KeyUse::Seal) {
        let is_old = key.id == old;
        key.state = if is_old { KeyState::Active } else { KeyState::Readable };
    }
    bench.kit.ring.hold(&bench.roots, &keys).unwrap();
    add_phones(store, 3).await;
    follow(&bench).await;
    let late = call(NOW.plus(MINUTE * 60));
    let refused = told(destroy(store, &old, &late).await);
    assert!(refused.contains("3 values of users.password_hash need"), "{refused}");
    while reseal(&bench.kit, later).await.unwrap() {}
    assert_eq!(told(destroy(store, &old, &late).await), "OK");
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_its_key_until_it_is_given_up() {
    let bench = Bench::new(&[]).await;
    let (store, later) = (&bench.kit.store, NOW.plus(MINUTE));
    add_phones(store, 2).await;
    let old = active(store, KeyUse::Seal).await;
    bench.execute("UPDATE users SET phone = (SELECT other.phone FROM users AS other LIMIT 1)").await;
    let new = make_key(store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(store, &new, &call(NOW), NOW).await.unwrap();
    follow(&bench).await;
    while reseal(&bench.kit, later).await.unwrap() {}
    let late = call(NOW.plus(MINUTE * 60));
    for _ in 0..2 {
        let refused = told(destroy(store, &old, &late).await);
        assert!(refused.contains("1 values of users.phone") && refused.contains("do not open"), "{refused}");
        assert!(refused.contains("--give-up-broken"), "{refused}");
    }
    assert_eq!(told(destroy_key(store, &old, Broken::GiveUp, &late, NOW).await), "OK");
}

#[tokio::test]
async fn a_damage_that_cannot_be_recorded_is_recorded_later_and_one_of_a_withheld_key_is_none() {
    let bench = Bench::new(&["alice@example.com"]).await;
    let (kit, damages) = (&bench.kit, Damages::default());
    let recorded =
        async || bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_sealed_value_broken'").await;
    add_phones(&kit.store, 3).await;
    bench.execute("UPDATE users SET phone = phone || x'00'").await;
    let look = async || {
        for row in kit.store.sealed_rows(SealedColumn::Phones, uuid::Uuid::nil(), 10).await.unwrap() {
            assert_eq!(kit.store.seal_anew(SealedColumn::Phones, &row, "any").await.unwrap(), Swap::Stale);
        }
    };
    look().await;
    bench.execute("CREATE TRIGGER none BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'none'); END").await;
    assert!(record_damages(kit, &damages, &call(NOW)).await.is_err());
    bench.execute("DROP TRIGGER none").await;
    record_damages(kit, &damages, &call(NOW)).await.unwrap();
    assert_eq!(recorded().await, 3);
    look().await;
    record_damages(kit, &damages, &call(NOW)).await.unwrap();
    assert_eq!(recorded().await, 3, "once an hour");

    let old = active(&kit.store, KeyUse::Seal).await;
    let new = make_key(&kit.store, &bench.roots, KeyUse::Seal, &call(NOW)).await.unwrap();
    promote_key(&kit.store, &new, &call(NOW), NOW).await.unwrap();
    bench.execute(&format!("UPDATE data_keys SET state = 'disabled' WHERE id = '{old}'")).await;
    follow(&bench).await;
    look().await;
    record_damages(kit, &damages, &call(NOW.plus(MINUTE * 120))).await.unwrap();
    assert_eq!(recorded().await, 3, "whoever has disabled the key knows");
}
