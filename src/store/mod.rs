//! Durable state: the only room that knows SQL. It maps rows to records and opens what is sealed in them.

mod accounts;
mod audit;
mod connect;
mod entity;
mod factors;
mod failures;
mod keys;
mod sessions;
mod spent_challenges;
mod sweep;

use std::sync::Arc;

use anyhow::Context;
use migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

pub use connect::Home;
pub use failures::Rung;
pub use sessions::Rotation;

use crate::{
    error::{Error, Outage},
    seal::KeyRing,
};

/// The database.
#[derive(Clone)]
pub struct Store {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    ring: Arc<KeyRing>,
}

/// One transaction. Dropped without `commit`, it changes nothing.
pub struct Tx {
    inner: DatabaseTransaction,
    ring: Arc<KeyRing>,
}

/// The schema's progress.
pub struct SchemaStatus {
    /// Names of the migrations that are in the database.
    pub applied: Vec<String>,
    /// Names of those that are still to come.
    pub pending: Vec<String>,
}

impl Store {
    /// A store over an open connection, with the ring that its sealed columns need.
    pub fn new(home: Home, ring: Arc<KeyRing>) -> Self {
        Self { reader: home.reader, writer: home.writer, ring }
    }

    /// Begins a transaction. On SQLite it takes the write lock at once: a lock taken late could not be waited for.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.writer.begin_with_options(options).await.map_err(outage)?;
        Ok(Tx { inner, ring: Arc::clone(&self.ring) })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.reader.execute_unprepared("SELECT 1").await.map_err(outage)?;
        Ok(())
    }

    /// Closes the connections.
    pub async fn close(self) -> anyhow::Result<()> {
        self.reader.close().await?;
        self.writer.close().await?;
        Ok(())
    }
}

impl Tx {
    /// Makes everything in the transaction true at once.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await.map_err(outage)
    }

    /// Takes everything in the transaction back.
    pub async fn roll_back(self) -> Result<(), Error> {
        self.inner.rollback().await.map_err(outage)
    }
}

impl Home {
    /// Brings the schema up to this release.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        Migrator::up(&self.writer, None).await.context("a migration failed")
    }

    /// Which migrations are in the database.
    pub async fn schema_status(&self) -> anyhow::Result<SchemaStatus> {
        let names = |list: Vec<_>| list.iter().map(|m: &migrations::Migration| m.name().to_owned()).collect();
        let has_table = self.has_table(&Migrator::migration_table_name().to_string()).await?;
        if !has_table {
            return Ok(SchemaStatus { applied: Vec::new(), pending: names(Migrator::get_migration_files()) });
        }
        let applied = Migrator::get_applied_migrations(&self.reader).await?;
        let pending = Migrator::get_pending_migrations(&self.reader).await?;
        Ok(SchemaStatus { applied: names(applied), pending: names(pending) })
    }
}

/// Wraps whatever the driver reports. The values of a statement are not in it; its text is.
fn outage(fault: DbErr) -> Error {
    Error::Broken(anyhow::Error::new(fault).context(Outage))
}
