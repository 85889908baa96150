//! Opens the database. All that tells one database from another on the way in stands here.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement,
    sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{config::DatabaseAddress, file};

const READERS: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(2);

/// An open database.
pub struct Home {
    pub(super) reader: DatabaseConnection,
    pub(super) writer: DatabaseConnection,
    pub(super) statements: Arc<AtomicU64>,
}

/// A look at a database that changes nothing, for as long as it is not known whether the key ring fits it.
pub struct Look(pub(super) DatabaseConnection);

impl Home {
    /// Opens the database, and makes it where it is not there.
    pub async fn open(address: &DatabaseAddress) -> anyhow::Result<Self> {
        let DatabaseAddress::Sqlite(path) = address;
        if !path.exists() {
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                file::make_private_dir(parent)?;
            }
            // SQLite gives its side files the mode of this one.
            file::create_private(path, b"")?;
        }
        file::check_private(path)?;
        let in_use = |sqlx: SqliteConnectOptions| {
            sqlx.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full).busy_timeout(TIMEOUT)
        };
        let mut writer = connect(path, 1, in_use).await?;
        let mut reader = connect(path, READERS, move |sqlx| in_use(sqlx).pragma("query_only", "ON")).await?;
        let statements = Arc::new(AtomicU64::new(0));
        for connection in [&mut writer, &mut reader] {
            let statements = Arc::clone(&statements);
            connection.set_metric_callback(move |_| {
                statements.fetch_add(1, Ordering::Relaxed);
            });
        }
        Ok(Self { reader, writer, statements })
    }
}

impl Look {
    /// Looks at the database; None when it is not there.
    pub async fn at(address: &DatabaseAddress) -> anyhow::Result<Option<Self>> {
        let DatabaseAddress::Sqlite(path) = address;
        if !path.exists() {
            return Ok(None);
        }
        file::check_private(path)?;
        // Without a write-ahead log nobody is writing, and SQLite need not even make its side files.
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let is_still = !Path::new(&log).exists();
        let connection = connect(path, 1, move |sqlx| sqlx.read_only(true).immutable(is_still).busy_timeout(TIMEOUT));
        Ok(Some(Self(connection.await?)))
    }

    /// Stops looking.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.0.close().await?)
    }

    pub(super) async fn has_table(&self, name: &str) -> anyhow::Result<bool> {
        let query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?";
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, query, [name.into()]);
        Ok(self.0.query_one_raw(statement).await?.is_some())
    }

    pub(super) async fn texts(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let rows = self.0.query_all_raw(Statement::from_string(DbBackend::Sqlite, query)).await?;
        Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
    }
}

async fn connect(
    path: &Path,
    connections: u32,
    tune: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> anyhow::Result<DatabaseConnection> {
    let file = path.to_path_buf();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(connections)
        .acquire_timeout(TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        // Connections to a file do not go stale, and opening one costs more than keeping it.
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |sqlx| tune(sqlx.filename(&file)));
    Database::connect(options).await.with_context(|| format!("cannot open the database {}", path.display()))
}
