//! Fills a database with users, many rows at a time. Ten in a row are one of each part that [`Part`] names.

use std::{ops::Range, sync::Arc};

use aws_lc_rs::rand;
use countersign::{
    app::{self, Schema},
    clock::Timestamp,
    config::{Config, Layers},
    hash::{Cost, Hasher, Queue},
    model::{FactorId, FailureKey, Method, UserId},
    seal::{KeyRing, Place},
    secret::Secret,
};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, TransactionTrait, Value,
    sea_query::{Alias, Expr, Query},
};

use crate::{clock::unix_millis, stack::Stack};

pub const PASSWORD: &str = "correct horse battery staple";
/// The secret of every authenticator, so that a code is made once for all.
pub const TOTP_SECRET: &[u8; 20] = b"a secret of no users";
/// The backup codes of every user.
pub const BACKUP_CODES: [&str; 10] = [
    "AAAA2222", "AAAA3333", "AAAA4444", "AAAA5555", "AAAA6666", "AAAA7777", "AAAA8888", "AAAA9999", "BBBB2222",
    "BBBB3333",
];
/// Rows of one statement: what every database takes at once.
const ROWS: u32 = 400;

/// What a user is there for. A weak hash costs next to nothing: by it challenges and sessions are made in great numbers, before
/// the clock runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Signs in by password alone.
    Plain,
    /// The same by a weak hash.
    PlainWeak,
    /// Signs in with a code.
    Enrolled,
    /// The same by a weak hash.
    EnrolledWeak,
}

impl Part {
    pub const EACH: u32 = 10;

    /// The places among ten.
    pub fn places(self) -> Range<u32> {
        match self {
            Self::Plain => 0..1,
            Self::PlainWeak => 1..3,
            Self::Enrolled => 3..4,
            Self::EnrolledWeak => 4..10,
        }
    }

    fn has_weak_hash(self) -> bool {
        matches!(self, Self::PlainWeak | Self::EnrolledWeak)
    }

    fn has_factors(self) -> bool {
        matches!(self, Self::Enrolled | Self::EnrolledWeak)
    }

    fn of(number: u32) -> Self {
        let place = number % Self::EACH;
        let all = [Self::Plain, Self::PlainWeak, Self::Enrolled, Self::EnrolledWeak];
        all.into_iter().find(|part| part.places().contains(&place)).unwrap()
    }
}

/// The address of a user.
pub fn email(number: u32) -> String {
    format!("user{number}@example.com")
}

/// What all users have in common.
struct Common {
    ring: Arc<KeyRing>,
    hash: Secret<String>,
    weak_hash: Secret<String>,
    totp: Vec<u8>,
    backup_codes: Vec<u8>,
}

impl Common {
    async fn make(stack: &Stack) -> Self {
        let sets = [
            format!("database.url={}", stack.database_url),
            "redis.url=embedded".to_owned(),
            format!("keys.ring_file={}", stack.ring_file().display()),
        ];
        let config = Config::read(Layers::load(None, &sets)).unwrap();
        let now = Timestamp::from_millis(unix_millis());
        let (store, ring) = app::open_store(&config, Schema::AsConfigured, now).await.unwrap();
        store.close().await.unwrap();
        let hasher = Hasher::start(1).unwrap();
        let weak = Hasher::with_cost(1, Cost { memory: 8, passes: 1 }).unwrap();
        let password = || Secret::new(PASSWORD.to_owned());
        let salt = [7; 16];
        let codes = BACKUP_CODES.map(|code| Secret::new(code.to_owned())).into();
        let digests = hasher.digests(Queue::SignIn, codes, salt).await.unwrap();
        Self {
            ring,
            hash: hasher.hash(Queue::SignIn, password()).await.unwrap(),
            weak_hash: weak.hash(Queue::SignIn, password()).await.unwrap(),
            totp: [&[1, 6], &TOTP_SECRET[..]].concat(),
            backup_codes: [&[1, 8], &salt[..], &digests.concat()].concat(),
        }
    }

    fn seal(&self, table: &'static str, column: &'static str, user: UserId, row: &[u8; 16], plain: &[u8]) -> Value {
        self.ring.seal(Place { table, column, user: user.bytes(), row }, plain).unwrap().into()
    }
}

/// Adds so many users, and some more with factors that take no part; answers the ids of those.
pub async fn users(stack: &Stack, count: u32) -> Vec<UserId> {
    let common = Common::make(stack).await;
    let options = ConnectOptions::new(&stack.database_url).max_connections(1).sqlx_logging(false).to_owned();
    let database = Database::connect(options).await.unwrap();
    let mut first = 0;
    while first < count {
        let end = count.min(first + ROWS);
        batch(&database, &common, first..end).await;
        first = end;
    }
    let spare = batch(&database, &common, count..count + ROWS).await;
    database.close().await.unwrap();
    spare
}

async fn batch(database: &DatabaseConnection, common: &Common, numbers: Range<u32>) -> Vec<UserId> {
    let now = unix_millis();
    let (mut users, mut factors, mut failures, mut enrolled) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for number in numbers {
        let part = Part::of(number);
        let user = UserId::new(Timestamp::from_millis(now));
        users.push(user_row(common, user, number, part, now));
        if part.has_factors() {
            enrolled.push(user);
            for (method, data) in [(Method::Totp, &common.totp), (Method::BackupCode, &common.backup_codes)] {
                factors.push(factor_row(common, user, method, data, now));
                let key = FailureKey::Method(method).as_str();
                failures.push(vec![user.uuid().into(), key.into(), 0_i64.into(), 0_i64.into()]);
            }
        }
    }
    let user_columns =
        ["id", "email_typed", "email_canonical", "role", "blocked", "security_version", "password_hash", "create_time"];
    let factor_columns = ["id", "user_id", "method", "label", "data", "spent", "version", "create_time"];
    let tx = database.begin().await.unwrap();
    insert(&tx, "users", &user_columns, users).await;
    insert(&tx, "factors", &factor_columns, factors).await;
    insert(&tx, "factor_failures", &["user_id", "failure_key", "failures", "locked_until"], failures).await;
    tx.commit().await.unwrap();
    enrolled
}

fn user_row(common: &Common, user: UserId, number: u32, part: Part, now: i64) -> Vec<Value> {
    let email = email(number).into_bytes();
    let hash = if part.has_weak_hash() { &common.weak_hash } else { &common.hash };
    let sealed = common.seal("users", "password_hash", user, user.bytes(), hash.expose().as_bytes());
    let id = user.uuid().into();
    vec![id, email.clone().into(), email.into(), "user".into(), false.into(), 1_i64.into(), sealed, now.into()]
}

fn factor_row(common: &Common, user: UserId, method: Method, data: &[u8], now: i64) -> Vec<Value> {
    let factor = FactorId::new(Timestamp::from_millis(now));
    let sealed = common.seal("factors", "data", user, factor.bytes(), data);
    let label = b"phone".to_vec();
    vec![
        factor.uuid().into(),
        user.uuid().into(),
        method.as_str().into(),
        label.into(),
        sealed,
        0_i64.into(),
        1_i64.into(),
        now.into(),
    ]
}

async fn insert(tx: &impl ConnectionTrait, table: &'static str, columns: &[&'static str], rows: Vec<Vec<Value>>) {
    if rows.is_empty() {
        return;
    }
    let mut query = Query::insert();
    query.into_table(Alias::new(table)).columns(columns.iter().map(|column| Alias::new(*column)));
    for row in rows {
        query.values_panic(row.into_iter().map(Expr::val));
    }
    tx.execute(&query).await.unwrap();
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).unwrap();
    bytes
}
