//! Lists what has happened to the account of the caller.

use super::{Kit, paging::Page};
use crate::{
    error::Error,
    model::{AuditRecord, EventKind, Principal},
    store::AuditFilter,
};

/// What a user is shown: what happened to the account, and not how the service was used.
const SHOWN: [EventKind; 24] = [
    EventKind::LoginSuccess,
    EventKind::LoginFail,
    EventKind::LoginLock,
    EventKind::CodeSent,
    EventKind::CodeSuccess,
    EventKind::CodeFail,
    EventKind::Replay,
    EventKind::EnrolmentStarted,
    EventKind::EnrolmentRequired,
    EventKind::FactorCreated,
    EventKind::FactorDeleted,
    EventKind::BackupCodesCreated,
    EventKind::StepUp,
    EventKind::TokenReuse,
    EventKind::SessionEnded,
    EventKind::UserCreated,
    EventKind::PasswordChange,
    EventKind::PasswordTokenCreated,
    EventKind::SecondFactorReset,
    EventKind::UserUnlocked,
    EventKind::UserUpdated,
    EventKind::RoleChanged,
    EventKind::UserBlocked,
    EventKind::UserUnblocked,
];

/// What is shown where no session is named: a password was right, and a code was asked for. Whoever knows no code has come this far.
const SHOWN_OUTSIDE: [EventKind; 1] = [EventKind::ChallengeCreated];

/// A page of events.
pub struct EventPage {
    /// The events, the last first.
    pub records: Vec<AuditRecord>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<i64>,
}

/// A page of what has happened to the caller's account.
pub async fn list_security_events(kit: &Kit, principal: &Principal, page: Page<i64>) -> Result<EventPage, Error> {
    let words = |kinds: &[EventKind]| kinds.iter().map(|kind| kind.as_str().to_owned()).collect();
    let (kinds, kinds_outside) = (words(&SHOWN), words(&SHOWN_OUTSIDE));
    let filter = AuditFilter { kinds, kinds_outside, subject: Some(principal.user), ..AuditFilter::default() };
    let records = kit.store.audit_records_before(&filter, page.after, page.one_more()).await?;
    let (records, next) = page.cut(records, |(position, _)| *position);
    Ok(EventPage { records: records.into_iter().map(|(_, record)| record).collect(), next })
}
