//! Everything that tells one database from another: how each is opened, what each calls the same thing, and which of its faults
//! mean what.

use std::{path::Path, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DbBackend, DbErr, RuntimeErr,
    sqlx::{
        self, Connection, Executor,
        mysql::{MySqlDatabaseError, MySqlPoolOptions},
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use super::watched::Doubt;
use crate::config::DatabaseAddress;

/// A call waits no longer for a connection.
const ACQUIRE: Duration = Duration::from_millis(1500);
/// A statement waits no longer for a lock; with SQLite, for the one writer.
const LOCK: Duration = Duration::from_secs(2);
/// A connection that nobody used for so long is asked whether it still lives.
const DOUBT: Duration = Duration::from_secs(1);
/// A connection that does not answer by then is given up.
const PING: Duration = Duration::from_secs(1);
/// Connections are renewed, so that they spread over new servers.
const AGE: Duration = Duration::from_secs(5 * 60);
/// Sooner than MySQL is told to end a connection that says nothing.
const IDLE: Duration = Duration::from_secs(20);
/// Whoever brings the schema up to date is waited for so long.
const SCHEMA_LOCK_SECONDS: u32 = 120;
/// The name of that lock, as PostgreSQL wants it: "counters" in ASCII.
const SCHEMA_LOCK: i64 = 0x636f_756e_7465_7273;

/// What a connection is for.
#[derive(Clone)]
pub(super) enum Use {
    /// To serve, by so many connections.
    Serve(u32, Arc<Doubt>),
    /// To look, and change nothing.
    Look,
    /// To bring the schema up to date, which may take a while.
    Migrate,
}

impl Use {
    /// Whether a connection that comes back is taken without a question: asking costs a round trip.
    fn trusts(&self) -> bool {
        match self {
            Self::Serve(_, doubt) => !doubt.is_on(),
            Self::Look | Self::Migrate => false,
        }
    }
}

/// How a database server is opened. (SQLite has a writer and readers.)
pub(super) fn server(address: &DatabaseAddress, purpose: Use) -> Option<ConnectOptions> {
    let url = match address {
        DatabaseAddress::Sqlite(_) => return None,
        DatabaseAddress::Postgres(url) | DatabaseAddress::Mysql(url) => url.expose(),
    };
    let mut options = ConnectOptions::new(url);
    let (least, most) = match purpose {
        Use::Serve(most, _) => (0, most),
        Use::Look | Use::Migrate => (1, 1),
    };
    let [of_postgres, of_mysql] = [purpose.clone(), purpose.clone()];
    let to_migrate = matches!(purpose, Use::Migrate);
    options
        .min_connections(least)
        .max_connections(most)
        .acquire_timeout(if to_migrate { Duration::from_secs(10) } else { ACQUIRE })
        .test_before_acquire_if_idle_for(DOUBT)
        .idle_timeout((!to_migrate).then_some(IDLE))
        .max_lifetime((!to_migrate).then_some(AGE))
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |postgres| tune_postgres(postgres, &purpose))
        .map_sqlx_postgres_pool_opts(move |pool: PgPoolOptions| {
            let purpose = of_postgres.clone();
            pool.after_release(move |connection, _| {
                let is_trusted = purpose.trusts();
                Box::pin(async move { Ok(is_trusted || answers(connection.ping()).await) })
            })
        })
        .map_sqlx_mysql_pool_opts(move |pool: MySqlPoolOptions| {
            let purpose = of_mysql.clone();
            pool.after_connect(|connection, _| Box::pin(tune_mysql(connection))).after_release(move |connection, _| {
                let is_trusted = purpose.trusts();
                Box::pin(async move { Ok(is_trusted || answers(connection.ping()).await) })
            })
        });
    Some(options)
}

/// A call that was given up in the middle of a statement leaves a connection that may never answer: it must not keep its place.
async fn answers(ping: impl Future<Output = Result<(), sqlx::Error>>) -> bool {
    tokio::time::timeout(PING, ping).await.is_ok_and(|answer| answer.is_ok())
}

fn tune_postgres(options: PgConnectOptions, purpose: &Use) -> PgConnectOptions {
    let seconds = |span: Duration| format!("{}s", span.as_secs());
    let options = options.application_name("countersign");
    match purpose {
        Use::Migrate => options.options([("lock_timeout", format!("{SCHEMA_LOCK_SECONDS}s"))]),
        // No statement of ours takes long, and a replica that has lost its power holds no lock for long.
        Use::Serve(..) | Use::Look => options.options([
            ("lock_timeout", seconds(LOCK)),
            ("statement_timeout", "4s".to_owned()),
            ("idle_in_transaction_session_timeout", "10s".to_owned()),
        ]),
    }
}

/// READ COMMITTED, as PostgreSQL has it: what a statement waited for, it sees; and MySQL then locks no gaps between rows.
async fn tune_mysql(connection: &mut sqlx::MySqlConnection) -> Result<(), sqlx::Error> {
    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
    connection.execute("SET SESSION innodb_lock_wait_timeout = 2").await?;
    // A replica that has lost its power in the middle of a transaction holds its locks no longer.
    connection.execute("SET SESSION wait_timeout = 30").await?;
    Ok(())
}

/// How a file is opened: with one connection to write, or several to read.
pub(super) fn file(
    path: &Path,
    connections: u32,
    tune: impl Fn(SqliteConnectOptions) -> SqliteConnectOptions + Send + Sync + 'static,
) -> ConnectOptions {
    let file = path.to_path_buf();
    let mut options = ConnectOptions::new("sqlite:");
    options
        .max_connections(connections)
        .acquire_timeout(LOCK)
        .test_before_acquire(false)
        .sqlx_logging(false)
        // Connections to a file do not go stale, and opening one costs more than keeping it.
        .idle_timeout(None)
        .max_lifetime(None)
        .map_sqlx_sqlite_opts(move |sqlx| tune(sqlx.filename(&file).busy_timeout(LOCK)));
    options
}

/// A file that is in use: nothing that was committed is lost with the power.
pub(super) fn durable(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
}

/// What each database calls the same thing.
pub(super) struct Words {
    /// Finds a table by its name, `$1` or `?`.
    pub(super) find_table: &'static str,
    /// The database's clock in milliseconds, no row where it takes no writes; None = it is this machine's.
    pub(super) clock: Option<&'static str>,
    /// Whether the bytes of the first expression hold those of the second.
    pub(super) holds: &'static str,
    /// Waits until nobody else changes the schema; lasts as long as the connection.
    pub(super) lock_schema: Option<String>,
}

/// What OpenTelemetry calls a database.
pub(super) fn name(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Sqlite => "sqlite",
        DbBackend::Postgres => "postgresql",
        DbBackend::MySql => "mysql",
        _ => "other_sql",
    }
}

