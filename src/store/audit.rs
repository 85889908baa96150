//! The audit log: rows are only ever added, each in the transaction of what it tells.

use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{Tx, entity::audit_event, outage};
use crate::{
    clock::Timestamp,
    error::Error,
    model::{AuditEventId, Event},
};

impl Tx {
    /// Adds a record.
    pub async fn record(&self, event: &Event<'_>, now: Timestamp) -> Result<(), Error> {
        let row = audit_event::ActiveModel {
            id: Set(AuditEventId::new(now).uuid()),
            create_time: Set(now.millis()),
            kind: Set(event.kind.as_str().to_owned()),
            reason: Set(event.reason.map(str::to_owned)),
            subject_id: Set(event.subject.map(|id| id.uuid())),
            identifier_hash: Set(event.identifier_hash.map(|hash| hash.to_vec())),
            session_id: Set(event.session.map(|id| id.uuid())),
            method: Set(event.method.map(|method| method.as_str().to_owned())),
            count: Set(event.count),
            source: Set(event.origin.source.to_string()),
            user_agent: Set(event.origin.user_agent.as_bytes().to_vec()),
            request_id: Set(event.origin.request_id.clone()),
            admin_id: Set(event.origin.admin.map(|id| id.uuid())),
            note: Set(event.note.map(|note| note.as_bytes().to_vec())),
        };
        audit_event::Entity::insert(row).exec_without_returning(&self.inner).await.map_err(outage)?;
        Ok(())
    }
}
