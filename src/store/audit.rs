//! The audit log: rows are only ever added, each in the transaction of what it tells and with a keyed hash of what it holds.

use std::sync::{PoisonError, atomic::Ordering};

use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QueryResult, QuerySelect, QueryTrait, Select,
};

use super::{Store, Tx, entity::audit_event, outage};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{AuditEventId, AuditRecord, Event, Method, Seal, SessionId, UserId},
    seal::KeyRing,
};

/// Places that are looked through at once for whoever follows the log.
const REACH: i64 = 20_000;

/// Records of an account that are told to an address which it loses.
const RECENT: u64 = 50;

/// Which records are looked for; what is unset does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// What happened; empty = anything.
    pub kinds: Vec<String>,
    /// What else, where it happened to no session; looked at together with `kinds`.
    pub kinds_outside: Vec<String>,
    /// Whose account it happened to.
    pub subject: Option<UserId>,
    /// The administrator who did it.
    pub admin: Option<UserId>,
    /// Where it came from.
    pub source: Option<String>,
    /// From this moment on.
    pub from: Option<Timestamp>,
    /// Before this moment.
    pub before: Option<Timestamp>,
}

impl Store {
    /// At most `count` sealed records, the last first, from the one before a position on.
    pub async fn audit_records_before(
        &self,
        filter: &AuditFilter,
        position: Option<i64>,
        count: u64,
    ) -> Result<Vec<(i64, AuditRecord)>, Error> {
        // What lies outside the chain was put there by somebody else: verifying tells, and nobody is shown it.
        let (anchor, end) = self.audit_chain().await?;
        let before = position.unwrap_or(i64::MAX).min(end.position.saturating_add(1));
        let which = condition(filter)
            .add(audit_event::Column::Position.gt(anchor.position))
            .add(audit_event::Column::Position.lt(before));
        let found = audit_event::Entity::find().filter(which).order_by_desc(audit_event::Column::Position);
        Ok(rows(&self.reader, found.limit(count)).await?.into_iter().filter_map(sealed).collect())
    }

    /// At most `count` sealed records in the order of the chain, from the one after a position on; and how far the log was looked
    /// through for them.
    pub async fn audit_records_after(
        &self,
        filter: &AuditFilter,
        position: i64,
        count: u64,
    ) -> Result<(Vec<(i64, AuditRecord)>, i64), Error> {
        let (anchor, end) = self.audit_chain().await?;
        let from = position.max(anchor.position);
        let to = end.position.min(from.saturating_add(REACH));
        if from >= to {
            return Ok((Vec::new(), from));
        }
        let which =
            condition(filter).add(audit_event::Column::Position.gt(from)).add(audit_event::Column::Position.lte(to));
        let found = audit_event::Entity::find().filter(which).order_by_asc(audit_event::Column::Position);
        let rows = rows(&self.reader, found.limit(count)).await?;
        let records: Vec<_> = rows.into_iter().filter_map(sealed).collect();
        let is_full = u64::try_from(records.len()).is_ok_and(|found| found >= count);
        let seen = records.last().filter(|_| is_full).map_or(to, |(position, _)| *position);
        Ok((records, seen))
    }

    /// Places outside the chain that records have, at most a few.
    pub async fn audit_places_outside(&self, end: i64) -> Result<Vec<i64>, Error> {
        let outside =
            Condition::any().add(audit_event::Column::Position.lte(0)).add(audit_event::Column::Position.gt(end));
        let found = audit_event::Entity::find().filter(outside).select_only().column(audit_event::Column::Position);
        let statement = self.reader.get_database_backend().build(&found.limit(10).into_query());
        let rows = self.reader.query_all_raw(statement).await.map_err(outage)?;
        // SQLite lets a word be a place: it lies after every number.
        Ok(rows.iter().map(|row| row.try_get_by_index(0).unwrap_or(i64::MAX)).collect())
    }

    /// At most `count` sealed records after a position, with what seals them, in the order of the chain.
    pub async fn audit_seals_after(&self, position: i64, count: u64) -> Result<Vec<(AuditRecord, Seal)>, Error> {
        let found = audit_event::Entity::find().filter(audit_event::Column::Position.gt(position));
        // Two at one position come in some order, and both come.
        let found = found.order_by_asc(audit_event::Column::Position).order_by_asc(audit_event::Column::Id);
        let mut records = read_all(&self.reader, &self.ring, found.limit(count)).await?;
        // One whose place cannot be read lies outside.
        records.retain(|(_, seal)| seal.position.is_some());
        Ok(records)
    }

