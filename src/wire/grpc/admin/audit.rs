//! The audit log, for administrators.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{sleep, timeout},
};
use tonic::Status;

use super::Admin;
use crate::{
    clock::{Clock, Timestamp, steady_now},
    error::{Error, Refusal},
    flow::{Kit, Page, audit, in_time},
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
/// A database that does not answer by then ends it.
const PATIENCE: Duration = Duration::from_secs(4);
/// And so does a reader that has taken nothing by then.
const STALLED: Duration = Duration::from_secs(60);
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

/// A record; or why there is none any more.
type Sent = Result<pb::WatchAuditEventsResponse, Status>;

/// A stream of records.
pub type Records = Pin<Box<dyn Stream<Item = Sent> + Send>>;

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
        // A record, and the last word.
        let (sent, taken) = mpsc::channel(2);
        self.following.spawn(watcher.follow(sent));
        Ok(Box::pin(stream::unfold(taken, |mut taken| async move { Some((taken.recv().await?, taken)) })))
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
    /// Follows the log until its reader leaves, the service stops, or the reader is told why it ends. By a task of its own: whoever
    /// takes nothing of it keeps its place no longer than others, and no connection to the database.
    async fn follow(mut self, sent: mpsc::Sender<Sent>) {
        let Ok(last) = sent.clone().reserve_owned().await else {
            return;
        };
        if let Err(error) = self.hand_all_over(&sent).await {
            last.send(Err(status::of(error, &self.request_id)));
        }
    }

    async fn hand_all_over(&mut self, sent: &mpsc::Sender<Sent>) -> Result<(), Error> {
        while !*self.stopped.borrow() && !sent.is_closed() {
            // Before each record, however long the one before has waited to be taken.
            if self.checked.is_none_or(|checked| checked.elapsed() >= SESSION_INTERVAL) {
                self.must_live().await?;
            }
            match self.ready.pop_front() {
                Some(record) => self.hand_over(record, sent).await?,
                None => self.look(sent).await?,
            }
        }
        Ok(())
    }

    /// Hands a record over once the one before it is taken.
    async fn hand_over(&mut self, record: (i64, AuditRecord), sent: &mpsc::Sender<Sent>) -> Result<(), Error> {
        let begun = steady_now();
        loop {
            match timeout(SESSION_INTERVAL, sent.reserve()).await {
                Ok(Ok(room)) => {
                    let resume_token = record.0.to_string();
                    room.send(Ok(pb::WatchAuditEventsResponse { audit_event: Some(shown(record)), resume_token }));
                    return Ok(());
                }
                Ok(Err(_)) => return Ok(()),
                Err(_) if *self.stopped.borrow() => return Ok(()),
                Err(_) if begun.elapsed() >= STALLED => return Err(Refusal::DeadlineExceeded.into()),
                Err(_) => self.must_live().await?,
            }
        }
    }

    /// Looks for what is new; and where nothing is, waits a moment.
    async fn look(&mut self, sent: &mpsc::Sender<Sent>) -> Result<(), Error> {
        let records = audit::records_after(&self.kit.store, &self.filter, self.position, BATCH);
        let (records, seen) = in_time(PATIENCE, records).await?;
        self.position = seen;
        self.ready = records.into();
        if self.ready.is_empty() {
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => {}
                () = sent.closed() => {}
                () = sleep(INTERVAL) => {}
            }
        }
        Ok(())
    }

    async fn must_live(&mut self) -> Result<(), Error> {
        let live = in_time(PATIENCE, self.kit.store.find_live_session(self.principal.session)).await?;
        let live = live.filter(|live| live.session.is_alive(self.clock.now()) && !live.blocked);
        match live.map(|live| live.role) {
            Some(Role::Admin) => {
                self.checked = Some(steady_now());
                Ok(())
            }
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
