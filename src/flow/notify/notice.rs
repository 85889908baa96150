//! What a record of the audit log is to the user whom it is about.

use super::collect_events::CODE_PASSED;
use crate::{
    limit,
    model::{AuditRecord, EventKind, Method, NEW_NETWORK, NoticeKind, WITH_FACTOR},
    store::Window,
};

/// What users may have to be told of.
pub(super) const TOLD: [EventKind; 12] = [
    EventKind::FactorCreated,
    EventKind::FactorDeleted,
    EventKind::BackupCodesCreated,
    EventKind::PasswordChange,
    EventKind::PasswordTokenCreated,
    EventKind::SecondFactorReset,
    EventKind::UserUpdated,
    EventKind::ChallengeCreated,
    EventKind::EnrolmentRequired,
    EventKind::LoginSuccess,
    EventKind::StepUp,
    EventKind::CodeSuccess,
];

/// How often a user is told of this: whoever makes it happen again and again buries nothing else, and costs nobody the mail server.
pub(super) fn window(kind: NoticeKind) -> Window {
    match kind {
        NoticeKind::NewNetwork => limit::NEW_NETWORK_NOTICES,
        NoticeKind::OneFactorPassed => limit::ABANDONED_NOTICES,
        NoticeKind::FactorAdded(_)
        | NoticeKind::FactorRemoved(_)
        | NoticeKind::BackupCodesReplaced
        | NoticeKind::BackupCodeUsed(_)
        | NoticeKind::PasswordChanged
        | NoticeKind::PasswordTokenIssued
        | NoticeKind::SecondFactorReset
        | NoticeKind::AddressChanged
        | NoticeKind::AccountDeleted => limit::NOTICES,
    }
}

/// What a record is to its user; None = nothing to be told of.
pub(super) fn kind(record: &AuditRecord) -> Option<NoticeKind> {
    let is = |kind: EventKind| record.kind == kind.as_str();
    let method = record.method.as_deref().and_then(Method::from_word);
    let note = record.note.as_deref();
    match method {
        Some(Method::BackupCode) if CODE_PASSED.into_iter().any(is) => {
            // The release before did not say.
            let left = record.count.and_then(|left| u32::try_from(left).ok());
            Some(NoticeKind::BackupCodeUsed(left))
        }
        Some(method) if is(EventKind::FactorCreated) => Some(NoticeKind::FactorAdded(method)),
        Some(method) if is(EventKind::FactorDeleted) => Some(NoticeKind::FactorRemoved(method)),
        // Those that come with the first factor are told of with it.
        _ if is(EventKind::BackupCodesCreated) && note != Some(WITH_FACTOR) => Some(NoticeKind::BackupCodesReplaced),
        _ if is(EventKind::PasswordChange) => Some(NoticeKind::PasswordChanged),
        _ if is(EventKind::PasswordTokenCreated) => Some(NoticeKind::PasswordTokenIssued),
        _ if is(EventKind::SecondFactorReset) => Some(NoticeKind::SecondFactorReset),
        _ if is(EventKind::UserUpdated) => Some(NoticeKind::AddressChanged),
        _ if note == Some(NEW_NETWORK) => Some(NoticeKind::NewNetwork),
        _ => None,
    }
}
