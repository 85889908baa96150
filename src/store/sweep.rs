//! Takes away what has run out, a little at a time. What is to go is found by a reader, so that the writer is held only for the
//! deletion itself; and it is deleted by the same condition again, so that a row which has come to life meanwhile stays.

use sea_orm::{
    ColumnTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect, TryGetable, Value,
    sea_query::{Expr, ValueType},
};
use uuid::Uuid;

use super::{
    Store,
    entity::{bucket, create_request, delivery, known_network, password_token, session, sms_prefix, spent_challenge},
    outage,
};
use crate::{clock::Timestamp, error::Error};

type Hash = Vec<u8>;

/// What was given up can be looked at for 30 days.
const GIVEN_UP_KEPT: i64 = 30 * 24 * 60 * 60 * 1000;

impl Store {
    /// Removes at most `batch` rows of each kind that ended before `now`; answers how many went.
    pub async fn sweep(&self, batch: u64, now: Timestamp) -> Result<u64, Error> {
        let now = now.millis();
        let sessions = session::Column::IdleEndTime.lte(now);
        let challenges = spent_challenge::Column::EndTime.lte(now);
        let buckets = bucket::Column::EndTime.lte(now).and(bucket::Column::LockedUntil.lte(now));
        let networks = known_network::Column::EndTime.lte(now);
        let tokens = password_token::Column::EndTime.lte(now);
        let requests = create_request::Column::EndTime.lte(now);
        let prefixes = sms_prefix::Column::EndTime.lte(now);
        // And what waits on a channel that was switched off long ago.
        let given_up = delivery::Column::GiveUpTime.lte(now - GIVEN_UP_KEPT);
        let given_up = given_up.or(delivery::Column::CreateTime.lte(now - 2 * GIVEN_UP_KEPT));
        let swept = [
            self.forget_successors(batch, now).await?,
            self.delete::<session::Entity, Uuid>(session::Column::Id, sessions, batch).await?,
            self.delete::<spent_challenge::Entity, Hash>(spent_challenge::Column::ChallengeHash, challenges, batch)
                .await?,
            self.delete::<bucket::Entity, Hash>(bucket::Column::BucketHash, buckets, batch).await?,
            self.delete::<known_network::Entity, Hash>(known_network::Column::NetworkHash, networks, batch).await?,
            self.delete::<password_token::Entity, Hash>(password_token::Column::TokenHash, tokens, batch).await?,
            self.delete::<create_request::Entity, Hash>(create_request::Column::RequestHash, requests, batch).await?,
            self.delete::<sms_prefix::Entity, String>(sms_prefix::Column::Prefix, prefixes, batch).await?,
            self.delete::<delivery::Entity, Uuid>(delivery::Column::Id, given_up, batch).await?,
        ];
        Ok(swept.into_iter().sum())
    }

    /// Forgets successors whose grace is over: from then on their hashes are all that is kept.
    async fn forget_successors(&self, batch: u64, now: i64) -> Result<u64, Error> {
        let over = session::Column::SuccessorEndTime.lte(now);
        let ids = self.find::<session::Entity, Uuid>(session::Column::Id, over.clone(), batch).await?;
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

    async fn delete<E, K>(&self, key: E::Column, over: Expr, batch: u64) -> Result<u64, Error>
    where
        E: EntityTrait,
        K: TryGetable + ValueType + Into<Value> + Send,
    {
        let keys = self.find::<E, K>(key, over.clone(), batch).await?;
        if keys.is_empty() {
            return Ok(0);
        }
        let delete = E::delete_many().filter(key.is_in(keys)).filter(over);
        Ok(delete.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }

    async fn find<E, K>(&self, key: E::Column, over: Expr, batch: u64) -> Result<Vec<K>, Error>
    where
        E: EntityTrait,
        K: TryGetable + Send,
    {
        let found = E::find().select_only().column(key).filter(over).limit(batch).into_tuple();
        found.all(&self.reader).await.map_err(outage)
    }
}
