//! Counters that are found by a keyed hash: of passwords per account and network, and of what may be done so often in a while.
//! Paid before anything is judged. An account that does not exist has the same buckets as one that does.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, OnConflict},
};

use super::{
    Rung, Store, Tx,
    entity::{bucket, known_network},
    outage,
};
use crate::{clock::Timestamp, error::Error, swap::Swap};

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name, hashed.
    pub hash: [u8; 32],
    /// Whose it is, hashed: an operator can empty all of an account's.
    pub owner: [u8; 32],
}

/// So many in so long a time, counted from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many.
    pub capacity: i64,
    /// In how long a time.
    pub span: Duration,
}

/// What is in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketState {
    /// Its name, hashed.
    pub hash: Vec<u8>,
    /// How much was paid.
    pub count: i64,
    /// Until when that counts.
    pub end_time: Timestamp,
    /// Until when it takes no payment.
    pub locked_until: Timestamp,
}

impl Store {
    /// Until when a bucket takes no payment: (by its ladder, by its window).
    pub async fn bucket_waits(&self, hash: &[u8; 32]) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        let row = bucket::Entity::find_by_id(hash.to_vec()).one(&self.reader).await.map_err(outage)?;
        Ok(row.map(|row| (Timestamp::from_millis(row.locked_until), Timestamp::from_millis(row.end_time))))
    }

    /// How much was paid into a bucket, and until when that counts.
    pub async fn bucket_count(&self, hash: &[u8; 32]) -> Result<Option<(i64, Timestamp)>, Error> {
        let row = bucket::Entity::find_by_id(hash.to_vec()).one(&self.reader).await.map_err(outage)?;
        Ok(row.map(|row| (row.failures, Timestamp::from_millis(row.end_time))))
    }
}

impl Tx {
    /// Until when a network is known as one that an account was signed in to from; None = it is not.
    pub async fn known_until(&self, network: &[u8; 32], now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let row = known_network::Entity::find_by_id(network.to_vec()).one(&self.inner).await.map_err(outage)?;
        Ok(row.map(|row| Timestamp::from_millis(row.end_time)).filter(|end_time| now < *end_time))
    }

