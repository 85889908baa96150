//! Opens the database: to look at it, to bring its schema up to date, and to serve.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, anyhow, ensure};
use migrations::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement, sqlx::sqlite::SqliteConnectOptions,
};

use super::{
    SchemaStatus,
    dialect::{self, Use, words},
    watched::{Doubt, Watched},
};
use crate::{config::DatabaseAddress, file};

const READERS: u32 = 4;

/// An open database.
pub struct Home {
    pub(super) reader: Watched<DatabaseConnection>,
    pub(super) writer: Watched<DatabaseConnection>,
    /// A connection that no call can take away: health is asked by it.
    pub(super) pulse: DatabaseConnection,
    pub(super) statements: Arc<AtomicU64>,
}

/// A look at a database that changes nothing, for as long as it is not known whether the key ring fits it.
pub struct Look(pub(super) DatabaseConnection);

/// The schema, in one process's hands: others wait until it is dropped.
pub struct Schema(DatabaseConnection);

impl Home {
    /// Opens the database for a service, with at most so many connections to a server.
    pub async fn open(address: &DatabaseAddress, max_connections: u32) -> anyhow::Result<Self> {
        let doubt = Arc::new(Doubt::none());
        let (mut reader, mut writer, pulse) = match address {
            DatabaseAddress::Sqlite(path) => {
                let read = |sqlx: SqliteConnectOptions| dialect::durable(sqlx).pragma("query_only", "ON");
                let reader = connect(address, dialect::file(path, READERS, read)).await?;
                let writer = connect(address, dialect::file(path, 1, dialect::durable)).await?;
                (reader, writer, connect(address, dialect::file(path, 1, read)).await?)
            }
            DatabaseAddress::Postgres(_) | DatabaseAddress::Mysql(_) => {
                let pool = open_server(address, Use::Serve(max_connections, Arc::clone(&doubt))).await?;
                (pool.clone(), pool, open_server(address, Use::Look).await?)
            }
        };
        let statements = Arc::new(AtomicU64::new(0));
        for connection in [&mut writer, &mut reader] {
            let statements = Arc::clone(&statements);
            connection.set_metric_callback(move |_| {
                statements.fetch_add(1, Ordering::Relaxed);
            });
        }
        let [reader, writer] = [reader, writer].map(|inner| Watched { inner, doubt: Arc::clone(&doubt) });
        Ok(Self { reader, writer, pulse, statements })
    }
}

impl Schema {
    /// Takes the schema of the database, which is made where it is a file that is not there.
    pub async fn take(address: &DatabaseAddress) -> anyhow::Result<Self> {
        let connection = match address {
            DatabaseAddress::Sqlite(path) => {
                make_file(path)?;
                connect(address, dialect::file(path, 1, dialect::durable)).await?
            }
            DatabaseAddress::Postgres(_) | DatabaseAddress::Mysql(_) => open_server(address, Use::Migrate).await?,
        };
        if let Some(lock) = words(connection.get_database_backend())?.lock_schema {
            let query = Statement::from_string(connection.get_database_backend(), lock);
            let answer = connection.query_one_raw(query).await.context("the schema cannot be locked")?;
            // MySQL answers 0 when it has waited in vain; PostgreSQL fails then.
            let taken = answer.map(|row| row.try_get_by_index::<i64>(0));
            ensure!(
                matches!(taken, Some(Ok(1))),
                "another process has been changing the schema for too long; try again"
            );
        }
        Ok(Self(connection))
    }

    /// What is there now.
    pub fn look(&self) -> Look {
        Look(self.0.clone())
    }

    /// Brings the schema up to this release. A schema that a later release has already changed stays as it is.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        if self.look().schema_status().await?.pending.is_empty() {
            return Ok(());
        }
        // Boxed: what a migration awaits is deep, and the compiler has a limit to that.
        Box::pin(Migrator::up(&self.0, None))
            .await
            .context("a migration failed; what it had not finished is done at the next start")
    }

    /// Lets others at it.
    pub async fn release(self) -> anyhow::Result<()> {
        Ok(self.0.close().await?)
    }
}

impl Look {
    /// Looks at the database; None when it is a file that is not there.
    pub async fn at(address: &DatabaseAddress) -> anyhow::Result<Option<Self>> {
        let connection = match address {
            DatabaseAddress::Sqlite(path) if !path.exists() => return Ok(None),
            DatabaseAddress::Sqlite(path) => {
                file::check_private(path)?;
                // Without a write-ahead log nobody is writing, and SQLite need not even make its side files.
                let mut log = path.as_os_str().to_owned();
                log.push("-wal");
                let is_still = !Path::new(&log).exists();
                let options = dialect::file(path, 1, move |sqlx| sqlx.read_only(true).immutable(is_still));
                connect(address, options).await?
            }
            DatabaseAddress::Postgres(_) | DatabaseAddress::Mysql(_) => open_server(address, Use::Look).await?,
        };
        Ok(Some(Self(connection)))
    }

    /// Stops looking.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.0.close().await?)
    }

    /// Which migrations are in the database.
    pub async fn schema_status(&self) -> anyhow::Result<SchemaStatus> {
        let table = Migrator::migration_table_name().to_string();
        let known = if self.has_table(&table).await? {
            self.texts(format!("SELECT version FROM {table}")).await?
        } else {
            Vec::new()
        };
        let names = Migrator::get_migration_files().into_iter().map(|migration| migration.name().to_owned());
        let (applied, pending) = names.partition(|name| known.contains(name));
        Ok(SchemaStatus { applied, pending })
    }

    pub(super) async fn has_table(&self, name: &str) -> anyhow::Result<bool> {
        let backend = self.0.get_database_backend();
        let query = Statement::from_sql_and_values(backend, words(backend)?.find_table, [name.into()]);
        Ok(self.0.query_one_raw(query).await?.is_some())
    }

    async fn texts(&self, query: String) -> anyhow::Result<Vec<String>> {
        let rows = self.0.query_all_raw(Statement::from_string(self.0.get_database_backend(), query)).await?;
        Ok(rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?)
    }
}

/// Makes the file of a database, for its owner alone.
fn make_file(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            file::make_private_dir(parent)?;
        }
        // SQLite gives its side files the mode of this one.
        file::create_private(path, b"")?;
    }
    file::check_private(path)
}

async fn open_server(address: &DatabaseAddress, purpose: Use) -> anyhow::Result<DatabaseConnection> {
    let options = dialect::server(address, purpose).context("a file where a database server was expected")?;
    connect(address, options).await
}

async fn connect(address: &DatabaseAddress, options: ConnectOptions) -> anyhow::Result<DatabaseConnection> {
    // Told by its words alone: its causes repeat them.
    let opened = Box::pin(Database::connect(options)).await.map_err(|fault| {
        match dialect::is_silence(&fault) {
            Some(true) => anyhow!("nobody answers there"),
            Some(false) => anyhow!("{fault}"),
            // Words that are not the server's may quote the URL.
            None => anyhow!("the URL cannot be used"),
        }
    });
    opened.with_context(|| match address {
        DatabaseAddress::Sqlite(path) => format!("cannot open the database {}", path.display()),
        DatabaseAddress::Postgres(_) | DatabaseAddress::Mysql(_) => {
            "cannot open the database server of database.url; remedy: see that it runs, that the database is made, and that user \
             and password are right"
                .to_owned()
        }
    })
}
