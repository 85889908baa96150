//! Sealed columns, row by row: what is sealed by a key that is not the active one is sealed anew. One conditional statement for each
//! value, so that what has changed meanwhile stays.

use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, IntoSimpleExpr, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use super::{
    Store,
    entity::{data_key, delivery, factor, reseal, session, user},
    outage,
};
use crate::{
    error::Error,
    seal::{KeyState, Place, sealed_by},
    swap::Swap,
};

/// A sealed column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedColumn {
    /// Data of factors.
    Factors,
    /// Password hashes.
    Passwords,
    /// Phone numbers.
    Phones,
    /// Second addresses.
    NoticeEmails,
    /// What waits to be handed over.
    Deliveries,
    /// Successors of refresh tokens, for some seconds.
    Successors,
}

/// How far a column was sealed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reseal {
    /// With this key.
    pub key_id: String,
    /// The last row that was looked at.
    pub last: Uuid,
    /// Values that were sealed anew in this round.
    pub count: i64,
    /// Whether a whole round has found nothing more.
    pub is_done: bool,
}

/// A row: its id, whose it is, and the sealed value.
type Row = (Uuid, Uuid, Option<Vec<u8>>);

impl SealedColumn {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Factors, Self::Passwords, Self::Phones, Self::NoticeEmails, Self::Deliveries, Self::Successors];

    /// Table and column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Factors => "factors.data",
            Self::Passwords => "users.password_hash",
            Self::Phones => "users.phone",
            Self::NoticeEmails => "users.notice_email",
            Self::Deliveries => "deliveries.body",
            Self::Successors => "sessions.successor",
        }
    }

    fn place<'a>(self, row: &'a Uuid, user: &'a Uuid) -> Place<'a> {
        let (table, column) = self.name().split_once('.').unwrap_or_default();
        let user = if self == Self::Deliveries { [].as_slice() } else { user.as_bytes() };
        Place { table, column, user, row: row.as_bytes() }
    }
}

/// Does the same with each of the columns: (entity, id, whose, value).
macro_rules! with_column {
    ($column:expr, $do:ident ! ($($more:expr),*)) => {
        match $column {
            SealedColumn::Factors => $do!(factor, factor::Column::Id, factor::Column::UserId, factor::Column::Data, $($more),*),
            SealedColumn::Passwords => $do!(user, user::Column::Id, user::Column::Id, user::Column::PasswordHash, $($more),*),
            SealedColumn::Phones => $do!(user, user::Column::Id, user::Column::Id, user::Column::Phone, $($more),*),
            SealedColumn::NoticeEmails => $do!(user, user::Column::Id, user::Column::Id, user::Column::NoticeEmail, $($more),*),
            SealedColumn::Deliveries => $do!(delivery, delivery::Column::Id, delivery::Column::Id, delivery::Column::Body, $($more),*),
            SealedColumn::Successors => $do!(session, session::Column::Id, session::Column::UserId, session::Column::Successor, $($more),*),
        }
    };
}

impl Store {
    /// How many values of a column are sealed by a key.
    pub async fn count_sealed_by(&self, column: SealedColumn, key_id: &str) -> Result<u64, Error> {
        let (first, after) = range(key_id);
        macro_rules! count {
            ($entity:ident, $id:expr, $user:expr, $value:expr,) => {
                $entity::Entity::find().filter($value.gte(first)).filter($value.lt(after)).count(&self.reader).await
            };
        }
        with_column!(column, count!()).map_err(outage)
    }

    /// How far a column was sealed anew; None = that was never begun.
    pub async fn reseal(&self, column: SealedColumn) -> Result<Option<Reseal>, Error> {
        let row = reseal::Entity::find_by_id(column.name()).one(&self.reader).await.map_err(outage)?;
        Ok(row.map(|row| Reseal { key_id: row.key_id, last: row.last_id, count: row.round_count, is_done: row.done }))
    }

    /// Rows of a column after one, with its value, if they have one. In the order of their key and whatever is in them: a search for those
    /// with a value would look through a table without end where there are few.
    pub async fn sealed_rows(&self, column: SealedColumn, after: Uuid, count: u64) -> Result<Vec<Row>, Error> {
        macro_rules! rows {
            ($entity:ident, $id:expr, $user:expr, $value:expr, $after:expr, $count:expr) => {
                $entity::Entity::find()
                    .filter($id.gt($after))
                    .order_by_asc($id)
                    .limit($count)
                    .select_only()
                    .expr($id.into_simple_expr())
                    .expr($user.into_simple_expr())
                    .expr($value.into_simple_expr())
                    .into_tuple::<Row>()
                    .all(&self.reader)
                    .await
            };
        }
        with_column!(column, rows!(after, count)).map_err(outage)
    }

