//! What the machine can do without Countersign, on the same cores in the same run.

use std::{
    path::Path,
    sync::{
        Arc,
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
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
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

/// Rates per second.
pub struct Limits {
    pub argon2: f64,
    pub empty_call: f64,
    pub eddsa: f64,
    pub key_read: f64,
    pub transaction: f64,
    pub verify_statements: f64,
    pub redis_script: Option<f64>,
}

impl Limits {
    /// Measures all. The users must have factors, and are of no use afterwards.
    pub async fn measure(stack: &Stack, users: &[UserId], seconds: f64) -> Self {
        let redis_script = match &stack.redis_url {
            Some(url) => Some(redis_script(url, seconds).await),
            None => None,
        };
        let (readers, writers) = match stack.kind {
            Kind::Sqlite => (READERS, 1),
            Kind::Postgres | Kind::Mariadb => (CONNECTIONS, CONNECTIONS),
        };
        let reader = open(stack, readers).await;
        let writer = open(stack, writers).await;
        let limits = Self {
            argon2: argon2(seconds),
            empty_call: empty_call(seconds).await,
            eddsa: eddsa(seconds),
            key_read: key_read(&reader, users, seconds).await,
            transaction: transaction(&writer, users, seconds).await,
            verify_statements: verify_statements(&writer, users, seconds).await,
            redis_script,
        };
        reader.close().await.unwrap();
        writer.close().await.unwrap();
        limits
    }

    /// Each of a call, a check of a signature and a read, one after the other: the least that a validation is made of.
    pub fn validation(&self) -> f64 {
        1.0 / (1.0 / self.empty_call + 1.0 / self.eddsa + 1.0 / self.key_read)
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

/// A server of its own that does nothing, called as replicas are.
async fn empty_call(seconds: f64) -> f64 {
    let port = free_port();
    let program = std::env::current_exe().unwrap();
    let args = ["--echo".to_owned(), port.to_string()];
    let server = Server::start(Path::new(&program), &args, None, &home("echo", None), port);
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::connect(server.port).await);
    }
    let token = "a".repeat(TOKEN_BYTES);
    let run = saturate(64, forever(seconds), move |number| {
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
