//! The schema of a database server, which many processes start on at once, and of several releases.

use std::sync::Arc;

use countersign::{
    app::{Schema, open_store, write_ring},
    error::{Contention, Error},
    model::UserId,
    seal::RootRing,
    store::{Look, Store},
    swap::Swap,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    home::{NOW, account, add, server, server_config},
    peek,
    servers::sql::Sql,
};

async fn status(config: &countersign::config::Config) -> (usize, usize) {
    let look = Look::at(&config.database.address).await.unwrap().unwrap();
    let status = look.schema_status().await.unwrap();
    look.close().await.unwrap();
    (status.applied.len(), status.pending.len())
}

/// A data directory with a new key ring.
fn place() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let config = server_config(&home, "postgres://h/d");
    write_ring(&config.keys, &RootRing::generate(NOW).unwrap()).unwrap();
    home
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_at_once_on_an_empty_database_all_serve() {
    for sql in Sql::shared() {
        let (home, url) = (place(), sql.new_database());
        let mut starts = JoinSet::new();
        for _ in 0..6 {
            let config = server_config(&home, &url);
            starts.spawn(async move { open_store(&config, Schema::AsConfigured, NOW).await.map(|(store, _)| store) });
        }
        for start in starts.join_all().await {
            start.unwrap().close().await.unwrap();
        }
        assert_eq!(status(&server_config(&home, &url)).await.1, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_replicas_with_different_rings_one_gets_the_database() {
    for sql in Sql::shared() {
        let url = sql.new_database();
        let homes: Vec<_> = (0..4).map(|_| place()).collect();
        let mut starts = JoinSet::new();
        for home in &homes {
            let config = server_config(home, &url);
            starts.spawn(async move { open_store(&config, Schema::AsConfigured, NOW).await.map(|(store, _)| store) });
        }
        let (served, refused): (Vec<_>, Vec<_>) = starts.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((served.len(), refused.len()), (1, 3));
        for refusal in refused {
            let text = format!("{:#}", refusal.err().unwrap());
            assert!(text.contains("does not fit the database"), "{text}");
        }
    }
}

#[tokio::test]
async fn without_a_ring_nothing_is_made_on_a_server() {
    for sql in Sql::shared() {
        let home = tempfile::tempdir().unwrap();
        let config = server_config(&home, &sql.new_database());
        let refused = open_store(&config, Schema::Migrate, NOW).await.err().unwrap();
        assert!(format!("{refused:#}").contains("countersign keys init"), "{refused:#}");
        assert_eq!(status(&config).await.0, 0);
        assert!(!config.keys.file().unwrap().exists());
    }
}

#[tokio::test]
async fn a_migration_that_was_cut_off_is_done_again() {
    for sql in Sql::shared() {
        let (_home, config, store) = server(sql).await;
        store.close().await.unwrap();
        let all = status(&config).await.0;
        // As after a crash on MySQL, which commits each change of a schema: done, and not written down.
        peek::execute(
            &peek::url(&config.database.address),
            "DELETE FROM schema_migrations WHERE version <> 'm0001_accounts'",
        )
        .await;
        assert_eq!(status(&config).await, (1, all - 1));
        let (store, _) = open_store(&config, Schema::Migrate, NOW).await.unwrap();
        assert!(store.settings().await.is_ok(), "one policy, not two");
        store.close().await.unwrap();
        assert_eq!(status(&config).await, (all, 0));
    }
}

#[tokio::test]
async fn a_release_starts_on_the_schema_of_the_one_after_it() {
    for sql in Sql::shared() {
        let (_home, config, store) = server(sql).await;
        store.close().await.unwrap();
        peek::execute(
            &peek::url(&config.database.address),
            "INSERT INTO schema_migrations (version, applied_at) VALUES ('m9999_of_the_next_release', 0)",
        )
        .await;
        let (store, _) = open_store(&config, Schema::AsConfigured, NOW).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_loses_a_deadlock_may_run_again() {
    for sql in Sql::shared() {
        let (_home, _, store) = server(sql).await;
        let (one, two) = (account("one@example.com"), account("two@example.com"));
        for account in [&one, &two] {
            assert_eq!(add(&store, account).await, Swap::Done);
        }
        let meet = Arc::new(tokio::sync::Barrier::new(2));
        let cross = |first: UserId, second: UserId| {
            let (store, meet) = (store.clone(), Arc::clone(&meet));
            async move {
                let tx = store.begin().await?;
                tx.lock_account(first).await?;
                meet.wait().await;
                tx.lock_account(second).await?;
                tx.commit().await
            }
        };
        let (a, b) = tokio::join!(cross(one.id, two.id), cross(two.id, one.id));
        let lost: Vec<_> = [a, b].into_iter().filter_map(Result::err).collect();
        assert_eq!(lost.len(), 1);
        assert!(matches!(&lost[0], Error::Broken(fault) if fault.is::<Contention>()), "{:?}", lost[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_sweep_side_by_side() {
    for sql in Sql::shared() {
        let (_home, _, store) = server(sql).await;
        let tx = store.begin().await.unwrap();
        for n in 0..=255 {
            assert_eq!(tx.spend_challenge(&[n; 32], NOW).await.unwrap(), Swap::Done);
        }
        tx.commit().await.unwrap();
        let sweep = |store: Store| async move {
            // Whoever meets another may lose; the next sweep goes on.
            while !matches!(store.sweep(50, NOW).await, Ok(0)) {}
        };
        let mut sweeps = JoinSet::new();
        for _ in 0..3 {
            sweeps.spawn(sweep(store.clone()));
        }
        sweeps.join_all().await;
        assert!(!store.is_spent(&[0; 32]).await.unwrap() && !store.is_spent(&[255; 32]).await.unwrap());
    }
}
