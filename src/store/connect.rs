//! Opens the database. All that tells one database from another on the way in stands here.

use std::time::Duration;

use anyhow::Context;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};

use crate::{config::DatabaseAddress, file};

const READERS: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(2);

/// An open database, before it is known whether the key ring fits it.
pub struct Home {
    pub(super) reader: DatabaseConnection,
    pub(super) writer: DatabaseConnection,
}

impl Home {
    /// Opens a database that is there; None when it is not. Writes nothing.
    pub async fn open(address: &DatabaseAddress) -> anyhow::Result<Option<Self>> {
        let DatabaseAddress::Sqlite(path) = address;
        if !path.exists() {
            return Ok(None);
        }
        file::check_private(path)?;
        let reader = Database::connect(sqlite(address, READERS, true)).await;
        let writer = Database::connect(sqlite(address, 1, false)).await;
        let context = || format!("cannot open the database {}", path.display());
        Ok(Some(Self { reader: reader.with_context(context)?, writer: writer.with_context(context)? }))
    }

    /// Makes the database where it is not there, and opens it.
    pub async fn create(address: &DatabaseAddress) -> anyhow::Result<Self> {
        let DatabaseAddress::Sqlite(path) = address;
        if !path.exists() {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                file::make_private_dir(parent)?;
            }
            // SQLite gives its side files the mode of this one.
            file::create_private(path, b"")?;
        }
        Self::open(address).await?.context("the database vanished")
    }

    pub(super) async fn has_table(&self, name: &str) -> anyhow::Result<bool> {
        let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?";
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, query, [name.into()]);
        Ok(self.reader.query_one_raw(statement).await?.is_some())
    }
}

fn sqlite(address: &DatabaseAddress, connections: u32, read_only: bool) -> ConnectOptions {
    let DatabaseAddress::Sqlite(path) = address;
    let path = path.clone();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(connections)
        .acquire_timeout(TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        // Connections to a file do not go stale, and opening one costs more than keeping it.
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |sqlx| {
            let sqlx = sqlx
                .filename(&path)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(TIMEOUT);
            if read_only { sqlx.pragma("query_only", "ON") } else { sqlx }
        });
    options
}
