//! What the machine can do without Countersign, on the same cores in the same run.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use countersign::{hash::Cost, model::UserId, wire::pb};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
    sqlx::{
        Executor,
        mysql::MySqlPoolOptions,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{
    clock::now,
    crowd::{ended, from},
    load::{Extent, Run, saturate},
    seed::random,
    servers::process::{Server, free_port, home},
    stack::{Client, Kind, Stack},
    verify_sql::{self, statement},
};

/// As many as a replica opens by default.
const CONNECTIONS: u32 = 16;
/// As many as a replica reads a file by.
const READERS: u32 = 4;
/// About what an access token has.
const TOKEN_BYTES: usize = 600;

/// Something that the machine can do without Countersign.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    Argon2,
    EmptyCall,
    Eddsa,
    KeyRead,
    Transaction,
    VerifyStatements,
    RedisScript,
}

impl Limit {
    pub const ALL: [Self; 7] = [
        Self::Argon2,
        Self::EmptyCall,
        Self::Eddsa,
        Self::KeyRead,
        Self::Transaction,
        Self::VerifyStatements,
        Self::RedisScript,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Argon2 => "raw Argon2id, 19 MiB, 2 passes",
            Self::EmptyCall => "empty gRPC call",
            Self::Eddsa => "EdDSA verification",
            Self::KeyRead => "read by primary key",
            Self::Transaction => "durable transaction of one row",
            Self::VerifyStatements => "the statements of a Verify by TOTP in a bare loop",
            Self::RedisScript => "Redis script",
        }
    }
}

/// What the limits are measured with.
pub struct Limits {
    reader: DatabaseConnection,
    writer: DatabaseConnection,
    users: Vec<UserId>,
    echo: (Server, Vec<Client>),
    redis_url: Option<String>,
    /// Rates per second that were seen.
    seen: Mutex<HashMap<Limit, Vec<f64>>>,
}

impl Limits {
    /// The users must have factors, and are of no use to others.
    pub async fn prepare(stack: &Stack, users: Vec<UserId>) -> Self {
        let (readers, writers) = match stack.kind {
            Kind::Sqlite => (READERS, 1),
            Kind::Postgres | Kind::Mariadb => (CONNECTIONS, CONNECTIONS),
        };
        Self {
            reader: open(stack, readers).await,
            writer: open(stack, writers).await,
            users,
            echo: echo().await,
            redis_url: stack.redis_url.clone(),
            seen: Mutex::default(),
        }
    }

    /// How often something can be done in a second; None = there is no such thing on this stack.
    pub async fn rate(&self, limit: Limit, seconds: f64) -> Option<f64> {
        let rate = match limit {
            Limit::Argon2 => argon2(seconds),
            Limit::EmptyCall => empty_call(&self.echo.1, seconds).await,
            Limit::Eddsa => eddsa(seconds),
            Limit::KeyRead => key_read(&self.reader, &self.users, seconds).await,
            Limit::Transaction => transaction(&self.writer, &self.users, seconds).await,
            Limit::VerifyStatements => verify_statements(&self.writer, &self.users, seconds).await,
            Limit::RedisScript => redis_script(self.redis_url.as_deref()?, seconds).await,
        };
        self.seen.lock().unwrap().entry(limit).or_default().push(rate);
        Some(rate)
    }

    /// How often these can be done one after the other: each takes its share of the machine.
    pub async fn rate_of_all(&self, limits: &[Limit], seconds: f64) -> f64 {
        let mut each = 0.0;
        for limit in limits {
            each += 1.0 / self.rate(*limit, seconds).await.unwrap();
        }
        1.0 / each
    }

    /// The mean of what was seen.
    pub fn seen(&self, limit: Limit) -> Option<f64> {
        let seen = self.seen.lock().unwrap();
        let rates = seen.get(&limit)?;
        Some(rates.iter().sum::<f64>() / rates.len() as f64)
    }
}

fn cores() -> usize {
    thread::available_parallelism().unwrap().get()
}

