//! Takes away what has run out, a little at a time. What is to go is found by the readers, so that the writer is held only for
//! the deletion itself.

use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::Expr};
use uuid::Uuid;

use super::{
    Store,
    entity::{bucket, known_network, password_token, session, spent_challenge},
    outage,
};
use crate::{clock::Timestamp, error::Error};

impl Store {
    /// Removes at most `batch` rows of each kind that ended before `now`; answers how many went.
    pub async fn sweep(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let sessions = self.sweep_sessions(batch, now).await?;
        let successors = self.sweep_successors(batch, now).await?;
        let challenges = self.sweep_spent_challenges(batch, now).await?;
        let passwords = self.sweep_passwords(batch, now).await?;
        Ok(sessions + successors + challenges + passwords)
    }

    /// Counters that have been quiet, networks that were not seen for long, and password tokens that have run out.
    async fn sweep_passwords(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        // Found by the reader and deleted by the same condition: a row that has come to life again stays.
        let over = bucket::Column::EndTime.lte(now.millis()).and(bucket::Column::LockedUntil.lte(now.millis()));
        let ended = bucket::Entity::find().filter(over.clone()).limit(batch).all(&self.reader).await.map_err(outage)?;
        let hashes: Vec<_> = ended.into_iter().map(|row| row.bucket_hash).collect();
        let mut swept = 0;
        if !hashes.is_empty() {
            let delete = bucket::Entity::delete_many().filter(bucket::Column::BucketHash.is_in(hashes)).filter(over);
            swept += delete.exec(&self.writer).await.map_err(outage)?.rows_affected;
        }
        let over = known_network::Column::EndTime.lte(now.millis());
        let ended = known_network::Entity::find().filter(over.clone()).limit(batch).all(&self.reader).await;
        let hashes: Vec<_> = ended.map_err(outage)?.into_iter().map(|row| row.network_hash).collect();
        if !hashes.is_empty() {
            let these = known_network::Column::NetworkHash.is_in(hashes);
            let delete = known_network::Entity::delete_many().filter(these).filter(over);
            swept += delete.exec(&self.writer).await.map_err(outage)?.rows_affected;
        }
        let over = password_token::Column::EndTime.lte(now.millis());
        let ended = password_token::Entity::find().filter(over.clone()).limit(batch).all(&self.reader).await;
        let hashes: Vec<_> = ended.map_err(outage)?.into_iter().map(|row| row.token_hash).collect();
        if !hashes.is_empty() {
            let these = password_token::Column::TokenHash.is_in(hashes);
            let delete = password_token::Entity::delete_many().filter(these).filter(over);
            swept += delete.exec(&self.writer).await.map_err(outage)?.rows_affected;
        }
        Ok(swept)
    }

    async fn sweep_sessions(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let ended = session::Column::IdleEndTime.lte(now.millis());
        let ids: Vec<Uuid> = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(ended.clone())
            .order_by_asc(session::Column::IdleEndTime)
            .limit(batch)
            .into_tuple()
            .all(&self.reader)
            .await
            .map_err(outage)?;
        if ids.is_empty() {
            return Ok(0);
        }
        // The condition again: a session may have been refreshed since.
        let delete = session::Entity::delete_many().filter(session::Column::Id.is_in(ids)).filter(ended);
        Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }

    /// Forgets successors whose grace is over: from then on their hashes are all that is kept.
    async fn sweep_successors(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let over = session::Column::SuccessorEndTime.lte(now.millis());
        let ids: Vec<Uuid> = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(over.clone())
            .limit(batch)
            .into_tuple()
            .all(&self.reader)
            .await
            .map_err(outage)?;
        if ids.is_empty() {
            return Ok(0);
        }
        let update = session::Entity::update_many()
            .col_expr(session::Column::Successor, Expr::value(None::<Vec<u8>>))
            .col_expr(session::Column::SuccessorEndTime, Expr::value(None::<i64>))
            .filter(session::Column::Id.is_in(ids))
            .filter(over);
        Ok(update.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }

    async fn sweep_spent_challenges(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let hashes: Vec<Vec<u8>> = spent_challenge::Entity::find()
            .select_only()
            .column(spent_challenge::Column::ChallengeHash)
            .filter(spent_challenge::Column::EndTime.lte(now.millis()))
            .limit(batch)
            .into_tuple()
            .all(&self.reader)
            .await
            .map_err(outage)?;
        if hashes.is_empty() {
            return Ok(0);
        }
        let delete =
            spent_challenge::Entity::delete_many().filter(spent_challenge::Column::ChallengeHash.is_in(hashes));
        Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }
}
