//! Requests to make an account that may come again, by hashes of the ids that their callers have given them.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{Store, Tx, entity::create_request, inserted, outage};
use crate::{clock::Timestamp, error::Error, model::UserId, swap::Swap};

/// A request to make an account.
pub struct CreateRequest {
    /// Hash of its id and of who has sent it.
    pub hash: [u8; 32],
    /// Hash of what it asks for.
    pub content: [u8; 32],
    /// The account that it makes.
    pub user: UserId,
    /// Until when it may come again.
    pub end_time: Timestamp,
}

impl Store {
    /// The request of this hash, while it may come again: hash of its content, and its account.
    pub async fn find_create_request(
        &self,
        hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, UserId)>, Error> {
        let row = create_request::Entity::find_by_id(hash.to_vec()).one(&self.reader).await.map_err(outage)?;
        let row = row.filter(|row| now.millis() < row.end_time);
        Ok(row.map(|row| (row.content_hash, UserId::from_uuid(row.user_id))))
    }
}

impl Tx {
    /// Remembers a request; Stale when it has come before.
    pub async fn insert_create_request(&self, request: &CreateRequest, now: Timestamp) -> Result<Swap, Error> {
        create_request::Entity::delete_many()
            .filter(create_request::Column::RequestHash.eq(request.hash.to_vec()))
            .filter(create_request::Column::EndTime.lte(now.millis()))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        let row = create_request::ActiveModel {
            request_hash: Set(request.hash.to_vec()),
            content_hash: Set(request.content.to_vec()),
            user_id: Set(request.user.uuid()),
            end_time: Set(request.end_time.millis()),
        };
        inserted(create_request::Entity::insert(row).exec_without_returning(&self.inner).await)
    }
}
