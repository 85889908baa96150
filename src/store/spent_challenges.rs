//! Challenges that have given what they could give. A challenge that the ephemeral store brings back works no second time.

use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};

use super::{Tx, entity::spent_challenge, outage};
use crate::{clock::Timestamp, error::Error, swap::Swap};

impl Tx {
    /// Spends a challenge; Stale when it is spent already.
    pub async fn spend_challenge(&self, hash: &[u8; 32], end_time: Timestamp) -> Result<Swap, Error> {
        let row = spent_challenge::ActiveModel { challenge_hash: Set(hash.to_vec()), end_time: Set(end_time.millis()) };
        let rows = spent_challenge::Entity::insert(row)
            .on_conflict(OnConflict::column(spent_challenge::Column::ChallengeHash).do_nothing().to_owned())
            .exec_without_returning(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(rows))
    }
}
