//! The chain of the audit log: which record comes at which place, and where the chain ends. One process at a time makes it longer.

use std::time::Duration;

use anyhow::Context;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    sea_query::{CaseStatement, Expr},
};

use super::{
    Store, Tx,
    audit::read_all,
    entity::{audit_chain, audit_event},
    outage,
};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{AuditEventId, ChainPoint, Seal},
    swap::Swap,
};

const ROW: i16 = 1;
/// Clocks of replicas are no further apart.
const LEASE_SKEW: Duration = Duration::from_secs(10);

/// A record's place in the chain.
pub struct Link {
    /// The record.
    pub id: AuditEventId,
    /// Its place.
    pub position: i64,
    /// The link that it is there.
    pub hash: [u8; 32],
    /// When it was given its place.
    pub time: Timestamp,
}

impl Store {
    /// Where the chain begins, since older records were dropped, and where it ends.
    pub async fn audit_chain(&self) -> Result<(ChainPoint, ChainPoint), Error> {
        let row = audit_chain::Entity::find_by_id(ROW).one(&self.reader).await.map_err(outage)?;
        points(row.context("the end of the audit chain is not in the database")?)
    }

    /// Since when there is a record that is not sealed; None = there is none. The beginning of time stands for one that was altered so that
    /// its time cannot be read.
    pub async fn oldest_unsealed_audit_record(&self) -> Result<Option<Timestamp>, Error> {
        let unsealed = audit_event::Entity::find().filter(audit_event::Column::Position.is_null());
        let oldest = unsealed.order_by_asc(audit_event::Column::Id).limit(1);
        let oldest = oldest.select_only().column(audit_event::Column::CreateTime).into_query();
        let statement = self.reader.get_database_backend().build(&oldest);
        let row = self.reader.query_one_raw(statement).await.map_err(outage)?;
        Ok(row.map(|row| Timestamp::from_millis(row.try_get_by_index(0).unwrap_or(0))))
    }
}

impl Store {
    /// The first place between two, the last included, that has a record of this moment or later; None = all there are older.
    pub async fn first_audit_position_since(&self, time: Timestamp, after: i64, to: i64) -> Result<Option<i64>, Error> {
        let since = audit_event::Entity::find()
            .filter(audit_event::Column::Position.gt(after))
            .filter(audit_event::Column::Position.lte(to))
            .filter(audit_event::Column::CreateTime.gte(time.millis()));
        let by_place = since.order_by_asc(audit_event::Column::Position).limit(1).select_only();
        by_place.column(audit_event::Column::Position).into_tuple().one(&self.reader).await.map_err(outage)
    }

    /// Removes at most so many places before and with the one that the log begins after; answers how many records went.
    pub async fn delete_audit_records(&self, anchor: i64, count: i64) -> Result<u64, Error> {
        let first: Option<i64> = audit_event::Entity::find()
            .filter(audit_event::Column::Position.lte(anchor))
            .order_by_asc(audit_event::Column::Position)
            .limit(1)
            .select_only()
            .column(audit_event::Column::Position)
            .into_tuple()
            .one(&self.reader)
            .await
            .map_err(outage)?;
        let Some(first) = first else {
            return Ok(0);
        };
        let old = audit_event::Entity::delete_many()
            .filter(audit_event::Column::Position.lte(anchor))
            .filter(audit_event::Column::Position.lt(first.saturating_add(count)));
        Ok(old.exec(&self.writer).await.map_err(outage)?.rows_affected)
    }
}

impl Tx {
    /// Lets the log begin after a later place; Stale when it does not begin where it did.
    pub async fn save_audit_anchor(&self, before: i64, anchor: &ChainPoint) -> Result<Swap, Error> {
        let done = audit_chain::Entity::update_many()
            .col_expr(audit_chain::Column::AnchorPosition, Expr::val(anchor.position))
            .col_expr(audit_chain::Column::AnchorHash, Expr::val(anchor.hash.to_vec()))
            .col_expr(audit_chain::Column::AnchorAuthenticated, Expr::val(anchor.is_authenticated))
            .col_expr(audit_chain::Column::AnchorKeyId, Expr::val(anchor.key_id.as_str()))
            .col_expr(audit_chain::Column::AnchorSignature, Expr::val(anchor.signature.clone()))
            .filter(audit_chain::Column::Id.eq(ROW))
            .filter(audit_chain::Column::AnchorPosition.eq(before))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }

