//! Durable state: the only room that knows SQL. It maps rows to records and opens what is sealed in them.

mod accounts;
mod audit;
mod buckets;
mod connect;
mod entity;
mod factors;
mod failures;
mod keys;
mod password_tokens;
mod sessions;
mod settings;
mod spent_challenges;
mod sweep;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use anyhow::Context;
use migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, SqlErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait, sqlx,
};

pub use buckets::{Bucket, Window};
pub use connect::{Home, Look};
pub use failures::Rung;
pub use sessions::Rotation;

use crate::{
    error::{Error, Outage},
    seal::KeyRing,
    swap::Swap,
};

/// The database.
#[derive(Clone)]
pub struct Store {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    statements: Arc<AtomicU64>,
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
        Self { reader: home.reader, writer: home.writer, statements: home.statements, ring }
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

    /// How many statements were run since the start, BEGIN and COMMIT aside.
    pub fn statements_done(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
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
        Migrator::up(&self.writer, None).await.context("a migration failed; the schema is as it was before it")
    }
}

impl Look {
    /// Which migrations are in the database.
    pub async fn schema_status(&self) -> anyhow::Result<SchemaStatus> {
        let table = Migrator::migration_table_name().to_string();
        let known = if self.has_table(&table).await? {
            self.texts(&format!("SELECT version FROM {table}")).await?
        } else {
            Vec::new()
        };
        let names = Migrator::get_migration_files().into_iter().map(|migration| migration.name().to_owned());
        let (applied, pending) = names.partition(|name| known.contains(name));
        Ok(SchemaStatus { applied, pending })
    }
}

/// Wraps what the driver reports: as an outage when the database is out of reach or too busy, else as a fault of ours.
fn outage(fault: DbErr) -> Error {
    let is_outage =
        if let DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) = &fault {
            is_out_of_reach(cause)
        } else {
            matches!(fault, DbErr::Conn(_) | DbErr::ConnectionAcquire(_))
        };
    let fault = anyhow::Error::new(fault);
    Error::Broken(if is_outage { fault.context(Outage) } else { fault })
}

fn is_out_of_reach(cause: &sqlx::Error) -> bool {
    if let sqlx::Error::Database(told) = cause {
        // SQLite: busy, locked, I/O error, full, cannot open.
        let code = told.code().and_then(|code| code.parse::<u32>().ok());
        return code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 10 | 13 | 14));
    }
    matches!(
        cause,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    )
}

/// Reads the answer of an insert whose key may be taken. On PostgreSQL a taken key ends the transaction: roll it back.
fn inserted(result: Result<u64, DbErr>) -> Result<Swap, Error> {
    match result {
        Ok(_) => Ok(Swap::Done),
        Err(fault) if matches!(fault.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(Swap::Stale),
        Err(fault) => Err(outage(fault)),
    }
}
