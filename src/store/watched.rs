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

impl Watched<DatabaseConnection> {
    pub(super) async fn begin(&self, options: TransactionOptions) -> Result<Watched<DatabaseTransaction>, DbErr> {
        let inner = self.doubt.watch(self.inner.begin_with_options(options)).await?;
        Ok(Watched { inner, doubt: Arc::clone(&self.doubt) })
    }
}

impl Watched<DatabaseTransaction> {
    pub(super) async fn commit(self) -> Result<(), DbErr> {
        self.doubt.watch(self.inner.commit()).await
    }

    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        self.doubt.watch(self.inner.rollback()).await
    }
}

#[async_trait]
impl<C: ConnectionTrait> ConnectionTrait for Watched<C> {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.doubt.watch(self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.doubt.watch(self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.doubt.watch(self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.doubt.watch(self.inner.query_all_raw(statement)).await
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
