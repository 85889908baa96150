//! The statements of a Verify by TOTP, alone: what the database asks for it, with nothing of Countersign around them.

use countersign::{
    clock::Timestamp,
    model::{AuditEventId, SessionId, UserId},
};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode, Statement,
    TransactionOptions, TransactionTrait, Value,
};

use crate::{clock::unix_millis, load::Answer, seed::random};

/// One transaction as Verify makes it.
pub async fn once(database: &DatabaseConnection, user: UserId) -> Answer {
    transaction(database, user).await.map_err(|fault| fault.to_string())
}

async fn transaction(database: &DatabaseConnection, user: UserId) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let tx = database.begin_with_options(options).await?;
    let now = unix_millis();
    let (session, event) =
        (SessionId::new(Timestamp::from_millis(now)), AuditEventId::new(Timestamp::from_millis(now)));
    let (id, key): (Value, Value) = (user.uuid().into(), "totp".into());
    let challenge: Value = random::<32>().to_vec().into();
    // A ladder as long as the real one.
    let rungs = RUNGS.into_iter().flat_map(|failures| [failures.into(), Value::from(now + 30_000)]);
    let pay = [0_i64.into(), id.clone(), key.clone(), now.into(), challenge.clone()];
    run(&tx, &format!("{PAY_BEGINS}{}{PAY_ENDS}", RUNG.repeat(RUNGS.len())), rungs.chain(pay)).await?;
    let lock = if tx.get_database_backend() == DbBackend::Sqlite { "" } else { " FOR UPDATE" };
    let found = tx.query_all_raw(statement(&tx, &format!("{FACTORS}{lock}"), [id.clone()])).await?;
    let factor: uuid::Uuid = found[0].try_get("", "factor_id")?;
    run(&tx, SPEND, [now.into(), now.into(), factor.into(), now.into()]).await?;
    run(&tx, SPEND_CHALLENGE, [challenge, (now + 360_000).into()]).await?;
    run(&tx, CLEAR, [0_i64.into(), 0_i64.into(), id.clone(), key]).await?;
    let (source, agent): (Value, Value) = ("10.1.2.3".into(), b"tonic/0.14".to_vec().into());
    let hash = || Value::from(random::<32>().to_vec());
    let times = [now + 604_800_000, now + 2_592_000_000].map(Value::from);
    let [idle_end_time, end_time] = times;
    let new = [session.uuid().into(), id.clone(), now.into(), "pwd otp mfa".into(), 2_i16.into(), now.into()];
    let rest = [idle_end_time, end_time, hash(), hash(), source.clone(), agent.clone()];
    run(&tx, SESSION, new.into_iter().chain(rest)).await?;
    let told = [event.uuid().into(), now.into(), "login_success".into(), id, session.uuid().into(), "totp".into()];
    run(&tx, AUDIT, told.into_iter().chain([source, agent, session.to_string().into()])).await?;
    tx.commit().await
}

const RUNGS: [i64; 8] = [99, 10, 9, 8, 7, 6, 5, 4];
const PAY_BEGINS: &str = "UPDATE factor_failures SET locked_until = CASE";
const RUNG: &str = " WHEN failures >= ? THEN ?";
const PAY_ENDS: &str = " ELSE ? END, failures = failures + 1 WHERE user_id = ? AND failure_key = ? AND locked_until <= ? \
    AND NOT EXISTS (SELECT 1 FROM spent_challenges WHERE challenge_hash = ?)";
const FACTORS: &str = "SELECT users.id, email_typed, email_canonical, role, blocked, security_version, password_hash, \
    users.create_time, factors.id AS factor_id, factors.user_id, method, label, data, handle, spent, version, \
    factors.create_time AS factor_create_time, last_use_time \
    FROM users INNER JOIN factors ON users.id = factors.user_id WHERE users.id = ? ORDER BY factors.id";
const SPEND: &str = "UPDATE factors SET spent = ?, last_use_time = ? WHERE id = ? AND spent < ?";
const SPEND_CHALLENGE: &str = "INSERT INTO spent_challenges (challenge_hash, end_time) VALUES (?, ?)";
const CLEAR: &str = "UPDATE factor_failures SET locked_until = ?, failures = ? WHERE user_id = ? AND failure_key = ?";
const SESSION: &str = "INSERT INTO sessions (id, user_id, auth_time, amr, factor_count, create_time, idle_end_time, \
    end_time, refresh_family, refresh_hash, source, user_agent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const AUDIT: &str = "INSERT INTO audit_events (id, create_time, kind, subject_id, session_id, method, source, user_agent, \
    request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";

async fn run(tx: &DatabaseTransaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<(), DbErr> {
    let done = tx.execute_raw(statement(tx, sql, values)).await?;
    assert!(done.rows_affected() > 0, "{sql}");
    Ok(())
}

/// A statement with `?` for its values, as this database wants it.
pub fn statement(connection: &impl ConnectionTrait, sql: &str, values: impl IntoIterator<Item = Value>) -> Statement {
    let backend = connection.get_database_backend();
    if backend != DbBackend::Postgres {
        return Statement::from_sql_and_values(backend, sql, values);
    }
    let mut numbered = String::with_capacity(sql.len() + 16);
    for (number, part) in sql.split('?').enumerate() {
        if number > 0 {
            numbered += &format!("${number}");
        }
        numbered += part;
    }
    Statement::from_sql_and_values(backend, numbered, values)
}
