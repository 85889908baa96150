//! Lets nothing from before work again after the database was restored. Each table is gone through by its key, some rows at a time and
//! each time in a transaction of its own: it takes as long as the table is large, and locks little. What was done may be done again.

use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, TryGetable, Value,
    sea_query::{Expr, ValueType},
};
use uuid::Uuid;

use super::{
    Store,
    entity::{factor, password_token, session, user},
    outage,
};
use crate::{clock::Timestamp, error::Error, model::Method};

impl Store {
    /// Raises the security version of every account to one that it never had: what is open in the ephemeral store may be of versions
    /// that the restored account has not come to yet. Answers how many accounts there are.
    pub async fn fence_accounts(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        self.in_batches::<user::Entity, Uuid>(user::Column::Id, batch, async |some| {
            let version = || Expr::col(user::Column::SecurityVersion);
            let raised = Expr::case(version().gte(now.millis()), version().add(1)).finally(now.millis());
            let update = user::Entity::update_many().col_expr(user::Column::SecurityVersion, raised.into());
            Ok(update.filter(some).exec(&self.writer).await.map_err(outage)?.rows_affected)
        })
        .await
    }

    /// Uses up the codes of every authenticator up to a step; answers how many had some left.
    pub async fn fence_authenticators(&self, batch: u64, step: i64) -> Result<u64, Error> {
        self.in_batches::<factor::Entity, Uuid>(factor::Column::Id, batch, async |some| {
            let update = factor::Entity::update_many()
                .col_expr(factor::Column::Spent, Expr::val(step))
                .filter(some)
                .filter(factor::Column::Method.eq(Method::Totp.as_str()))
                .filter(factor::Column::Spent.lt(step));
            Ok(update.exec(&self.writer).await.map_err(outage)?.rows_affected)
        })
        .await
    }

    /// Removes every set of backup codes; answers how many.
    pub async fn fence_backup_codes(&self, batch: u64) -> Result<u64, Error> {
        self.in_batches::<factor::Entity, Uuid>(factor::Column::Id, batch, async |some| {
            let sets = factor::Column::Method.eq(Method::BackupCode.as_str());
            let delete = factor::Entity::delete_many().filter(some).filter(sets);
            Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
        })
        .await
    }

    /// Ends every password token; answers how many.
    pub async fn fence_password_tokens(&self, batch: u64) -> Result<u64, Error> {
        self.in_batches::<password_token::Entity, Vec<u8>>(password_token::Column::TokenHash, batch, async |some| {
            let delete = password_token::Entity::delete_many().filter(some);
            Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
        })
        .await
    }

    /// Ends every session; answers how many.
    pub async fn fence_sessions(&self, batch: u64) -> Result<u64, Error> {
        self.in_batches::<session::Entity, Uuid>(session::Column::Id, batch, async |some| {
            let delete = session::Entity::delete_many().filter(some);
            Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
        })
        .await
    }

    /// Goes through a table in the order of its key; answers how many rows were changed.
    async fn in_batches<E, K>(
        &self,
        key: E::Column,
        batch: u64,
        change: impl AsyncFn(Expr) -> Result<u64, Error>,
    ) -> Result<u64, Error>
    where
        E: EntityTrait,
        K: TryGetable + ValueType + Into<Value> + Clone + Send,
    {
        let (mut changed, mut last) = (0, None::<K>);
        loop {
            let mut next = E::find().select_only().column(key);
            if let Some(last) = last.clone() {
                next = next.filter(key.gt(last));
            }
            let keys: Vec<K> =
                next.order_by_asc(key).limit(batch).into_tuple().all(&self.reader).await.map_err(outage)?;
            let Some(end) = keys.last().cloned() else {
                return Ok(changed);
            };
            let some = key.lte(end.clone());
            let some = match last {
                Some(last) => some.and(key.gt(last)),
                None => some,
            };
            changed += change(some).await?;
            last = Some(end);
        }
    }
}