/// How often something is done on all cores together.
fn on_all_cores<W: FnMut()>(seconds: f64, worker: impl Fn() -> W + Sync) -> f64 {
    let done = AtomicUsize::new(0);
    let begun = now();
    thread::scope(|scope| {
        for _ in 0..cores() {
            scope.spawn(|| {
                let mut work = worker();
                while begun.elapsed().as_secs_f64() < seconds {
                    work();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner() as f64 / begun.elapsed().as_secs_f64()
}

fn argon2(seconds: f64) -> f64 {
    let cost = Cost::DEFAULT;
    let params = argon2::Params::new(cost.memory, cost.passes, 1, Some(32)).unwrap();
    on_all_cores(seconds, || {
        let mut memory = vec![argon2::Block::default(); params.block_count()];
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params.clone());
        move || argon2.hash_password_into_with_memory(b"a password", &[7; 16], &mut [0; 32], &mut memory).unwrap()
    })
}

fn eddsa(seconds: f64) -> f64 {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let message = vec![b'a'; TOKEN_BYTES];
    let signature = pair.sign(&message);
    let key = UnparsedPublicKey::new(&ED25519, pair.public_key());
    on_all_cores(seconds, || || key.verify(&message, signature.as_ref()).unwrap())
}

/// A server of its own that does nothing.
async fn echo() -> (Server, Vec<Client>) {
    let port = free_port();
    let program = std::env::current_exe().unwrap();
    let args = ["--echo".to_owned(), port.to_string()];
    let server = Server::start(&program, &args, None, &home("echo", None), port);
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::connect(server.port).await);
    }
    (server, clients)
}

/// It is called as replicas are.
async fn empty_call(clients: &[Client], seconds: f64) -> f64 {
    let (clients, token) = (clients.to_vec(), "a".repeat(TOKEN_BYTES));
    let run = saturate(32, forever(seconds), move |number| {
        let mut sessions = clients[number % clients.len()].sessions.clone();
        let request = pb::ValidateAccessTokenRequest { access_token: token.clone() };
        async move { ended(sessions.validate_access_token(from(request, 0)).await) }
    });
    whole(run.await)
}

/// A pool like that of a replica.
async fn open(stack: &Stack, connections: u32) -> DatabaseConnection {
    let mut options = ConnectOptions::new(&stack.database_url);
    options.max_connections(connections).test_before_acquire(false).sqlx_logging(false).map_sqlx_sqlite_opts(
        |sqlite| {
            let durable = sqlite.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            durable.busy_timeout(Duration::from_secs(2))
        },
    );
    options.map_sqlx_mysql_pool_opts(|pool: MySqlPoolOptions| {
        pool.after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
                Ok(())
            })
        })
    });
    Database::connect(options).await.unwrap()
}

async fn key_read(database: &DatabaseConnection, users: &[UserId], seconds: f64) -> f64 {
    let (database, users) = (database.clone(), Arc::new(users.to_vec()));
    let run = saturate(32, forever(seconds), move |number| {
        let (database, user) = (database.clone(), users[number % users.len()]);
        async move {
            let query = statement(&database, "SELECT * FROM users WHERE id = ?", [user.uuid().into()]);
            let row = database.query_one_raw(query).await.map_err(|fault| fault.to_string())?;
            row.map(drop).ok_or("no such user".to_owned())
        }
    });
    whole(run.await)
}

/// One row, one commit.
async fn transaction(database: &DatabaseConnection, users: &[UserId], seconds: f64) -> f64 {
    let (database, users) = (database.clone(), Arc::new(users.to_vec()));
    let run = saturate(16, forever(seconds), move |number| {
        let (database, user) = (database.clone(), users[number % users.len()]);
        async move {
            let done = async {
                let options = TransactionOptions {
                    sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                    ..TransactionOptions::default()
                };
                let tx = database.begin_with_options(options).await?;
                let sql = "UPDATE users SET create_time = create_time + 1 WHERE id = ?";
                tx.execute_raw(statement(&tx, sql, [user.uuid().into()])).await?;
                tx.commit().await
            };
            done.await.map_err(|fault: sea_orm::DbErr| fault.to_string())
        }
    });
    whole(run.await)
}

async fn verify_statements(database: &DatabaseConnection, users: &[UserId], seconds: f64) -> f64 {
    let (database, users) = (database.clone(), Arc::new(users.to_vec()));
    let run = saturate(32, forever(seconds), move |number| {
        let (database, user) = (database.clone(), users[number % users.len()]);
        async move { verify_sql::once(&database, user).await }
    });
    whole(run.await)
}

/// A script that changes one entry, as each step of a challenge does.
async fn redis_script(url: &str, seconds: f64) -> f64 {
    let client = redis::Client::open(url).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let script = Arc::new(redis::Script::new(
        "local n = redis.call('HINCRBY', KEYS[1], 'n', 1) redis.call('PEXPIRE', KEYS[1], 60000) return n",
    ));
    let keys: Arc<Vec<String>> = Arc::new((0..64).map(|_| format!("speed:{:02x?}", random::<8>())).collect());
    let run = saturate(64, forever(seconds), move |number| {
        let (mut connection, script, keys) = (connection.clone(), Arc::clone(&script), Arc::clone(&keys));
        async move {
            let answer = script.key(&keys[number % keys.len()]).invoke_async::<u64>(&mut connection).await;
            answer.map(drop).map_err(|fault| fault.to_string())
        }
    });
    whole(run.await)
}

fn forever(seconds: f64) -> Extent {
    Extent { seconds, calls: usize::MAX }
}

/// The rate of a run in which nothing went wrong.
fn whole(run: Run) -> f64 {
    assert!(run.faults.is_empty() && run.done > 0, "{:?}", run.faults);
    run.rate()
}
