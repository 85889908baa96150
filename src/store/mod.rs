//! Durable state: the only room that knows SQL. It maps rows to records and opens what is sealed in them.

mod accounts;
mod audit;
mod audit_chain;
mod buckets;
mod census;
mod connect;
mod create_requests;
mod deliveries;
mod dialect;
mod directory;
mod entity;
mod epoch;
mod factors;
mod failures;
mod fence;
mod keys;
mod password_tokens;
mod reseals;
mod sessions;
mod settings;
mod sms_prefixes;
mod spent_challenges;
mod sweep;
mod watched;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
};

use anyhow::Context;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqlErr, SqliteTransactionMode, Statement,
    TransactionOptions,
};

use dialect::Meaning;
use sessions::LiveQuery;
use watched::Watched;

pub use audit::AuditFilter;
pub use audit_chain::Link;
pub use buckets::{Bucket, BucketState, Window};
pub use census::{Adoption, Cutoff, Group};
pub use connect::{Home, Look, Schema};
pub use create_requests::CreateRequest;
pub use deliveries::NewDelivery;
pub use directory::AccountFilter;
pub use epoch::Epoch;
pub use failures::Rung;
pub use keys::{Held, Replica};
pub use reseals::{Reseal, SealedColumn};
pub use sessions::Rotation;
pub use sms_prefixes::{Collapse, SmsPrefix};

use crate::{
    clock::Timestamp,
    error::{Contention, Error, Outage},
    seal::KeyRing,
    swap::Swap,
    telemetry::meters,
};

/// The database.
#[derive(Clone)]
pub struct Store {
    reader: Watched<DatabaseConnection>,
    writer: Watched<DatabaseConnection>,
    pulse: DatabaseConnection,
    statements: Arc<AtomicU64>,
    live: Arc<LiveQuery>,
    ring: Arc<KeyRing>,
}

/// One transaction. Dropped without `commit`, it changes nothing.
pub struct Tx {
    inner: Watched<DatabaseTransaction>,
    live: Arc<LiveQuery>,
    ring: Arc<KeyRing>,
    records: AtomicU16,
    recorded: Mutex<Vec<Recorded>>,
    has_code_returned: AtomicBool,
}

/// What is counted of a record once it is true: event, method and reason.
type Recorded = (&'static str, Option<&'static str>, Option<&'static str>);

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
        let live = Arc::new(LiveQuery::new(home.reader.get_database_backend()));
        Self { reader: home.reader, writer: home.writer, pulse: home.pulse, statements: home.statements, live, ring }
    }

    /// Begins a transaction. On SQLite it takes the write lock at once: a lock taken late could not be waited for.
    pub async fn begin(&self) -> Result<Tx, Error> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let inner = self.writer.begin(options).await.map_err(outage)?;
        let records = AtomicU16::new(0);
        let (live, ring) = (Arc::clone(&self.live), Arc::clone(&self.ring));
        Ok(Tx { inner, live, ring, records, recorded: Mutex::default(), has_code_returned: AtomicBool::new(false) })
    }

    /// How many statements were run since the start, BEGIN and COMMIT aside.
    pub fn statements_done(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Whether the database answers, by a connection that no call can take away. Says what its clock shows where it has one of
    /// its own.
    pub async fn ping(&self) -> Result<Option<Timestamp>, Error> {
        let backend = self.pulse.get_database_backend();
        let Some(query) = dialect::words(backend)?.clock else {
            self.pulse.execute_unprepared("SELECT 1").await.map_err(outage)?;
            return Ok(None);
        };
        let row = self.pulse.query_one_raw(Statement::from_string(backend, query)).await.map_err(outage)?;
        let millis =
            row.context("the database takes no writes").context(Outage)?.try_get_by_index(0).map_err(outage)?;
        Ok(Some(Timestamp::from_millis(millis)))
    }

    /// The time that all processes go by: the database's, or the machine's where it has none of its own.
    pub async fn clock(&self, machine: Timestamp) -> Result<Timestamp, Error> {
        Ok(self.ping().await?.unwrap_or(machine))
    }

    /// Closes the connections.
    pub async fn close(self) -> anyhow::Result<()> {
        self.reader.inner.close().await?;
        self.writer.inner.close().await?;
        self.pulse.close().await?;
        Ok(())
    }
}

impl Tx {
    /// Makes everything in the transaction true at once.
    pub async fn commit(self) -> Result<(), Error> {
        self.inner.commit().await.map_err(outage)?;
        for (event, method, reason) in self.recorded.into_inner().unwrap_or_else(PoisonError::into_inner) {
            meters().event(event, method, reason);
        }
        if self.has_code_returned.into_inner() {
            meters().code_returned();
        }
        Ok(())
    }

    /// Takes everything in the transaction back.
    pub async fn roll_back(self) -> Result<(), Error> {
        self.inner.roll_back().await.map_err(outage)
    }
}

/// Wraps what the driver reports: as an outage when the database is out of reach or too busy, as contention when the transaction
/// may run again, else as a fault of ours.
fn outage(fault: DbErr) -> Error {
    let meaning = dialect::meaning(&fault);
    let fault = anyhow::Error::new(fault);
    Error::Broken(match meaning {
        Meaning::Outage => fault.context(Outage),
        Meaning::Contention => fault.context(Contention),
        Meaning::Fault => fault,
    })
}

/// What was opened; None = it does not open, and the ring has remembered that. An outage stays one: the value may be as it should be.
fn undamaged<T>(opened: Result<T, Error>) -> Result<Option<T>, Error> {
    match opened {
        Ok(value) => Ok(Some(value)),
        Err(Error::Broken(fault)) if fault.is::<Outage>() => Err(Error::Broken(fault)),
        Err(_) => Ok(None),
    }
}

/// Reads the answer of an insert whose key may be taken. On PostgreSQL a taken key ends the transaction: roll it back.
fn inserted(result: Result<u64, DbErr>) -> Result<Swap, Error> {
    match result {
        Ok(_) => Ok(Swap::Done),
        Err(fault) if matches!(fault.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => Ok(Swap::Stale),
        Err(fault) => Err(outage(fault)),
    }
}