    /// Counts one against a ladder, and takes the lock that it may bring; Stale while a lock is on. Whoever has been quiet for
    /// `quiet` starts anew.
    pub async fn pay_ladder(
        &self,
        bucket: &Bucket,
        rungs: &[Rung],
        quiet: Duration,
        now: Timestamp,
    ) -> Result<Swap, Error> {
        self.ensure_bucket(bucket).await?;
        let quiet_was_kept = || Expr::col(bucket::Column::EndTime).lte(now.millis());
        let first = rungs.iter().rev().find(|rung| rung.failures <= 1).map_or(0, |rung| rung.locked_until.millis());
        let mut lock = CaseStatement::new().case(quiet_was_kept(), Expr::val(first));
        for rung in rungs.iter().rev() {
            let reached = Expr::col(bucket::Column::Failures).gte(rung.failures - 1);
            lock = lock.case(reached, Expr::val(rung.locked_until.millis()));
        }
        let done = bucket::Entity::update_many()
            // In this order: MySQL judges each line by what those above it have set.
            .col_expr(bucket::Column::LockedUntil, lock.finally(Expr::val(0_i64)).into())
            .col_expr(bucket::Column::Failures, one_more_or_first(now))
            .col_expr(bucket::Column::EndTime, Expr::val(now.plus(quiet).millis()))
            .filter(bucket::Column::BucketHash.eq(bucket.hash.to_vec()))
            .filter(bucket::Column::LockedUntil.lte(now.millis()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Counts one in a window; Stale when the window is full.
    pub async fn pay_window(&self, bucket: &Bucket, window: Window, now: Timestamp) -> Result<Swap, Error> {
        self.ensure_bucket(bucket).await?;
        let next_end = CaseStatement::new()
            .case(Expr::col(bucket::Column::EndTime).lte(now.millis()), Expr::val(now.plus(window.span).millis()))
            .finally(Expr::col(bucket::Column::EndTime));
        let room = Condition::any()
            .add(bucket::Column::EndTime.lte(now.millis()))
            .add(bucket::Column::Failures.lt(window.capacity));
        let done = bucket::Entity::update_many()
            .col_expr(bucket::Column::Failures, one_more_or_first(now))
            .col_expr(bucket::Column::EndTime, next_end.into())
            .filter(bucket::Column::BucketHash.eq(bucket.hash.to_vec()))
            .filter(room)
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// How much was paid into these buckets, until when that counts, and until when each is locked; as this transaction sees it.
    pub async fn bucket_states(&self, buckets: &[[u8; 32]]) -> Result<Vec<BucketState>, Error> {
        let rows = bucket::Entity::find()
            .filter(bucket::Column::BucketHash.is_in(buckets.iter().map(|hash| hash.to_vec())))
            .all(&self.inner)
            .await
            .map_err(outage)?;
        let state = |row: bucket::Model| BucketState {
            hash: row.bucket_hash,
            count: row.failures,
            end_time: Timestamp::from_millis(row.end_time),
            locked_until: Timestamp::from_millis(row.locked_until),
        };
        Ok(rows.into_iter().map(state).collect())
    }

    /// Takes a payment back that was made in the window which ends at `end_time`. In another window it is forgotten already.
    pub async fn refund_window(&self, hash: &[u8; 32], end_time: Timestamp) -> Result<(), Error> {
        bucket::Entity::update_many()
            .col_expr(bucket::Column::Failures, Expr::col(bucket::Column::Failures).sub(1))
            .filter(bucket::Column::BucketHash.eq(hash.to_vec()))
            .filter(bucket::Column::EndTime.eq(end_time.millis()))
            .filter(bucket::Column::Failures.gt(0))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Takes a payment back, and the lock that it has brought: nothing was judged, or it was right. Nobody else can have paid
    /// behind a lock.
    pub async fn refund_bucket(&self, hash: &[u8; 32]) -> Result<(), Error> {
        bucket::Entity::update_many()
            .col_expr(bucket::Column::LockedUntil, Expr::val(0_i64))
            .col_expr(bucket::Column::Failures, Expr::col(bucket::Column::Failures).sub(1))
            .filter(bucket::Column::BucketHash.eq(hash.to_vec()))
            .filter(bucket::Column::Failures.gt(0))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Empties a bucket.
    pub async fn clear_bucket(&self, hash: &[u8; 32]) -> Result<(), Error> {
        self.empty(Condition::all().add(bucket::Column::BucketHash.eq(hash.to_vec()))).await
    }

    /// Empties every bucket of an owner.
    pub async fn clear_buckets_of(&self, owner: &[u8; 32]) -> Result<(), Error> {
        self.empty(Condition::all().add(bucket::Column::OwnerHash.eq(owner.to_vec()))).await
    }

    /// Removes every bucket of an owner.
    pub async fn delete_buckets_of(&self, owner: &[u8; 32]) -> Result<(), Error> {
        let own = bucket::Entity::delete_many().filter(bucket::Column::OwnerHash.eq(owner.to_vec()));
        own.exec(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Remembers that an account was signed in to from a network.
    pub async fn remember_network(&self, hash: &[u8; 32], owner: &[u8; 32], end_time: Timestamp) -> Result<(), Error> {
        let row = known_network::ActiveModel {
            network_hash: Set(hash.to_vec()),
            owner_hash: Set(owner.to_vec()),
            end_time: Set(end_time.millis()),
        };
        let later = OnConflict::column(known_network::Column::NetworkHash)
            .update_column(known_network::Column::EndTime)
            .to_owned();
        known_network::Entity::insert(row)
            .on_conflict(later)
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Forgets every network of an owner: whoever knew the old password is a stranger again.
    pub async fn forget_networks_of(&self, owner: &[u8; 32]) -> Result<(), Error> {
        known_network::Entity::delete_many()
            .filter(known_network::Column::OwnerHash.eq(owner.to_vec()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    async fn empty(&self, which: Condition) -> Result<(), Error> {
        bucket::Entity::update_many()
            .col_expr(bucket::Column::LockedUntil, Expr::val(0_i64))
            .col_expr(bucket::Column::Failures, Expr::val(0_i64))
            .filter(which)
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }

    async fn ensure_bucket(&self, bucket: &Bucket) -> Result<(), Error> {
        let row = bucket::ActiveModel {
            bucket_hash: Set(bucket.hash.to_vec()),
            owner_hash: Set(bucket.owner.to_vec()),
            failures: Set(0),
            locked_until: Set(0),
            end_time: Set(0),
        };
        bucket::Entity::insert(row)
            // A change of nothing, which locks the row: a sweep cannot take it away before it is paid into.
            .on_conflict(
                OnConflict::column(bucket::Column::BucketHash).update_column(bucket::Column::BucketHash).to_owned(),
            )
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }
}

fn one_more_or_first(now: Timestamp) -> Expr {
    CaseStatement::new()
        .case(Expr::col(bucket::Column::EndTime).lte(now.millis()), Expr::val(1_i64))
        .finally(Expr::col(bucket::Column::Failures).add(1))
        .into()
}
