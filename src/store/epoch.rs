//! The epoch: how far the database is known to have come; and whether it is being fenced after it was restored.

use anyhow::Context;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, UpdateMany, sea_query::Expr};

use super::{Store, Tx, entity::restore_fence, outage};
use crate::{clock::Timestamp, error::Error, swap::Swap};

const ROW: i16 = 1;

/// How far the database has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// A moment that it has seen, by its own clock.
    pub value: Timestamp,
    /// When a fence was begun that has not ended.
    pub fence_begin: Option<Timestamp>,
    /// When the last fence has ended.
    pub fence_end: Option<Timestamp>,
}

impl Store {
    /// How far the database has come.
    pub async fn epoch(&self) -> Result<Epoch, Error> {
        let row = restore_fence::Entity::find_by_id(ROW).one(&self.reader).await.map_err(outage)?;
        let row = row.context("the epoch is not in the database (table restore_fence)")?;
        Ok(Epoch {
            value: Timestamp::from_millis(row.epoch),
            fence_begin: row.begin_time.map(Timestamp::from_millis),
            fence_end: row.end_time.map(Timestamp::from_millis),
        })
    }

    /// Raises the epoch; Stale when it is not what it was, or a fence was begun.
    pub async fn raise_epoch(&self, from: Timestamp, to: Timestamp) -> Result<Swap, Error> {
        let update = at(from, None).col_expr(restore_fence::Column::Epoch, Expr::val(to.millis()));
        Ok(Swap::from_rows(update.exec(&self.writer).await.map_err(outage)?.rows_affected))
    }

    /// Says that a fence was begun, or with None that none is under way; Stale when the epoch is not what it was.
    pub async fn save_fence_begin(&self, known: Epoch, begin: Option<Timestamp>) -> Result<Swap, Error> {
        let update = at(known.value, known.fence_begin)
            .col_expr(restore_fence::Column::BeginTime, Expr::val(begin.map(Timestamp::millis)));
        Ok(Swap::from_rows(update.exec(&self.writer).await.map_err(outage)?.rows_affected))
    }
}

impl Tx {
    /// Ends a fence with a new epoch; Stale when another has taken over.
    pub async fn end_fence(&self, known: Epoch, epoch: Timestamp) -> Result<Swap, Error> {
        let update = at(known.value, known.fence_begin)
            .col_expr(restore_fence::Column::Epoch, Expr::val(epoch.millis()))
            .col_expr(restore_fence::Column::BeginTime, Expr::val(None::<i64>))
            .col_expr(restore_fence::Column::EndTime, Expr::val(epoch.millis()));
        Ok(Swap::from_rows(update.exec(&self.inner).await.map_err(outage)?.rows_affected))
    }
}

fn at(epoch: Timestamp, begin: Option<Timestamp>) -> UpdateMany<restore_fence::Entity> {
    let begun = match begin {
        Some(begin) => restore_fence::Column::BeginTime.eq(begin.millis()),
        None => restore_fence::Column::BeginTime.is_null(),
    };
    restore_fence::Entity::update_many()
        .filter(restore_fence::Column::Id.eq(ROW))
        .filter(restore_fence::Column::Epoch.eq(epoch.millis()))
        .filter(begun)
}
