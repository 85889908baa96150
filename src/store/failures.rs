//! Failures of second factors, per user and method. Paid before a code is judged, so that no crash, no race and no retry gets
//! a guess for nothing.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, OnConflict, Query},
};

use super::{
    Store, Tx,
    entity::{factor_failure, spent_challenge},
    outage,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{FailureKey, UserId},
    swap::Swap,
};

/// From how many failures in a row on nothing is judged until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rung {
    /// The number of failures in a row.
    pub failures: i64,
    /// When the next code is judged again.
    pub locked_until: Timestamp,
}

impl Store {
    /// Until when no code of this kind is judged.
    pub async fn locked_until(&self, user: UserId, key: FailureKey) -> Result<Option<Timestamp>, Error> {
        let row = factor_failure::Entity::find_by_id((user.uuid(), key.as_str().to_owned()))
            .one(&self.reader)
            .await
            .map_err(outage)?;
        Ok(row.map(|row| Timestamp::from_millis(row.locked_until)))
    }

    /// Failures in a row, and until when no code is judged that pays there.
    pub async fn failures(&self, user: UserId, key: FailureKey) -> Result<Option<(i64, Timestamp)>, Error> {
        failures(&self.reader, user, key).await
    }
}

impl Tx {
    /// The same, with what this transaction has paid.
    pub async fn failures(&self, user: UserId, key: FailureKey) -> Result<Option<(i64, Timestamp)>, Error> {
        failures(&self.inner, user, key).await
    }

    /// Makes sure that there is a row to pay into.
    pub async fn ensure_failures(&self, user: UserId, key: FailureKey) -> Result<(), Error> {
        let row = factor_failure::ActiveModel {
            user_id: Set(user.uuid()),
            failure_key: Set(key.as_str().to_owned()),
            failures: Set(0),
            locked_until: Set(0),
        };
        factor_failure::Entity::insert(row)
            .on_conflict(
                OnConflict::columns([factor_failure::Column::UserId, factor_failure::Column::FailureKey])
                    // MySQL has no DO NOTHING: there it sets this column to what it is.
                    .do_nothing_on([factor_failure::Column::UserId])
                    .to_owned(),
            )
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Locks a count until the transaction ends, and leaves it as it is.
    pub async fn touch_failures(&self, user: UserId, key: FailureKey) -> Result<(), Error> {
        factor_failure::Entity::update_many()
            .col_expr(factor_failure::Column::Failures, Expr::col(factor_failure::Column::Failures))
            .filter(at(user, key))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Counts a failure before the code is judged, and takes the lock that it may bring; Stale while a lock is on, or when the
    /// challenge that the code answers is spent.
    pub async fn pay_failure(
        &self,
        user: UserId,
        key: FailureKey,
        challenge: Option<&[u8; 32]>,
        rungs: &[Rung],
        now: Timestamp,
    ) -> Result<Swap, Error> {
        let mut payment = factor_failure::Entity::update_many()
            // First: MySQL would judge the condition by the number that the next line has set.
            .col_expr(factor_failure::Column::LockedUntil, lock_after_one_more(rungs).into())
            .col_expr(factor_failure::Column::Failures, Expr::col(factor_failure::Column::Failures).add(1))
            .filter(at(user, key))
            .filter(factor_failure::Column::LockedUntil.lte(now.millis()));
        if let Some(challenge) = challenge {
            let spent = Query::select()
                .expr(Expr::val(1))
                .from(spent_challenge::Entity)
                .and_where(spent_challenge::Column::ChallengeHash.eq(challenge.to_vec()))
                .to_owned();
            payment = payment.filter(Expr::exists(spent).not());
        }
        let done = payment.exec(&self.inner).await.map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Takes a payment of this transaction back: the code was right, but used.
    pub async fn refund_failure(&self, user: UserId, key: FailureKey) -> Result<(), Error> {
        factor_failure::Entity::update_many()
            .col_expr(factor_failure::Column::LockedUntil, Expr::val(0_i64))
            .col_expr(factor_failure::Column::Failures, Expr::col(factor_failure::Column::Failures).sub(1))
            .filter(at(user, key))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Sets the count back: a code was right.
    pub async fn clear_failures(&self, user: UserId, key: FailureKey) -> Result<(), Error> {
        factor_failure::Entity::update_many()
            .col_expr(factor_failure::Column::LockedUntil, Expr::val(0_i64))
            .col_expr(factor_failure::Column::Failures, Expr::val(0_i64))
            .filter(at(user, key))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }
}

async fn failures(
    connection: &impl ConnectionTrait,
    user: UserId,
    key: FailureKey,
) -> Result<Option<(i64, Timestamp)>, Error> {
    let row = factor_failure::Entity::find_by_id((user.uuid(), key.as_str().to_owned()))
        .one(connection)
        .await
        .map_err(outage)?;
    Ok(row.map(|row| (row.failures, Timestamp::from_millis(row.locked_until))))
}

fn at(user: UserId, key: FailureKey) -> Condition {
    Condition::all()
        .add(factor_failure::Column::UserId.eq(user.uuid()))
        .add(factor_failure::Column::FailureKey.eq(key.as_str()))
}

/// The lock that follows when the count, which is still the old one here, goes up by one.
fn lock_after_one_more(rungs: &[Rung]) -> CaseStatement {
    let mut highest_first: Vec<_> = rungs.iter().collect();
    highest_first.sort_by_key(|rung| std::cmp::Reverse(rung.failures));
    let mut case = CaseStatement::new();
    for rung in highest_first {
        let reached = Expr::col(factor_failure::Column::Failures).gte(rung.failures - 1);
        case = case.case(reached, Expr::val(rung.locked_until.millis()));
    }
    case.finally(Expr::val(0_i64))
}
