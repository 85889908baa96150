//! Connections whose statements are watched: one that is given up before it is answered, as at the deadline of a call, may leave
//! a connection that never answers again. For a while nothing that comes back to the pool is trusted then.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    TransactionOptions, TransactionTrait,
};
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::dialect;
use crate::telemetry::{self, Operation, StoreKind};

/// A connection is back in the pool, or asked, long before.
const MEMORY: Duration = Duration::from_secs(10);

/// Whether a statement was given up of late.
pub(super) struct Doubt {
    memory: Duration,
    begun: Instant,
    /// Milliseconds from `begun` on.
    ends: AtomicU64,
}

/// What statements are run by.
#[derive(Clone)]
pub(super) struct Watched<C> {
    pub(super) inner: C,
    pub(super) doubt: Arc<Doubt>,
}

/// A statement under way.
struct UnderWay<'a>(&'a Doubt);

impl Doubt {
    /// None yet.
    pub(super) fn none() -> Self {
        Self::lasting(MEMORY)
    }

    fn lasting(memory: Duration) -> Self {
        Self { memory, begun: Instant::now(), ends: AtomicU64::new(0) }
    }

    /// Whether a connection that comes back must show that it still answers.
    pub(super) fn is_on(&self) -> bool {
        self.millis() < self.ends.load(Ordering::Acquire)
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn watch<T>(&self, statement: impl Future<Output = T>) -> T {
        let statement = pin!(statement);
        // Declared after the statement and so dropped before it: doubt comes first, then the connection goes back.
        let under_way = UnderWay(self);
        let answer = statement.await;
        std::mem::forget(under_way);
        answer
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let memory = u64::try_from(self.0.memory.as_millis()).unwrap_or(u64::MAX);
        self.0.ends.fetch_max(self.0.millis().saturating_add(memory), Ordering::Release);
    }
}

/// A statement that is about to be run: measured and traced, and never with a value.
struct Step {
    system: &'static str,
    operation: &'static str,
    span: Span,
}

impl Step {
    fn of(connection: &impl ConnectionTrait, sql: &str) -> Self {
        let (system, operation) = (dialect::name(connection.get_database_backend()), operation(sql));
        Self { system, operation, span: telemetry::statement(system, operation, || summary(operation, sql)) }
    }

    async fn run<T>(self, doubt: &Doubt, statement: impl Future<Output = Result<T, DbErr>>) -> Result<T, DbErr> {
        let Self { system, operation, span } = self;
        let under_way = Operation::begin(StoreKind::Database(system), operation);
        let answer = doubt.watch(statement.instrument(span.clone())).await;
        if answer.is_err() {
            span.record("otel.status_code", "ERROR");
        }
        under_way.end(answer.is_ok());
        answer
    }
}

/// The verb that a statement begins with.
fn operation(sql: &str) -> &'static str {
    let verb = sql.split_whitespace().next().unwrap_or_default();
    let known = ["SELECT", "INSERT", "UPDATE", "DELETE", "BEGIN", "COMMIT", "ROLLBACK"];
    known.into_iter().find(|known| verb.eq_ignore_ascii_case(known)).unwrap_or("OTHER")
}

/// The verb and the table, as far as it stands where it is looked for.
fn summary(operation: &'static str, sql: &str) -> String {
    let before = match operation {
        "SELECT" | "DELETE" => "FROM",
        "INSERT" => "INTO",
        "UPDATE" => "UPDATE",
        _ => return operation.to_owned(),
    };
    let mut words = sql.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case(before)).skip(1);
    let table = words.next().unwrap_or_default().trim_matches(|c: char| !c.is_ascii_alphanumeric());
    format!("{operation} {table}").trim_end().to_owned()
}

impl Watched<DatabaseConnection> {
    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<Watched<DatabaseTransaction>, DbErr> {
        let step = Step::of(&self.inner, "BEGIN");
        let inner = step.run(&self.doubt, self.inner.begin_with_options(options)).await?;
        Ok(Watched { inner, doubt: Arc::clone(&self.doubt) })
    }
}

impl Watched<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        Step::of(&self.inner, "COMMIT").run(&self.doubt, self.inner.commit()).await
    }

    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        Step::of(&self.inner, "ROLLBACK").run(&self.doubt, self.inner.rollback()).await
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Watched<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        Step::of(&self.inner, &statement.sql).run(&self.doubt, self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        Step::of(&self.inner, sql).run(&self.doubt, self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Step::of(&self.inner, &statement.sql).run(&self.doubt, self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        Step::of(&self.inner, &statement.sql).run(&self.doubt, self.inner.query_all_raw(statement)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn given_up(memory: Duration) -> Doubt {
        let doubt = Doubt::lasting(memory);
        assert_eq!(doubt.watch(async { 7 }).await, 7);
        assert!(!doubt.is_on(), "it was answered");
        let silent = doubt.watch(std::future::pending::<()>());
        assert!(tokio::time::timeout(Duration::from_millis(1), silent).await.is_err());
        doubt
    }

    #[test]
    fn a_statement_is_told_by_its_verb_and_its_table_alone() {
        let told = |sql: &str| summary(operation(sql), sql);
        assert_eq!(told("SELECT `users`.`id` FROM `users` WHERE `email` = 'a'"), "SELECT users");
        assert_eq!(told(r#"INSERT INTO "sessions" ("id") VALUES ($1)"#), "INSERT sessions");
        assert_eq!(told(r#"UPDATE "factors" SET "spent" = $1"#), "UPDATE factors");
        assert_eq!(told("DELETE FROM `users`"), "DELETE users");
        assert_eq!([told("SELECT 1"), told("PRAGMA x"), told("")], ["SELECT", "OTHER", "OTHER"]);
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_a_doubt_that_ends() {
        assert!(given_up(MEMORY).await.is_on());
        let short = given_up(Duration::from_millis(5)).await;
        let ends = async {
            while short.is_on() {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), ends).await.is_ok());
    }

    #[tokio::test]
    async fn doubt_is_there_before_the_connection_goes_back() {
        struct Connection<'a>(&'a Doubt, &'a std::cell::Cell<bool>);
        impl Drop for Connection<'_> {
            fn drop(&mut self) {
                self.1.set(self.0.is_on());
            }
        }
        let (doubt, was_on) = (Doubt::lasting(MEMORY), std::cell::Cell::new(false));
        let connection = Connection(&doubt, &was_on);
        let statement = async move {
            let _connection = connection;
            std::future::pending::<()>().await;
        };
        let given_up = tokio::time::timeout(Duration::from_millis(1), doubt.watch(statement)).await;
        assert!(given_up.is_err() && was_on.get());
    }
}