    /// At most `count` records that are not sealed yet, after an id, with what is to seal them.
    pub async fn unsealed_audit_records(
        &self,
        after: Option<AuditEventId>,
        count: u64,
    ) -> Result<Vec<(AuditRecord, Seal)>, Error> {
        let mut found = audit_event::Entity::find().filter(audit_event::Column::Position.is_null());
        if let Some(after) = after {
            found = found.filter(audit_event::Column::Id.gt(after.uuid()));
        }
        read_all(&self.reader, &self.ring, found.order_by_asc(audit_event::Column::Id).limit(count)).await
    }
}

impl Tx {
    /// At most some records about an account that lie behind a place or have none yet, the first first.
    pub async fn audit_records_of_since(&self, subject: UserId, position: i64) -> Result<Vec<AuditRecord>, Error> {
        let later = Condition::any()
            .add(audit_event::Column::Position.gt(position))
            .add(audit_event::Column::Position.is_null());
        let found = audit_event::Entity::find()
            .filter(audit_event::Column::SubjectId.eq(subject.uuid()))
            .filter(later)
            .order_by_asc(audit_event::Column::Id)
            .limit(RECENT);
        let records = read_all(&self.inner, &self.ring, found).await?;
        Ok(records.into_iter().map(|(record, _)| record).collect())
    }

    /// Adds a record.
    pub async fn record(&self, event: &Event<'_>, now: Timestamp) -> Result<(), Error> {
        let mut row = audit_event::Model {
            id: AuditEventId::nth(now, self.records.fetch_add(1, Ordering::Relaxed))?.uuid(),
            create_time: now.millis(),
            kind: event.kind.as_str().to_owned(),
            reason: event.reason.map(str::to_owned),
            subject_id: event.subject.map(|id| id.uuid()),
            identifier_hash: event.identifier_hash.map(|hash| hash.to_vec()),
            session_id: event.session.map(|id| id.uuid()),
            method: event.method.map(|method| method.as_str().to_owned()),
            count: event.count,
            source: event.origin.source.to_string(),
            user_agent: event.origin.user_agent.as_bytes().to_vec(),
            request_id: event.origin.request_id.clone(),
            admin_id: event.origin.admin.map(|id| id.uuid()),
            note: event.note.map(|note| note.as_bytes().to_vec()),
            trace_id: event.origin.trace_id.clone(),
            mac: None,
            position: None,
            chain_hash: None,
            seal_time: None,
        };
        row.mac = Some(expected_mac(&self.ring, &row)?.to_vec());
        let row = audit_event::ActiveModel {
            id: Set(row.id),
            create_time: Set(row.create_time),
            kind: Set(row.kind),
            reason: Set(row.reason),
            subject_id: Set(row.subject_id),
            identifier_hash: Set(row.identifier_hash),
            session_id: Set(row.session_id),
            method: Set(row.method),
            count: Set(row.count),
            source: Set(row.source),
            user_agent: Set(row.user_agent),
            request_id: Set(row.request_id),
            admin_id: Set(row.admin_id),
            note: Set(row.note),
            trace_id: Set(row.trace_id),
            mac: Set(row.mac),
            ..Default::default()
        };
        let rows = audit_event::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        // A database can be told to let an insert vanish. No record, no answer.
        if rows != 1 {
            return Err(anyhow::anyhow!("the audit log has not taken a record").into());
        }
        let method = event.method.map(Method::as_str);
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner).push((event.kind.as_str(), method, event.reason));
        Ok(())
    }
}

/// The keyed hash of everything that a row tells. Each part has its length before it, and what is missing is told from what is empty.
fn expected_mac(ring: &KeyRing, row: &audit_event::Model) -> Result<[u8; 32], Error> {
    let mut bytes = Vec::with_capacity(512);
    let mut part = |part: Option<&[u8]>| {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part.unwrap_or_default());
    };
    let text = |text: &Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    part(Some(row.id.as_bytes()));
    part(Some(&row.create_time.to_be_bytes()));
    part(Some(row.kind.as_bytes()));
    part(text(&row.reason).as_deref());
    part(row.subject_id.as_ref().map(|id| id.as_bytes().as_slice()));
    part(row.identifier_hash.as_deref());
    part(row.session_id.as_ref().map(|id| id.as_bytes().as_slice()));
    part(text(&row.method).as_deref());
    part(row.count.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
    part(Some(row.source.as_bytes()));
    part(Some(&row.user_agent));
    part(Some(row.request_id.as_bytes()));
    part(row.admin_id.as_ref().map(|id| id.as_bytes().as_slice()));
    part(row.note.as_deref());
    part(text(&row.trace_id).as_deref());
    Ok(ring.index("audit row v1", &bytes)?)
}

