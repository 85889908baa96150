//! Puts what users are to be told into the outbox: a letter for each address of theirs.

use std::time::Duration;

use super::{
    address::{Told, mailings},
    batch::Reader,
    collect_events::CODE_PASSED,
};
use crate::{
    error::Error,
    flow::{Call, Kit, again::again},
    limit,
    model::{AuditRecord, Channel, Cursor, EventKind, Method, NEW_NETWORK, NoticeKind, WITH_FACTOR},
    swap::Swap,
};

const TOLD: [EventKind; 9] = [
    EventKind::FactorCreated,
    EventKind::FactorDeleted,
    EventKind::BackupCodesCreated,
    EventKind::PasswordChange,
    EventKind::PasswordTokenCreated,
    EventKind::SecondFactorReset,
    EventKind::UserUpdated,
    EventKind::ChallengeCreated,
    EventKind::EnrolmentRequired,
];

/// Goes on reading the audit log for what users are to know; answers whether there may be more at once.
pub async fn collect_notices(kit: &Kit, call: &Call) -> Result<bool, Error> {
    if kit.mail.is_none() {
        return Ok(false);
    }
    let kinds = TOLD.into_iter().chain(CODE_PASSED).collect();
    let reader = Reader { name: "notices", channel: Channel::Mail, kinds, delay: Duration::ZERO };
    let Some(batch) = reader.next(kit, call).await? else {
        return Ok(false);
    };
    let mut told = Vec::new();
    for (_, record) in &batch.records {
        if let (Some(user), Some(kind)) = (record.subject, kind(record)) {
            told.extend(Told::of(kit, user, kind, record).await?);
        }
    }
    let to = Cursor { position: batch.seen, ..batch.from };
    again(|| async {
        let tx = kit.store.begin().await?;
        if tx.move_delivery_cursor(reader.name, &batch.from, &to).await? == Swap::Stale {
            return tx.roll_back().await;
        }
        for told in &told {
            let is_new_network = told.notice.kind == NoticeKind::NewNetwork;
            let window = is_new_network.then_some(limit::NEW_NETWORK_NOTICES);
            mailings(kit, &tx, told, window, call).await?;
        }
        tx.commit().await
    })
    .await?;
    Ok(batch.is_full)
}

/// What a record is to its user; None = nothing to be told of.
fn kind(record: &AuditRecord) -> Option<NoticeKind> {
    let is = |kind: EventKind| record.kind == kind.as_str();
    let method = record.method.as_deref().and_then(Method::from_word);
    let note = record.note.as_deref();
    match method {
        Some(Method::BackupCode) if CODE_PASSED.into_iter().any(is) => {
            let left = record.count.and_then(|left| u32::try_from(left).ok()).unwrap_or(0);
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
