//! What the database keeps of the key ring to know it by, the data keys that the ring wraps, and which processes hold which.

use anyhow::Context;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::{
    Look, Store, Tx,
    entity::{data_key, key_check, replica},
    outage,
};
use crate::{
    clock::Timestamp,
    error::Error,
    seal::{KeyCheck, KeyState, KeyUse, WrappedKey},
    swap::Swap,
};

/// A process, and the keys that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub id: String,
    /// When it has said so.
    pub report_time: Timestamp,
    /// Its keys.
    pub held: Held,
}

/// The keys of a process, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Root keys and data keys.
    pub holds: Vec<String>,
    /// Those that it makes new values with.
    pub makes_with: Vec<String>,
}

impl Look {
    /// The check values of every key that the database was used with; none when it was never used.
    pub async fn key_checks(&self) -> anyhow::Result<Vec<KeyCheck>> {
        if !self.has_table("key_checks").await? {
            return Ok(Vec::new());
        }
        let rows = key_check::Entity::find().all(&self.0).await?;
        let check = |row: key_check::Model| KeyCheck {
            id: row.id,
            key_use: row.key_use,
            value: row.check_value,
            create_time: Timestamp::from_millis(row.create_time),
        };
        Ok(rows.into_iter().map(check).collect())
    }

    /// The data keys; none when the database was never used, or by an older release alone.
    pub async fn data_keys(&self) -> anyhow::Result<Vec<WrappedKey>> {
        if !self.has_table("data_keys").await? {
            return Ok(Vec::new());
        }
        let rows = data_key::Entity::find().order_by_asc(data_key::Column::CreateTime).all(&self.0).await?;
        rows.into_iter().map(wrapped).collect()
    }
}

impl Store {
    /// The data keys, oldest first.
    pub async fn data_keys(&self) -> Result<Vec<WrappedKey>, Error> {
        let all = data_key::Entity::find().order_by_asc(data_key::Column::CreateTime);
        let rows = all.order_by_asc(data_key::Column::Id).all(&self.reader).await.map_err(outage)?;
        Ok(rows.into_iter().map(wrapped).collect::<anyhow::Result<_>>()?)
    }

    /// Whether the database is known by the ring of a release before root keys: one of those may run beside this one.
    pub async fn knows_ring_of_release_before(&self) -> Result<bool, Error> {
        let others = key_check::Entity::find().filter(key_check::Column::KeyUse.ne(KeyUse::Root.as_str()));
        Ok(others.one(&self.reader).await.map_err(outage)?.is_some())
    }

    /// The processes that have said since a moment which keys they hold.
    pub async fn replicas_since(&self, time: Timestamp) -> Result<Vec<Replica>, Error> {
        let live = replica::Entity::find().filter(replica::Column::ReportTime.gt(time.millis()));
        let rows = live.order_by_asc(replica::Column::Id).all(&self.reader).await.map_err(outage)?;
        Ok(rows.into_iter().map(known).collect())
    }

    /// Says which keys a process holds.
    pub async fn report_replica(&self, id: &str, held: &Held, now: Timestamp) -> Result<(), Error> {
        let row = replica::ActiveModel {
            id: Set(id.to_owned()),
            report_time: Set(now.millis()),
            holds: Set(held.holds.join(" ")),
            makes_with: Set(held.makes_with.join(" ")),
        };
        let anew = OnConflict::column(replica::Column::Id)
            .update_columns([replica::Column::ReportTime, replica::Column::Holds, replica::Column::MakesWith])
            .to_owned();
        let insert = replica::Entity::insert(row).on_conflict(anew);
        insert.exec_without_returning(&self.writer).await.map_err(outage)?;
        Ok(())
    }

    /// Forgets the processes that have said nothing since a moment.
    pub async fn forget_silent_replicas(&self, time: Timestamp) -> Result<(), Error> {
        let silent = replica::Entity::delete_many().filter(replica::Column::ReportTime.lt(time.millis()));
        silent.exec(&self.writer).await.map_err(outage)?;
        Ok(())
    }

    /// Says that a process serves no more.
    pub async fn forget_replica(&self, id: &str) -> Result<(), Error> {
        replica::Entity::delete_by_id(id).exec(&self.writer).await.map_err(outage)?;
        Ok(())
    }
}

