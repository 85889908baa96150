//! What the service stands on in these stories, and what they are told over. `TEST_STACK` chooses: `sqlite` with the embedded store
//! (the default), `postgres` or `mariadb`, both with Redis; `TEST_WIRE`: `grpc` (the default) or `rest`.

use std::{
    fs,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use countersign::{
    app::{Schema, open_store, write_ring},
    config::{Config, Layers},
    flow::{self, Call, NewUser},
    hash::Hasher,
    model::{Email, Origin, Role},
    seal::RootRing,
    secret::Secret,
};
use tempfile::TempDir;

use crate::{
    servers::{redis, sql::Sql},
    world::{ADMIN, ALICE, BOB, CHEAP, NOW, PASSWORD},
};

/// A stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stack {
    Sqlite,
    Postgres,
    Mariadb,
}

impl Stack {
    pub fn chosen() -> Self {
        #[allow(clippy::disallowed_methods, reason = "whoever runs the suite chooses its stack")]
        let chosen = std::env::var("TEST_STACK");
        match chosen.as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok("mariadb") => Self::Mariadb,
            Ok(other) => panic!("TEST_STACK = {other}: sqlite, postgres or mariadb"),
        }
    }

    fn server(self) -> Option<&'static Sql> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(Sql::shared_postgres()),
            Self::Mariadb => Some(Sql::shared_mariadb()),
        }
    }
}

/// Whether the stories are told over REST.
pub fn speaks_rest() -> bool {
    #[allow(clippy::disallowed_methods, reason = "whoever runs the suite chooses its wire")]
    let chosen = std::env::var("TEST_WIRE");
    match chosen.as_deref() {
        Err(_) | Ok("" | "grpc") => false,
        Ok("rest") => true,
        Ok(other) => panic!("TEST_WIRE = {other}: grpc or rest"),
    }
}

/// A place of a test's own with the accounts: a data directory, and what the configuration has to say about the stores.
pub fn new_place() -> (TempDir, Vec<String>) {
    let template = template();
    let home = tempfile::tempdir().unwrap();
    copy(template.home.path(), home.path());
    let sets = match (Stack::chosen().server(), &template.database) {
        (Some(sql), Some(database)) => {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let copy = format!("world_{number}");
            sql.copy_database(database, &copy);
            vec![
                format!("database.url={}", sql.url(&copy)),
                "database.max_connections=8".to_owned(),
                format!("redis.url={}", redis::url(redis::shared())),
                format!("redis.key_prefix=world-{number}:"),
            ]
        }
        (_, _) => Vec::new(),
    };
    (home, sets)
}

pub fn config(home: &Path, sets: &[String]) -> Config {
    let own = [
        "grpc.listen=127.0.0.1:0".to_owned(),
        "http.listen=127.0.0.1:0".to_owned(),
        format!("data_dir={}", home.join("data").display()),
        // Most stories are wrong more often than one source may be.
        "limits.source_failures=0".to_owned(),
    ];
    Config::read(Layers::load(None, &[&own, sets].concat())).unwrap()
}

struct Template {
    home: TempDir,
    database: Option<String>,
}

/// A data directory with the accounts, and on a server a database with them, made once for all tests of the process.
fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let home = tempfile::tempdir().unwrap();
        let url = Stack::chosen().server().map(Sql::new_database);
        let sets: Vec<_> = match &url {
            Some(url) => vec![format!("database.url={url}"), "redis.url=embedded".to_owned()],
            None => Vec::new(),
        };
        let config = config(home.path(), &sets);
        // A runtime of its own: tests each have theirs, and this outlives them.
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(add_accounts(&config));
        });
        made.join().unwrap();
        let database = url.and_then(|url| url.rsplit('/').next().map(str::to_owned));
        Template { home, database }
    })
}

async fn add_accounts(config: &Config) {
    if Stack::chosen() != Stack::Sqlite {
        write_ring(&config.keys, &RootRing::generate(NOW).unwrap()).unwrap();
    }
    let (store, _) = open_store(config, Schema::AsConfigured, NOW).await.unwrap();
    let hasher = Hasher::with_cost(2, CHEAP).unwrap();
    let call = Call { now: NOW, origin: Origin::command_line() };
    let password = Secret::new(PASSWORD.to_owned());
    for (email, role) in [(ALICE, Role::User), (BOB, Role::User), (ADMIN, Role::Admin)] {
        let email = Email::parse(email).unwrap();
        let new = NewUser { service: "Countersign", email, password: &password, role, phone: None, notice_email: None };
        flow::add_user(&store, &hasher, new, &call).await.unwrap();
    }
    store.close().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to.join("data")).unwrap();
    for entry in fs::read_dir(from.join("data")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("data").join(entry.file_name())).unwrap();
    }
}
