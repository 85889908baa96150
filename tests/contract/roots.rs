//! Root keys: replaced, taken over from a release that had none, lost; and their file, which one process changes at a time.

use countersign::{
    app::{RingDesk, Schema, open_with_roots, read_ring, write_ring},
    config::{Config, Layers},
    flow::keys::{make_key, must_wrap_nothing, rewrap},
    seal::{KeyState, KeyUse, RootRing},
};
use tempfile::TempDir;

use crate::{
    keys::{active, destroy, held, told},
    kit::{NOW, call},
    peek,
};

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
    store.report_replica("one", &held(std::slice::from_ref(&old)), NOW).await.unwrap();
    assert!(told(rewrap(&store, &roots, &call(NOW), NOW).await).contains("too early"));
    store.report_replica("one", &held(&[old.clone(), new.clone()]), NOW).await.unwrap();
    let mut without = read_ring(&config.keys).await.unwrap().unwrap();
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
    let entry = |id: &str, key_use: &str, time: i64| {
        format!("[[keys]]\nid = \"{id}\"\nuse = \"{key_use}\"\ncreate_time = {time}\nsecret = \"{secret}\"\n")
    };
    let keys = [("seal-0", "seal"), ("seal-1", "seal"), ("sign-1", "sign"), ("index-1", "index")];
    let old: String = keys.iter().zip(1_800_000_000..).map(|((id, key_use), time)| entry(id, key_use, time)).collect();
    let path = config.keys.file().unwrap().to_owned();
    std::fs::write(&path, old).unwrap();
    let (store, _, mut roots) = open_with_roots(&config, Schema::Migrate, NOW).await.unwrap();
    for (key_use, id) in [(KeyUse::Seal, "seal-1"), (KeyUse::Sign, "sign-1"), (KeyUse::Index, "index-1")] {
        assert_eq!(active(&store, key_use).await, id);
    }
    let keys = store.data_keys().await.unwrap();
    let before = keys.iter().find(|key| key.id == "seal-0").unwrap();
    assert_eq!((before.state, before.demote_time), (KeyState::Readable, Some(NOW)), "when it was used is not known");
    assert!(told(destroy(&store, "seal-0", &call(NOW)).await).contains("too early"));
    // As long as it is known by its old ring, the release before runs beside this one, and knows nothing of a new key.
    for key_use in [KeyUse::Seal, KeyUse::Sign] {
        let refused = told(make_key(&store, &roots, key_use, &call(NOW)).await);
        assert!(refused.contains("keys rotate root"), "{refused}");
    }
    let inherited = roots.newest().unwrap().id.clone();
    roots.add(NOW).unwrap();
    assert_eq!(rewrap(&store, &roots, &call(NOW), NOW).await.unwrap(), 4);
    assert_eq!(told(make_key(&store, &roots, KeyUse::Seal, &call(NOW)).await), "OK");
    roots.drop_root(&inherited).unwrap();
    roots.replace(&path).unwrap();
    store.close().await.unwrap();
    let (store, ring, _) = open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap();
    assert_eq!(ring.active_id(KeyUse::Seal).unwrap(), "seal-1");
    assert!(!std::fs::read_to_string(&path).unwrap().contains("seal-1"), "the ring holds roots alone");
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_process_at_a_time_changes_the_ring() {
    let (_home, config) = place().await;
    let first = RingDesk::take(&config.keys).unwrap();
    let refused = RingDesk::take(&config.keys).err().unwrap().to_string();
    assert!(refused.contains("another process is changing the key ring"), "{refused}");
    let mut ring = read_ring(&config.keys).await.unwrap().unwrap();
    ring.add(NOW).unwrap();
    first.save(&ring).unwrap();
    assert!(RingDesk::take(&config.keys).is_err(), "the file is another one, the lock is not");
    drop(first);
    assert!(RingDesk::take(&config.keys).is_ok());
    assert_eq!(read_ring(&config.keys).await.unwrap().unwrap().roots().len(), 2);
}

#[tokio::test]
async fn where_the_keys_of_a_database_are_gone_no_new_ones_are_made() {
    let (_home, config) = place().await;
    peek::execute(&peek::url(&config.database.address), "DELETE FROM data_keys").await;
    let refused = format!("{:#}", open_with_roots(&config, Schema::AsConfigured, NOW).await.err().unwrap());
    assert!(refused.contains("are gone (table data_keys)") && refused.contains("backup"), "{refused}");
    let count = peek::count(&peek::url(&config.database.address), "SELECT COUNT(*) AS n FROM data_keys").await;
    assert_eq!(count, 0, "nothing was written");
}
