//! One-time password tokens, by their hashes.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{Store, Tx, entity::password_token, outage};
use crate::{clock::Timestamp, error::Error, model::UserId, swap::Swap};

impl Store {
    /// Whose token this is; None when it is unknown, used or has run out.
    pub async fn find_password_token(&self, hash: &[u8; 32], now: Timestamp) -> Result<Option<UserId>, Error> {
        let row = password_token::Entity::find_by_id(hash.to_vec()).one(&self.reader).await.map_err(outage)?;
        Ok(row.filter(|row| now.millis() < row.end_time).map(|row| UserId::from_uuid(row.user_id)))
    }
}

impl Tx {
    /// Keeps a token.
    pub async fn insert_password_token(&self, hash: &[u8; 32], user: UserId, end_time: Timestamp) -> Result<(), Error> {
        let row = password_token::ActiveModel {
            token_hash: Set(hash.to_vec()),
            user_id: Set(user.uuid()),
            end_time: Set(end_time.millis()),
        };
        password_token::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }

    /// Uses a token up; Stale when it is used, or has run out.
    pub async fn use_password_token(&self, hash: &[u8; 32], user: UserId, now: Timestamp) -> Result<Swap, Error> {
        let done = password_token::Entity::delete_many()
            .filter(password_token::Column::TokenHash.eq(hash.to_vec()))
            .filter(password_token::Column::UserId.eq(user.uuid()))
            .filter(password_token::Column::EndTime.gt(now.millis()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Ends every token of an account.
    pub async fn delete_password_tokens(&self, user: UserId) -> Result<(), Error> {
        password_token::Entity::delete_many()
            .filter(password_token::Column::UserId.eq(user.uuid()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(())
    }
}
