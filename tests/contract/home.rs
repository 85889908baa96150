//! A database of a test's own.

use std::{future::Future, sync::Arc};

use countersign::{
    app::{Schema, open_store, write_ring},
    clock::Timestamp,
    config::{Config, Layers},
    model::{Account, Email, FailureKey, Method, Role, UserId},
    seal::{KeyRing, RootRing},
    secret::Secret,
    store::Store,
    swap::Swap,
};
use tempfile::TempDir;

use crate::servers::sql::Sql;

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const TOTP: FailureKey = FailureKey::Method(Method::Totp);

pub async fn sqlite() -> (TempDir, Store) {
    let (home, store, _) = sqlite_with_ring().await;
    (home, store)
}

pub async fn sqlite_with_ring() -> (TempDir, Store, Arc<KeyRing>) {
    let home = tempfile::tempdir().unwrap();
    let sets = [format!("data_dir={}", home.path().join("data").display())];
    let config = Config::read(Layers::load(None, &sets)).unwrap();
    let (store, ring) = open_store(&config, Schema::Migrate, NOW).await.unwrap();
    (home, store, ring)
}

/// A database of a server, with a key ring of its own.
pub async fn server(sql: &Sql) -> (TempDir, Config, Store) {
    let home = tempfile::tempdir().unwrap();
    let config = server_config(&home, &sql.new_database());
    write_ring(&config.keys, &RootRing::generate(NOW).unwrap()).unwrap();
    let (store, _) = open_store(&config, Schema::Migrate, NOW).await.unwrap();
    (home, config, store)
}

pub fn server_config(home: &TempDir, url: &str) -> Config {
    let sets = [
        format!("data_dir={}", home.path().join("data").display()),
        format!("database.url={url}"),
        "redis.url=embedded".to_owned(),
    ];
    Config::read(Layers::load(None, &sets)).unwrap()
}

/// Runs a promise on every home.
pub async fn on_every_home<F: Future<Output = ()>>(promise: impl Fn(Store) -> F) {
    let (_home, store) = sqlite().await;
    promise(store).await;
    for sql in Sql::shared() {
        let (_home, _, store) = server(sql).await;
        promise(store.clone()).await;
        store.close().await.unwrap();
    }
}

pub fn account(email: &str) -> Account {
    Account {
        id: UserId::new(NOW),
        email: Email::parse(email).unwrap(),
        role: Role::User,
        blocked: false,
        security_version: 1,
        password_hash: Some(Secret::new("$argon2id$".to_owned())),
        phone: None,
        notice_email: None,
        create_time: NOW,
        role_time: NOW,
    }
}

pub async fn add(store: &Store, account: &Account) -> Swap {
    let tx = store.begin().await.unwrap();
    let swap = tx.insert_account(account).await.unwrap();
    tx.commit().await.unwrap();
    swap
}
