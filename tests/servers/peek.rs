//! Looks into a database, and changes it, behind the service's back.

use countersign::config::DatabaseAddress;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};

/// What a query counts, as `n`.
pub async fn count(url: &str, query: &str) -> i64 {
    let database = open(url).await;
    let backend = database.get_database_backend();
    // Each database has a type of its own for sums.
    let integer = if backend == DbBackend::MySql { "SIGNED" } else { "BIGINT" };
    let query = format!("SELECT CAST(n AS {integer}) AS n FROM ({query}) AS counted");
    let row = database.query_one_raw(Statement::from_string(backend, query)).await;
    database.close().await.unwrap();
    row.unwrap().unwrap().try_get("", "n").unwrap()
}

/// Runs a statement.
pub async fn execute(url: &str, statement: &str) {
    let database = open(url).await;
    database.execute_unprepared(statement).await.unwrap();
    database.close().await.unwrap();
}

/// The URL of a database that a service is configured with.
pub fn url(address: &DatabaseAddress) -> String {
    match address {
        DatabaseAddress::Sqlite(path) => format!("sqlite:{}", path.display()),
        DatabaseAddress::Postgres(url) | DatabaseAddress::Mysql(url) => url.expose().to_owned(),
    }
}

pub async fn open(url: &str) -> DatabaseConnection {
    Database::connect(ConnectOptions::new(url).max_connections(1).to_owned()).await.unwrap()
}
