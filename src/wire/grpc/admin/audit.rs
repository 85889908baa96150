//! The audit log, for administrators.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tonic::Status;

use super::Admin;
use crate::{
    clock::{Clock, Timestamp, steady_now},
    error::{Error, Refusal},
    flow::{Kit, Page, audit},
    model::{AuditRecord, Principal, Role},
    store::AuditFilter,
    wire::{
        grpc::{
            Admitted,
            convert::{id, timestamp},
        },
        pb, status,
    },
};

/// The log is looked at so often.
const INTERVAL: Duration = Duration::from_millis(500);
/// And the session of whoever follows it.
const SESSION_INTERVAL: Duration = Duration::from_secs(1);
/// Records of a look.
const BATCH: u64 = 25;
/// So many follow it at once, by one replica.
pub const WATCHERS: usize = 64;

/// Both calls have the same filters.
macro_rules! filter {
    ($message:expr) => {{
        let message = $message;
        AuditFilter {
            kinds: message.kinds.clone(),
            subject: id("user_id", &message.user_id)?,
            admin: id("admin_user_id", &message.admin_user_id)?,
            source: Some(message.source.clone()).filter(|source| !source.is_empty()),
            from: message.from_time.as_ref().map(moment),
            before: message.before_time.as_ref().map(moment),
            ..AuditFilter::default()
        }
    }};
}

/// A stream of records.
pub type Records = Pin<Box<dyn Stream<Item = Result<pb::WatchAuditEventsResponse, Status>> + Send>>;

impl Admin {
    pub(super) async fn audit_events(
        &self,
        admitted: &Admitted<pb::ListAuditEventsRequest>,
    ) -> Result<pb::ListAuditEventsResponse, Error> {
        let message = &admitted.message;
        let page = Page::of(message.page_size, &message.page_token)?;
        let filter = filter!(message);
        let page = audit::read_audit_events(&self.kit, &filter, page, &admitted.call).await?;
        Ok(pb::ListAuditEventsResponse {
            audit_events: page.records.into_iter().map(shown).collect(),
            next_page_token: page.next.map(|position| position.to_string()).unwrap_or_default(),
        })
    }

    pub(super) async fn followed_audit_events(
        &self,
        admitted: &Admitted<pb::WatchAuditEventsRequest>,
    ) -> Result<Records, Error> {
        let filter = filter!(&admitted.message);
        let position = match admitted.message.resume_token.as_str() {
            "" => None,
            token => Some(
                token
                    .parse()
                    .ok()
                    .filter(|position| *position >= 0)
                    .ok_or_else(|| Refusal::field("resume_token", "must be one of a record, or \"0\"."))?,
            ),
        };
        let busy = Refusal::RateLimited { retry_after: Some(Duration::from_secs(5)) };
        let place = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| busy)?;
        let position = audit::follow(&self.kit, position, &admitted.call).await?;
        let watcher = Watcher {
            kit: Arc::clone(&self.kit),
            clock: Arc::clone(&self.clock),
            stopped: self.stopped.clone(),
            principal: admitted.admin()?.clone(),
            request_id: admitted.call.origin.request_id.clone(),
            filter,
            position,
            ready: VecDeque::new(),
            checked: None,
            _place: place,
        };
        Ok(Box::pin(stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(Some(record)) => Some((Ok(record), Some(watcher))),
                Ok(None) => None,
                // The stream ends with what has ended it.
                Err(error) => Some((Err(status::of(error, &watcher.request_id)), None)),
            }
        })))
    }
}

/// Somebody who follows the log.
struct Watcher {
    kit: Arc<Kit>,
    clock: Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
    principal: Principal,
    request_id: String,
    filter: AuditFilter,
    position: i64,
    ready: VecDeque<(i64, AuditRecord)>,
    /// When it was last seen that the session lives.
    checked: Option<Instant>,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    /// The next record, when there is one; None = the service stops.
    async fn next(&mut self) -> Result<Option<pb::WatchAuditEventsResponse>, Error> {
        loop {
            if *self.stopped.borrow() {
                return Ok(None);
            }
            // Before each record, however long the one before has waited to be taken.
            if self.checked.is_none_or(|checked| checked.elapsed() >= SESSION_INTERVAL) {
                self.must_live().await?;
                self.checked = Some(steady_now());
            }
            if let Some(record) = self.ready.pop_front() {
                let resume_token = record.0.to_string();
                return Ok(Some(pb::WatchAuditEventsResponse { audit_event: Some(shown(record)), resume_token }));
            }
            let (records, seen) = audit::records_after(&self.kit.store, &self.filter, self.position, BATCH).await?;
            self.position = seen;
            self.ready = records.into();
            if self.ready.is_empty() {
                // A stop ends the wait, and is seen above.
                let _ = tokio::time::timeout(INTERVAL, self.stopped.wait_for(|stopped| *stopped)).await;
            }
        }
    }

    async fn must_live(&self) -> Result<(), Error> {
        let live = self.kit.store.find_live_session(self.principal.session).await?;
        let live = live.filter(|live| live.session.is_alive(self.clock.now()) && !live.blocked);
        match live.map(|live| live.role) {
            Some(Role::Admin) => Ok(()),
            Some(Role::User) => Err(Refusal::PermissionDenied.into()),
            None => Err(Refusal::Unauthenticated.into()),
        }
    }
}

fn moment(time: &prost_types::Timestamp) -> Timestamp {
    Timestamp::from_millis(time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos) / 1_000_000))
}

fn shown((position, record): (i64, AuditRecord)) -> pb::AuditEvent {
    pb::AuditEvent {
        audit_event_id: record.id.to_string(),
        position,
        create_time: Some(timestamp(record.create_time)),
        kind: record.kind,
        reason: record.reason.unwrap_or_default(),
        user_id: record.subject.map(|id| id.to_string()).unwrap_or_default(),
        admin_user_id: record.admin.map(|id| id.to_string()).unwrap_or_default(),
        session_id: record.session.map(|id| id.to_string()).unwrap_or_default(),
        method: record.method.unwrap_or_default(),
        count: record.count.unwrap_or_default(),
        source: record.source,
        user_agent: record.user_agent,
        request_id: record.request_id,
        trace_id: record.trace_id.unwrap_or_default(),
        note: record.note.unwrap_or_default(),
    }
}
