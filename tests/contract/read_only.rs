//! Servers that take no writes, as a replica that is not promoted yet.

use std::time::Duration;

use countersign::{
    error::{Error, Outage},
    store::Store,
};

use crate::{home::server, servers::sql::Sql};

/// Waits until the database is well, or is not.
async fn becomes(store: &Store, well: bool) {
    let becomes = async {
        loop {
            match store.ping().await {
                Ok(Some(_)) if well => return,
                Err(Error::Broken(fault)) if !well && fault.is::<Outage>() => return,
                Ok(_) | Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), becomes).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_not_well_until_it_takes_them_again() {
    for mut sql in [Sql::postgres(), Sql::mariadb()] {
        let (_home, _, store) = server(&sql).await;
        becomes(&store, true).await;
        sql.demote();
        becomes(&store, false).await;
        assert!(store.ping().await.is_err());
        sql.promote();
        becomes(&store, true).await;
        store.close().await.unwrap();
    }
}