pub(super) fn words(backend: DbBackend) -> anyhow::Result<Words> {
    Ok(match backend {
        DbBackend::Sqlite => Words {
            find_table: "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?",
            clock: None,
            holds: "instr(?, ?) > 0",
            lock_schema: None,
        },
        DbBackend::Postgres => Words {
            find_table: "SELECT table_name FROM information_schema.tables \
                         WHERE table_schema = current_schema() AND table_name = $1",
            clock: Some(
                "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint) WHERE NOT pg_is_in_recovery()",
            ),
            holds: "position($2 in $1) > 0",
            lock_schema: Some(format!("SELECT CAST(1 AS bigint) FROM pg_advisory_lock({SCHEMA_LOCK})")),
        },
        DbBackend::MySql => Words {
            find_table: "SELECT table_name FROM information_schema.tables \
                         WHERE table_schema = DATABASE() AND table_name = ?",
            clock: Some("SELECT CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) FROM DUAL WHERE @@global.read_only = 0"),
            holds: "instr(?, ?) > 0",
            // Names of locks are the server's, not the database's.
            lock_schema: Some(format!(
                "SELECT GET_LOCK(CONCAT('countersign.', LEFT(DATABASE(), 48)), {SCHEMA_LOCK_SECONDS})"
            )),
        },
        _ => anyhow::bail!("a database of no known kind"),
    })
}

/// What a fault means for whoever has asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The database is out of reach, or too busy.
    Outage,
    /// The transaction lost a deadlock or the like: it is undone as a whole, and may run again.
    Contention,
    /// A fault of ours.
    Fault,
}

/// Whether nobody has answered for so long that it was given up; None when it did not come to that.
pub(super) fn is_silence(fault: &DbErr) -> Option<bool> {
    let DbErr::Conn(RuntimeErr::SqlxError(cause)) = fault else {
        return None;
    };
    Some(matches!(cause.as_ref(), sqlx::Error::PoolTimedOut))
}

pub(super) fn meaning(fault: &DbErr) -> Meaning {
    let (DbErr::Conn(RuntimeErr::SqlxError(cause))
    | DbErr::Exec(RuntimeErr::SqlxError(cause))
    | DbErr::Query(RuntimeErr::SqlxError(cause))) = fault
    else {
        let is_unreached = matches!(fault, DbErr::Conn(_) | DbErr::ConnectionAcquire(_));
        return if is_unreached { Meaning::Outage } else { Meaning::Fault };
    };
    if let sqlx::Error::Database(told) = cause.as_ref() {
        return meaning_of_code(told.as_ref());
    }
    let is_unreached = matches!(
        cause.as_ref(),
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
    );
    if is_unreached { Meaning::Outage } else { Meaning::Fault }
}

fn meaning_of_code(told: &dyn sqlx::error::DatabaseError) -> Meaning {
    if let Some(mysql) = told.try_downcast_ref::<MySqlDatabaseError>() {
        return match mysql.number() {
            // Deadlock; a row that has changed since it was read (MariaDB).
            1213 | 1020 => Meaning::Contention,
            // Too many connections, shutting down, disk full, waited too long for a lock, read-only, killed.
            1040 | 1203 | 1053 | 1021 | 1205 | 1290 | 1836 | 1792 | 1317 | 1927 | 3024 | 1969 => Meaning::Outage,
            _ => Meaning::Fault,
        };
    }
    let code = told.code().unwrap_or_default();
    if let Ok(sqlite) = code.parse::<u32>()
        && code.len() != 5
    {
        // Busy, locked, I/O error, full, cannot open.
        return if matches!(sqlite & 0xff, 5 | 6 | 10 | 13 | 14) { Meaning::Outage } else { Meaning::Fault };
    }
    match (code.as_ref(), code.get(..2)) {
        // Serialization failure, deadlock.
        (_, Some("40")) => Meaning::Contention,
        // Connection, resources, an operator's stop or a time-out, the system; a server that takes no writes; a lock not had.
        ("25006" | "55P03", _) | (_, Some("08" | "53" | "57" | "58")) => Meaning::Outage,
        _ => Meaning::Fault,
    }
}
