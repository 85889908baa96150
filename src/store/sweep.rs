//! Takes away what has run out, a little at a time.

use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    Store, Tx,
    entity::{session, spent_challenge},
    outage,
};
use crate::{clock::Timestamp, error::Error};

impl Store {
    /// Removes at most `batch` sessions and as many spent challenges that ended before `now`; answers how many went.
    pub async fn sweep(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let tx = self.begin().await?;
        let swept = tx.sweep_sessions(batch, now).await? + tx.sweep_spent_challenges(batch, now).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

impl Tx {
    async fn sweep_sessions(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let ended = Condition::any()
            .add(session::Column::EndTime.lte(now.millis()))
            .add(session::Column::IdleEndTime.lte(now.millis()));
        let rows = session::Entity::find().filter(ended).limit(batch).all(&self.inner).await.map_err(outage)?;
        let ids = rows.into_iter().map(|row| row.id);
        let done = session::Entity::delete_many()
            .filter(session::Column::Id.is_in(ids))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(done.rows_affected)
    }

    async fn sweep_spent_challenges(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let rows = spent_challenge::Entity::find()
            .filter(spent_challenge::Column::EndTime.lte(now.millis()))
            .order_by_asc(spent_challenge::Column::EndTime)
            .limit(batch)
            .all(&self.inner)
            .await
            .map_err(outage)?;
        let hashes = rows.into_iter().map(|row| row.challenge_hash);
        let done = spent_challenge::Entity::delete_many()
            .filter(spent_challenge::Column::ChallengeHash.is_in(hashes))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(done.rows_affected)
    }
}