impl Tx {
    /// Keeps the check value of a key.
    pub async fn insert_key_check(&self, check: &KeyCheck) -> Result<(), Error> {
        let row = key_check::ActiveModel {
            id: Set(check.id.clone()),
            key_use: Set(check.key_use.clone()),
            check_value: Set(check.value.clone()),
            create_time: Set(check.create_time.millis()),
        };
        key_check::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Forgets the check values of every key.
    pub async fn delete_key_checks(&self) -> Result<(), Error> {
        key_check::Entity::delete_many().exec(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// The data keys, kept as they are until the transaction ends.
    pub async fn lock_data_keys(&self) -> Result<Vec<WrappedKey>, Error> {
        let all = data_key::Entity::find().order_by_asc(data_key::Column::Id).lock_exclusive();
        let rows = all.all(&self.inner).await.map_err(outage)?;
        Ok(rows.into_iter().map(wrapped).collect::<anyhow::Result<_>>()?)
    }

    /// Adds a data key.
    pub async fn insert_data_key(&self, key: &WrappedKey) -> Result<(), Error> {
        let row = data_key::ActiveModel {
            id: Set(key.id.clone()),
            key_use: Set(key.key_use.as_str().to_owned()),
            state: Set(key.state.as_str().to_owned()),
            wrapped: Set(key.wrapped.clone()),
            root_id: Set(key.root_id.clone()),
            create_time: Set(key.create_time.millis()),
            active_time: Set(key.active_time.map(Timestamp::millis)),
            demote_time: Set(key.demote_time.map(Timestamp::millis)),
        };
        data_key::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Makes a readable key the active one of its use; Stale when it is not readable.
    pub async fn promote_data_key(&self, key: &WrappedKey, now: Timestamp) -> Result<Swap, Error> {
        data_key::Entity::update_many()
            .col_expr(data_key::Column::State, Expr::val(KeyState::Readable.as_str()))
            .col_expr(data_key::Column::DemoteTime, Expr::val(now.millis()))
            .filter(data_key::Column::KeyUse.eq(key.key_use.as_str()))
            .filter(data_key::Column::State.eq(KeyState::Active.as_str()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        let done = data_key::Entity::update_many()
            .col_expr(data_key::Column::State, Expr::val(KeyState::Active.as_str()))
            .col_expr(data_key::Column::ActiveTime, Expr::val(now.millis()))
            .col_expr(data_key::Column::DemoteTime, Expr::val(None::<i64>))
            .filter(data_key::Column::Id.eq(key.id.as_str()))
            .filter(data_key::Column::State.eq(KeyState::Readable.as_str()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Lets a key be in another state, from one that it must be in.
    pub async fn save_data_key_state(&self, id: &str, from: KeyState, to: KeyState) -> Result<Swap, Error> {
        let mut update = data_key::Entity::update_many()
            .col_expr(data_key::Column::State, Expr::val(to.as_str()))
            .filter(data_key::Column::Id.eq(id))
            .filter(data_key::Column::State.eq(from.as_str()));
        if to == KeyState::Destroyed {
            update = update.col_expr(data_key::Column::Wrapped, Expr::val(Vec::<u8>::new()));
        }
        Ok(Swap::from_rows(update.exec(&self.inner).await.map_err(outage)?.rows_affected))
    }

    /// Wraps a key another way; Stale when it is not wrapped as it was.
    pub async fn save_wrapping(&self, before: &WrappedKey, after: &WrappedKey) -> Result<Swap, Error> {
        let done = data_key::Entity::update_many()
            .col_expr(data_key::Column::Wrapped, Expr::val(after.wrapped.clone()))
            .col_expr(data_key::Column::RootId, Expr::val(after.root_id.as_str()))
            .filter(data_key::Column::Id.eq(before.id.as_str()))
            .filter(data_key::Column::RootId.eq(before.root_id.as_str()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }
}

fn known(row: replica::Model) -> Replica {
    let ids = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    Replica {
        report_time: Timestamp::from_millis(row.report_time),
        held: Held { holds: ids(&row.holds), makes_with: ids(&row.makes_with) },
        id: row.id,
    }
}

fn wrapped(row: data_key::Model) -> anyhow::Result<WrappedKey> {
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    Ok(WrappedKey {
        key_use: KeyUse::from_word(&row.key_use).with_context(|| format!("the key {} has an unknown use", row.id))?,
        state: KeyState::from_word(&row.state).with_context(|| format!("the key {} has an unknown state", row.id))?,
        wrapped: row.wrapped,
        root_id: row.root_id,
        create_time: Timestamp::from_millis(row.create_time),
        active_time: time(row.active_time),
        demote_time: time(row.demote_time),
        id: row.id,
    })
}