    /// How many values of a column are sealed by a key that is held and do not open; of up to so many that are looked at.
    pub async fn count_broken(&self, column: SealedColumn, key_id: &str, most: u64) -> Result<u64, Error> {
        let (first, after) = range(key_id);
        macro_rules! rows {
            ($entity:ident, $id:expr, $user:expr, $value:expr,) => {
                $entity::Entity::find()
                    .filter($value.gte(first))
                    .filter($value.lt(after))
                    .limit(most)
                    .select_only()
                    .expr($id.into_simple_expr())
                    .expr($user.into_simple_expr())
                    .expr($value.into_simple_expr())
                    .into_tuple::<Row>()
                    .all(&self.reader)
                    .await
            };
        }
        let rows: Vec<Row> = with_column!(column, rows!()).map_err(outage)?;
        let is_broken = |(id, user, sealed): &&Row| {
            sealed.as_ref().is_some_and(|sealed| self.ring.open(column.place(id, user), sealed).is_err())
        };
        Ok(rows.iter().filter(is_broken).count() as u64)
    }

    /// Begins to seal a column anew with a key, or says how far that is; Stale when it is not where it was.
    pub async fn save_reseal(
        &self,
        column: SealedColumn,
        before: Option<&Reseal>,
        after: &Reseal,
    ) -> Result<Swap, Error> {
        let Some(before) = before else {
            let row = reseal::ActiveModel {
                name: Set(column.name().to_owned()),
                key_id: Set(after.key_id.clone()),
                last_id: Set(after.last),
                round_count: Set(after.count),
                done: Set(after.is_done),
            };
            let as_it_is = OnConflict::column(reseal::Column::Name).update_column(reseal::Column::Name).to_owned();
            let insert = reseal::Entity::insert(row).on_conflict(as_it_is);
            insert.exec_without_returning(&self.writer).await.map_err(outage)?;
            return Ok(Swap::Done);
        };
        let done = reseal::Entity::update_many()
            .col_expr(reseal::Column::KeyId, Expr::val(after.key_id.as_str()))
            .col_expr(reseal::Column::LastId, Expr::val(after.last))
            .col_expr(reseal::Column::RoundCount, Expr::val(after.count))
            .col_expr(reseal::Column::Done, Expr::val(after.is_done))
            .filter(reseal::Column::Name.eq(column.name()))
            .filter(reseal::Column::KeyId.eq(before.key_id.as_str()))
            .filter(reseal::Column::LastId.eq(before.last))
            .filter(reseal::Column::RoundCount.eq(before.count))
            .exec(&self.writer)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Lets every column be gone through once more.
    pub async fn reopen_reseals(&self) -> Result<(), Error> {
        reseal::Entity::update_many()
            .col_expr(reseal::Column::LastId, Expr::val(Uuid::nil()))
            .col_expr(reseal::Column::RoundCount, Expr::val(0_i64))
            .col_expr(reseal::Column::Done, Expr::val(false))
            .filter(reseal::Column::Done.eq(true))
            .exec(&self.writer)
            .await
            .map_err(outage)?;
        Ok(())
    }

    /// Seals a value anew with a key, unless it has changed, or the key is not the active one. One that does not open stays as it is,
    /// and is told of elsewhere.
    pub async fn seal_anew(&self, column: SealedColumn, row: &Row, key_id: &str) -> Result<Swap, Error> {
        let (id, user, Some(sealed)) = row else {
            return Ok(Swap::Stale);
        };
        let place = column.place(id, user);
        let Ok(plain) = self.ring.open(place, sealed) else {
            return Ok(Swap::Stale);
        };
        let anew = self.ring.seal(place, plain.expose())?;
        if !anew.starts_with(&sealed_by(key_id)) {
            return Ok(Swap::Stale);
        }
        let is_active = data_key::Entity::find()
            .select_only()
            .column(data_key::Column::Id)
            .filter(data_key::Column::Id.eq(key_id))
            .filter(data_key::Column::State.eq(KeyState::Active.as_str()));
        macro_rules! save {
            ($entity:ident, $id:expr, $user:expr, $value:expr, $row:expr, $before:expr, $after:expr) => {
                $entity::Entity::update_many()
                    .col_expr($value, Expr::val($after))
                    .filter($id.eq($row))
                    .filter($value.eq($before))
                    .filter(Expr::exists(is_active.into_query()))
                    .exec(&self.writer)
                    .await
            };
        }
        let done = with_column!(column, save!(*id, sealed.clone(), anew)).map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }
}

/// What begins with what a key has sealed lies between this and the next one, byte by byte, on every database.
fn range(key_id: &str) -> (Vec<u8>, Vec<u8>) {
    let first = sealed_by(key_id);
    let mut after = first.clone();
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    (first, after)
}