/// Records with what seals them.
pub(super) async fn read_all(
    connection: &impl ConnectionTrait,
    ring: &KeyRing,
    query: Select<audit_event::Entity>,
) -> Result<Vec<(AuditRecord, Seal)>, Error> {
    rows(connection, query).await?.into_iter().map(|row| Ok((record(row.clone()), seal(ring, &row)?))).collect()
}

/// Rows. One that cannot be read any more must not stop the rest: it is read as one that was altered.
async fn rows(
    connection: &impl ConnectionTrait,
    query: Select<audit_event::Entity>,
) -> Result<Vec<audit_event::Model>, Error> {
    let statement = connection.get_database_backend().build(&query.into_query());
    let rows = connection.query_all_raw(statement).await.map_err(outage)?;
    let row = |row: &QueryResult| audit_event::Model::from_query_result(row, "").unwrap_or_else(|_| damaged(row));
    Ok(rows.iter().map(row).collect())
}

/// What can be read of a row: its place in the chain, so that those after it are not told of in its stead. Without an id it has
/// none.
fn damaged(row: &QueryResult) -> audit_event::Model {
    audit_event::Model {
        id: row.try_get("", "id").unwrap_or_default(),
        create_time: 0,
        kind: "damaged".to_owned(),
        reason: None,
        subject_id: None,
        identifier_hash: None,
        session_id: None,
        method: None,
        count: None,
        source: String::new(),
        user_agent: Vec::new(),
        request_id: String::new(),
        admin_id: None,
        note: None,
        trace_id: None,
        // None would be of a release that made none.
        mac: Some(row.try_get("", "mac").unwrap_or_default()),
        position: row.try_get("", "position").unwrap_or_default(),
        chain_hash: row.try_get("", "chain_hash").unwrap_or_default(),
        seal_time: row.try_get("", "seal_time").unwrap_or_default(),
    }
}

fn seal(ring: &KeyRing, row: &audit_event::Model) -> Result<Seal, Error> {
    Ok(Seal {
        expected: expected_mac(ring, row)?,
        mac: row.mac.clone(),
        position: row.position,
        link: row.chain_hash.clone(),
        seal_time: row.seal_time.map(Timestamp::from_millis),
    })
}

fn condition(filter: &AuditFilter) -> Condition {
    let AuditFilter { kinds, kinds_outside, subject, admin, source, from, before } = filter;
    let named = (!kinds.is_empty()).then(|| audit_event::Column::Kind.is_in(kinds));
    let outside = (!kinds_outside.is_empty()).then(|| {
        let is_outside = audit_event::Column::SessionId.is_null();
        Condition::all().add(audit_event::Column::Kind.is_in(kinds_outside)).add(is_outside)
    });
    let is_asked = named.is_some() || outside.is_some();
    Condition::all()
        .add_option(is_asked.then(|| Condition::any().add_option(named).add_option(outside)))
        .add_option(subject.map(|subject| audit_event::Column::SubjectId.eq(subject.uuid())))
        .add_option(admin.map(|admin| audit_event::Column::AdminId.eq(admin.uuid())))
        .add_option(source.as_ref().map(|source| audit_event::Column::Source.eq(source.as_str())))
        .add_option(from.map(|from| audit_event::Column::CreateTime.gte(from.millis())))
        .add_option(before.map(|before| audit_event::Column::CreateTime.lt(before.millis())))
}

fn sealed(row: audit_event::Model) -> Option<(i64, AuditRecord)> {
    Some((row.position?, record(row)))
}

fn record(row: audit_event::Model) -> AuditRecord {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    AuditRecord {
        id: AuditEventId::from_uuid(row.id),
        create_time: Timestamp::from_millis(row.create_time),
        kind: row.kind,
        reason: row.reason,
        subject: row.subject_id.map(UserId::from_uuid),
        identifier_hash: row.identifier_hash,
        session: row.session_id.map(SessionId::from_uuid),
        method: row.method,
        count: row.count,
        source: row.source,
        user_agent: text(row.user_agent),
        request_id: row.request_id,
        trace_id: row.trace_id,
        admin: row.admin_id.map(UserId::from_uuid),
        note: row.note.map(text),
    }
}