    /// Becomes or stays the one who seals, until a moment; None while another one is. Answers where the chain ends.
    pub async fn take_seal_lease(
        &self,
        holder: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<ChainPoint>, Error> {
        let mine_or_over = Condition::any()
            .add(audit_chain::Column::LeaseHolder.eq(holder))
            .add(audit_chain::Column::LeaseEndTime.lte(now.millis()))
            // Of a clock that was far ahead, or of somebody who wants that nobody seals. (Safe it is by the lock of this row alone.)
            .add(audit_chain::Column::LeaseEndTime.gt(until.plus(LEASE_SKEW).millis()));
        let done = audit_chain::Entity::update_many()
            .col_expr(audit_chain::Column::LeaseHolder, Expr::val(holder))
            .col_expr(audit_chain::Column::LeaseEndTime, Expr::val(until.millis()))
            .filter(audit_chain::Column::Id.eq(ROW))
            .filter(mine_or_over)
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        if done.rows_affected == 0 {
            return Ok(None);
        }
        let row = audit_chain::Entity::find_by_id(ROW).one(&self.inner).await.map_err(outage)?;
        points(row.context("the end of the audit chain is not in the database")?).map(|(_, end)| Some(end))
    }

    /// At most `count` records that are not sealed, in the order in which they happened.
    pub async fn unsealed_audit_records(&self, count: u64) -> Result<Vec<(AuditEventId, Seal)>, Error> {
        let unsealed = audit_event::Entity::find()
            .filter(audit_event::Column::Position.is_null())
            .order_by_asc(audit_event::Column::Id)
            .limit(count);
        let records = read_all(&self.inner, &self.ring, unsealed).await?;
        // What has no id cannot be given a place; verifying names it.
        let named = records.into_iter().map(|(record, seal)| (record.id, seal)).filter(|(id, _)| !id.uuid().is_nil());
        Ok(named.collect())
    }

    /// Gives records their places.
    pub async fn save_links(&self, links: &[Link]) -> Result<(), Error> {
        let (mut positions, mut hashes) = (CaseStatement::new(), CaseStatement::new());
        let time = links.first().map_or(0, |link| link.time.millis());
        for link in links {
            let is_it = || Expr::col(audit_event::Column::Id).eq(link.id.uuid());
            positions = positions.case(is_it(), Expr::val(link.position));
            hashes = hashes.case(is_it(), Expr::val(link.hash.to_vec()));
        }
        let done = audit_event::Entity::update_many()
            .col_expr(audit_event::Column::Position, positions.into())
            .col_expr(audit_event::Column::ChainHash, hashes.into())
            .col_expr(audit_event::Column::SealTime, Expr::val(time))
            .filter(audit_event::Column::Id.is_in(links.iter().map(|link| link.id.uuid())))
            .filter(audit_event::Column::Position.is_null())
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        if usize::try_from(done.rows_affected).ok() == Some(links.len()) {
            return Ok(());
        }
        Err(anyhow::anyhow!("records of the audit log went while they were sealed").into())
    }

    /// Puts the end of the chain where the last link is.
    pub async fn save_chain_end(&self, before: i64, end: &ChainPoint) -> Result<Swap, Error> {
        let done = audit_chain::Entity::update_many()
            .col_expr(audit_chain::Column::Position, Expr::val(end.position))
            .col_expr(audit_chain::Column::Hash, Expr::val(end.hash.to_vec()))
            .col_expr(audit_chain::Column::KeyId, Expr::val(end.key_id.as_str()))
            .col_expr(audit_chain::Column::Signature, Expr::val(end.signature.clone()))
            .filter(audit_chain::Column::Id.eq(ROW))
            .filter(audit_chain::Column::Position.eq(before))
            .exec(&self.inner)
            .await
            .map_err(outage)?;
        Ok(Swap::from_rows(done.rows_affected))
    }
}

fn points(row: audit_chain::Model) -> Result<(ChainPoint, ChainPoint), Error> {
    let hash = |bytes: Vec<u8>| <[u8; 32]>::try_from(bytes).ok().context("a link of the audit chain is not 32 bytes");
    let anchor = ChainPoint {
        position: row.anchor_position,
        hash: hash(row.anchor_hash)?,
        is_authenticated: row.anchor_authenticated,
        key_id: row.anchor_key_id,
        signature: row.anchor_signature,
    };
    let end = ChainPoint {
        position: row.position,
        hash: hash(row.hash)?,
        is_authenticated: false,
        key_id: row.key_id,
        signature: row.signature,
    };
    Ok((anchor, end))
}
