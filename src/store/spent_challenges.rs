//! Challenges that have given what they could give. A challenge that the ephemeral store brings back works no second time.

use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{Store, Tx, entity::spent_challenge, inserted, outage};
use crate::{clock::Timestamp, error::Error, swap::Swap};

impl Store {
    /// Whether a challenge is spent.
    pub async fn is_spent(&self, hash: &[u8; 32]) -> Result<bool, Error> {
        let row = spent_challenge::Entity::find_by_id(hash.to_vec()).one(&self.reader).await.map_err(outage)?;
        Ok(row.is_some())
    }
}

impl Tx {
    /// Spends a challenge; Stale when it is spent already, and then the transaction must be rolled back.
    pub async fn spend_challenge(&self, hash: &[u8; 32], end_time: Timestamp) -> Result<Swap, Error> {
        let row = spent_challenge::ActiveModel { challenge_hash: Set(hash.to_vec()), end_time: Set(end_time.millis()) };
        inserted(spent_challenge::Entity::insert(row).exec_without_returning(&self.inner).await)
    }
}
