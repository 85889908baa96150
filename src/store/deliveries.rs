//! What waits to be handed over to the outside, and how far the audit log was read for it. What is handed over lies sealed.

use anyhow::Context;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, ExprTrait, Order, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use uuid::Uuid;

use super::{
    Store, Tx,
    entity::{delivery, delivery_cursor},
    outage, undamaged,
};
use crate::{
    clock::Timestamp,
    error::{Contention, Error, Outage},
    model::{Backlog, Channel, Cursor, Delivery, DeliveryId},
    seal::{KeyRing, Place},
    swap::Swap,
};

/// What is to be handed over.
pub struct NewDelivery<'a> {
    /// Which way.
    pub channel: Channel,
    /// What it tells, as a word.
    pub kind: &'a str,
    /// What is handed over.
    pub body: &'a [u8],
}

impl Store {
    /// How far a reader has read; None = it has never begun.
    pub async fn delivery_cursor(&self, name: &str) -> Result<Option<Cursor>, Error> {
        let row = delivery_cursor::Entity::find_by_id(name).one(&self.reader).await.map_err(outage)?;
        Ok(row.map(|row| Cursor {
            position: row.position,
            failures: row.failures,
            window_end: Timestamp::from_millis(row.window_end_time),
        }))
    }

    /// Lets a reader begin after a place, unless it has begun.
    pub async fn begin_delivery_cursor(&self, name: &str, position: i64) -> Result<(), Error> {
        let row = delivery_cursor::ActiveModel {
            name: Set(name.to_owned()),
            position: Set(position),
            failures: Set(0),
            window_end_time: Set(0),
        };
        let as_it_is =
            OnConflict::column(delivery_cursor::Column::Name).update_column(delivery_cursor::Column::Name).to_owned();
        delivery_cursor::Entity::insert(row)
            .on_conflict(as_it_is)
            .exec_without_returning(&self.writer)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// How many wait on a channel and how many were given up.
    pub async fn delivery_backlog(&self, channel: Channel) -> Result<Backlog, Error> {
        let on_channel = || delivery::Entity::find().filter(delivery::Column::Channel.eq(channel.as_str()));
        let waiting = || on_channel().filter(delivery::Column::DueTime.is_not_null());
        let given_up = on_channel().filter(delivery::Column::DueTime.is_null());
        let oldest: Option<i64> = waiting()
            .order_by_asc(delivery::Column::CreateTime)
            .limit(1)
            .select_only()
            .column(delivery::Column::CreateTime)
            .into_tuple()
            .one(&self.reader)
            .await
            .map_err(outage)?;
        Ok(Backlog {
            waiting: waiting().count(&self.reader).await.map_err(outage)?,
            oldest: oldest.map(Timestamp::from_millis),
            given_up: given_up.count(&self.reader).await.map_err(outage)?,
        })
    }

    /// Takes at most `count` that are due on a channel, what is due longest first: until a moment at which another may try them. One
    /// that cannot be read at all is given up.
    pub async fn claim_due_deliveries(
        &self,
        channel: Channel,
        count: u64,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Delivery>, Error> {
        let due = delivery::Entity::find()
            .filter(delivery::Column::Channel.eq(channel.as_str()))
            .filter(delivery::Column::DueTime.lte(now.millis()))
            .order_by_asc(delivery::Column::DueTime)
            .order_by_asc(delivery::Column::Id)
            .limit(count);
        let ids: Vec<Uuid> =
            due.select_only().column(delivery::Column::Id).into_tuple().all(&self.reader).await.map_err(outage)?;
        let mut claimed = Vec::new();
        for id in ids {
            match delivery::Entity::find_by_id(id).one(&self.reader).await.map_err(outage) {
                Ok(Some(row)) => {
                    let one = delivery(row, &self.ring)?;
                    // Another may have taken it since it was looked for.
                    let is_due = one.due_time.is_some_and(|due| due <= now);
                    if is_due && self.claim_delivery(&one, until).await? == Swap::Done {
                        claimed.push(Delivery { attempts: one.attempts + 1, due_time: Some(until), ..one });
                    }
                }
                Ok(None) => {}
                Err(Error::Broken(fault)) if !fault.is::<Outage>() && !fault.is::<Contention>() => {
                    tracing::error!(%id, "a delivery cannot be read; it is given up");
                    self.give_up_unread(id, now).await?;
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(claimed)
    }

    async fn give_up_unread(&self, id: Uuid, now: Timestamp) -> Result<(), Error> {
        delivery::Entity::update_many()
            .col_expr(delivery::Column::DueTime, Expr::val(None::<i64>))
            .col_expr(delivery::Column::GiveUpTime, Expr::val(now.millis()))
            .col_expr(delivery::Column::Failure, Expr::val("it cannot be read any more"))
            .filter(delivery::Column::Id.eq(id))
            .exec(&self.writer)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// At most `count` that were given up, the newest first, after one.
    pub async fn given_up_deliveries(&self, after: Option<DeliveryId>, count: u64) -> Result<Vec<Delivery>, Error> {
        let mut given_up = delivery::Entity::find().filter(delivery::Column::DueTime.is_null());
        if let Some(after) = after {
            given_up = given_up.filter(delivery::Column::Id.lt(after.uuid()));
        }
        let found = given_up.order_by(delivery::Column::Id, Order::Desc).limit(count);
        let rows = found.all(&self.reader).await.map_err(outage)?;
        rows.into_iter().map(|row| delivery(row, &self.ring)).collect()
    }

    /// Takes one to be tried, until a moment at which another may; Stale when somebody else has taken it.
    async fn claim_delivery(&self, one: &Delivery, until: Timestamp) -> Result<Swap, Error> {
        let done = delivery::Entity::update_many()
            .col_expr(delivery::Column::DueTime, Expr::val(until.millis()))
            .col_expr(delivery::Column::Attempts, Expr::col(delivery::Column::Attempts).add(1))
            .filter(delivery::Column::Id.eq(one.id.uuid()))
            .filter(delivery::Column::DueTime.eq(one.due_time.map(Timestamp::millis)))
            .filter(delivery::Column::Attempts.eq(one.attempts))
            .exec(&self.writer)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Removes one that was handed over.
    pub async fn finish_delivery(&self, id: DeliveryId) -> Result<(), Error> {
        delivery::Entity::delete_by_id(id.uuid()).exec(&self.writer).await.map_err(outage)?;
        Ok(())
    }

    /// Puts one off until a moment, or gives it up; unless it was tried again meanwhile.
    pub async fn put_delivery_off(
        &self,
        one: &Delivery,
        due_time: Option<Timestamp>,
        failure: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let failure: String = failure.chars().take(200).collect();
        let give_up_time = if due_time.is_none() { Some(now.millis()) } else { None };
        delivery::Entity::update_many()
            .col_expr(delivery::Column::DueTime, Expr::val(due_time.map(Timestamp::millis)))
            .col_expr(delivery::Column::GiveUpTime, Expr::val(give_up_time))
            .col_expr(delivery::Column::Failure, Expr::val(failure))
            .filter(delivery::Column::Id.eq(one.id.uuid()))
            .filter(delivery::Column::Attempts.eq(one.attempts))
            .exec(&self.writer)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Lets one that was given up, or all of them, be tried again from `now` on, as though they were new; answers how many.
    pub async fn revive_deliveries(&self, which: Option<DeliveryId>, now: Timestamp) -> Result<u64, Error> {
        let mut given_up = delivery::Entity::update_many()
            .col_expr(delivery::Column::DueTime, Expr::val(now.millis()))
            .col_expr(delivery::Column::CreateTime, Expr::val(now.millis()))
            .col_expr(delivery::Column::GiveUpTime, Expr::val(None::<i64>))
            .col_expr(delivery::Column::Attempts, Expr::val(0_i64))
            .filter(delivery::Column::DueTime.is_null());
        if let Some(id) = which {
            given_up = given_up.filter(delivery::Column::Id.eq(id.uuid()));
        }
        Ok(given_up.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }
}

impl Tx {
    /// Lets a reader go on; Stale when it is not where it was.
    pub async fn move_delivery_cursor(&self, name: &str, from: &Cursor, to: &Cursor) -> Result<Swap, Error> {
        let done = delivery_cursor::Entity::update_many()
            .col_expr(delivery_cursor::Column::Position, Expr::val(to.position))
            .col_expr(delivery_cursor::Column::Failures, Expr::val(to.failures))
            .col_expr(delivery_cursor::Column::WindowEndTime, Expr::val(to.window_end.millis()))
            .filter(delivery_cursor::Column::Name.eq(name))
            .filter(delivery_cursor::Column::Position.eq(from.position))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Adds what is to be handed over, as soon as this is committed.
    pub async fn insert_delivery(&self, new: &NewDelivery<'_>, now: Timestamp) -> Result<(), Error> {
        let id = DeliveryId::new(now);
        let row = delivery::ActiveModel {
            id: Set(id.uuid()),
            channel: Set(new.channel.as_str().to_owned()),
            kind: Set(new.kind.to_owned()),
            body: Set(self.ring.seal(place(&id), new.body)?),
            create_time: Set(now.millis()),
            due_time: Set(Some(now.millis())),
            attempts: Set(0),
            failure: NotSet,
            give_up_time: NotSet,
        };
        delivery::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }
}

fn delivery(row: delivery::Model, ring: &KeyRing) -> Result<Delivery, Error> {
    let id = DeliveryId::from_uuid(row.id);
    Ok(Delivery {
        id,
        channel: Channel::from_word(&row.channel).context("a delivery goes an unknown way")?,
        kind: row.kind,
        body: undamaged(ring.open(place(&id), &row.body).map_err(Error::from))?,
        create_time: Timestamp::from_millis(row.create_time),
        due_time: row.due_time.map(Timestamp::from_millis),
        attempts: row.attempts,
        failure: row.failure,
        give_up_time: row.give_up_time.map(Timestamp::from_millis),
    })
}

fn place(id: &DeliveryId) -> Place<'_> {
    Place { table: "deliveries", column: "body", user: &[], row: id.bytes() }
}
