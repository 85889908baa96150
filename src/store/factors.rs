//! Enrolled factors.

use anyhow::Context;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, ExprTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
    sea_query::Expr,
};

use super::{
    Store, Tx,
    accounts::account,
    entity::{factor, user},
    outage, undamaged,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{Account, EnrolledFactor, FactorData, FactorId, Method, NewFactor, Spend, UserId},
    seal::{KeyRing, Place},
    swap::Swap,
};

impl Store {
    /// The factors of an account, oldest first.
    pub async fn factors(&self, user: UserId) -> Result<Vec<EnrolledFactor>, Error> {
        let rows = by_age(user).all(&self.reader).await.map_err(outage)?;
        rows.into_iter().map(|row| enrolled(row, &self.ring)).collect()
    }
}

impl Tx {
    /// The factors of an account, oldest first.
    pub async fn factors(&self, user: UserId) -> Result<Vec<EnrolledFactor>, Error> {
        let rows = by_age(user).all(&self.inner).await.map_err(outage)?;
        rows.into_iter().map(|row| enrolled(row, &self.ring)).collect()
    }

    /// An account with its factors, oldest first, kept as they are until the transaction ends; None when it is gone or has no
    /// factor.
    pub async fn lock_account_with_factors(
        &self,
        user: UserId,
    ) -> Result<Option<(Account, Vec<EnrolledFactor>)>, Error> {
        let owner: RelationDef =
            factor::Entity::belongs_to(user::Entity).from(factor::Column::UserId).to(user::Column::Id).into();
        // From the account to its factors: in this order PostgreSQL locks them, as every other transaction does.
        let rows = user::Entity::find_by_id(user.uuid())
            .join(JoinType::InnerJoin, owner.rev())
            .select_also(factor::Entity)
            .order_by_asc(factor::Column::Id)
            .lock_exclusive()
            .all(&self.inner)
            .await
            .map_err(outage)?;
        let mut locked = None;
        for (owner, factor) in rows {
            let factor = enrolled(factor.context("an account without the factor that it was found by")?, &self.ring)?;
            match &mut locked {
                None => locked = Some((account(owner, &self.ring)?, vec![factor])),
                Some((_, factors)) => factors.push(factor),
            }
        }
        Ok(locked)
    }

    /// Uses up what a right code stands for; Stale when it is used up already.
    pub async fn spend_factor(&self, id: FactorId, spend: Spend, now: Timestamp) -> Result<Swap, Error> {
        let spent = Expr::col(factor::Column::Spent);
        let (value, unspent) = match spend {
            Spend::UpTo(number) => (Expr::val(number), spent.lt(number)),
            Spend::Bit(bit) => (spent.clone().bit_or(bit), spent.bit_and(bit).eq(0)),
            Spend::Challenge => (spent.clone(), spent.gte(0)),
        };
        let done = factor::Entity::update_many()
            .col_expr(factor::Column::Spent, value)
            .col_expr(factor::Column::LastUseTime, Expr::val(now.millis()))
            .filter(factor::Column::Id.eq(id.uuid()))
            .filter(unspent)
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Removes one factor of an account; Stale when it is not there.
    pub async fn delete_factor(&self, user: UserId, id: FactorId) -> Result<Swap, Error> {
        let done = factor::Entity::delete_many()
            .filter(factor::Column::Id.eq(id.uuid()))
            .filter(factor::Column::UserId.eq(user.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Removes every factor of an account, or every one of a method; answers how many.
    pub async fn delete_factors(&self, user: UserId, method: Option<Method>) -> Result<u64, Error> {
        let mut all = factor::Entity::delete_many().filter(factor::Column::UserId.eq(user.uuid()));
        if let Some(method) = method {
            all = all.filter(factor::Column::Method.eq(method.as_str()));
        }
        Ok(all.exec(&self.inner).await.map_err(outage)?.rows_affected)
    }

    /// Adds a confirmed factor.
    pub async fn insert_factor(&self, new: &NewFactor<'_>, now: Timestamp) -> Result<(), Error> {
        let place = place(new.user.bytes(), new.id.bytes());
        let row = factor::ActiveModel {
            id: Set(new.id.uuid()),
            user_id: Set(new.user.uuid()),
            method: Set(new.method.as_str().to_owned()),
            label: Set(new.label.as_bytes().to_vec()),
            data: Set(self.ring.seal(place, new.data.expose())?),
            handle: NotSet,
            spent: Set(new.spent),
            version: Set(1),
            create_time: Set(now.millis()),
            last_use_time: NotSet,
        };
        factor::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }
}

fn by_age(user: UserId) -> sea_orm::Select<factor::Entity> {
    factor::Entity::find().filter(factor::Column::UserId.eq(user.uuid())).order_by_asc(factor::Column::Id)
}

/// A factor. One whose data do not open is there all the same: it is asked for, no code is right for it, and others are not in its way.
pub(super) fn enrolled(row: factor::Model, ring: &KeyRing) -> Result<EnrolledFactor, Error> {
    let opened = ring.open(place(row.user_id.as_bytes(), row.id.as_bytes()), &row.data);
    let data = match undamaged(opened.map_err(Error::from))? {
        Some(data) => FactorData::new(data.expose().clone()),
        None => FactorData::damaged(),
    };
    Ok(EnrolledFactor {
        id: FactorId::from_uuid(row.id),
        user: UserId::from_uuid(row.user_id),
        method: Method::from_word(&row.method).context("a stored method is unknown")?,
        label: String::from_utf8(row.label).context("a stored label is not UTF-8")?,
        data,
        spent: row.spent,
        create_time: Timestamp::from_millis(row.create_time),
        last_use_time: row.last_use_time.map(Timestamp::from_millis),
    })
}

fn place<'a>(user: &'a [u8; 16], row: &'a [u8; 16]) -> Place<'a> {
    Place { table: "factors", column: "data", user, row }
}
