//! Blocks of phone numbers: how many messages went to each, and how many of their codes came back. Where next to none come back,
//! somebody sends messages for their own sake.

use std::{sync::atomic::Ordering, time::Duration};

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    sea_query::{CaseStatement, Expr, OnConflict},
};

use super::{Store, Tx, entity::sms_prefix, outage};
use crate::{clock::Timestamp, error::Error, swap::Swap};

/// When a block of numbers is closed: so many were sent to it in a window, and less than one in so many came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collapse {
    /// How many are sent before it is judged.
    pub sent: i64,
    /// One in so many must come back.
    pub one_in: i64,
    /// In how long a time; it is open again then.
    pub span: Duration,
}

/// What is known of a block of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmsPrefix {
    /// Its first digits.
    pub prefix: String,
    /// Messages that were sent.
    pub sent: i64,
    /// Codes that came back.
    pub verified: i64,
    /// When it is counted anew.
    pub end_time: Timestamp,
}

impl Store {
    /// The blocks that messages went to lately, the busiest first.
    pub async fn sms_prefixes(&self, now: Timestamp) -> Result<Vec<SmsPrefix>, Error> {
        let rows = sms_prefix::Entity::find()
            .filter(sms_prefix::Column::EndTime.gt(now.millis()))
            .order_by_desc(sms_prefix::Column::Sent)
            .all(&self.reader)
            .await
            .map_err(outage)?;
        let known = |row: sms_prefix::Model| SmsPrefix {
            prefix: row.prefix,
            sent: row.sent,
            verified: row.verified,
            end_time: Timestamp::from_millis(row.end_time),
        };
        Ok(rows.into_iter().map(known).collect())
    }

    /// When a block of numbers is counted anew.
    pub async fn sms_prefix_end(&self, prefix: &str) -> Result<Option<Timestamp>, Error> {
        let row = sms_prefix::Entity::find_by_id(prefix).one(&self.reader).await.map_err(outage)?;
        Ok(row.map(|row| Timestamp::from_millis(row.end_time)))
    }
}

impl Tx {
    /// Counts a message to a block of numbers; Stale while the block is closed.
    pub async fn pay_prefix(&self, prefix: &str, collapse: Collapse, now: Timestamp) -> Result<Swap, Error> {
        let row = sms_prefix::ActiveModel {
            prefix: Set(prefix.to_owned()),
            sent: Set(0),
            verified: Set(0),
            end_time: Set(0),
        };
        sms_prefix::Entity::insert(row)
            .on_conflict(
                OnConflict::column(sms_prefix::Column::Prefix).update_column(sms_prefix::Column::Prefix).to_owned(),
            )
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        let is_over = || Expr::col(sms_prefix::Column::EndTime).lte(now.millis());
        let or_anew = |anew: i64, counted: Expr| -> Expr {
            CaseStatement::new().case(is_over(), Expr::val(anew)).finally(counted).into()
        };
        let comes_back =
            Expr::col(sms_prefix::Column::Verified).mul(collapse.one_in).gte(Expr::col(sms_prefix::Column::Sent));
        let open = Condition::any().add(is_over()).add(sms_prefix::Column::Sent.lt(collapse.sent)).add(comes_back);
        let end_time = or_anew(now.plus(collapse.span).millis(), Expr::col(sms_prefix::Column::EndTime));
        let done = sms_prefix::Entity::update_many()
            // In this order: MySQL judges each line by what those above it have set.
            .col_expr(sms_prefix::Column::Sent, or_anew(1, Expr::col(sms_prefix::Column::Sent).add(1)))
            .col_expr(sms_prefix::Column::Verified, or_anew(0, Expr::col(sms_prefix::Column::Verified)))
            .col_expr(sms_prefix::Column::EndTime, end_time)
            .filter(sms_prefix::Column::Prefix.eq(prefix))
            .filter(open)
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Counts a code that came back.
    pub async fn verify_prefix(&self, prefix: &str) -> Result<(), Error> {
        self.has_code_returned.store(true, Ordering::Relaxed);
        self.change(prefix, sms_prefix::Column::Verified, 1).await
    }

    /// Takes a message back that was not sent, as long as its window lasts.
    pub async fn refund_prefix(&self, prefix: &str, span: Duration, paid: Timestamp) -> Result<(), Error> {
        let row = sms_prefix::Entity::find_by_id(prefix).one(&self.inner).await.map_err(outage)?;
        // A window that has begun since does not know of it.
        match row.map(|row| Timestamp::from_millis(row.end_time).minus(span)) {
            Some(begun) if begun <= paid => self.change(prefix, sms_prefix::Column::Sent, -1).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn change(&self, prefix: &str, column: sms_prefix::Column, by: i64) -> Result<(), Error> {
        sms_prefix::Entity::update_many()
            .col_expr(column, Expr::col(column).add(by))
            .filter(sms_prefix::Column::Prefix.eq(prefix))
            .filter(sms_prefix::Column::Sent.gt(0))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }
}
