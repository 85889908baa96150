//! Finds sign-ins whose password was right and whose second factor never came, and tells their users.

use std::time::Duration;

use super::{
    address::{Told, mailings},
    batch::Reader,
};
use crate::{
    challenge,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{AuditRecord, Channel, Cursor, EventKind, NoticeKind},
    store::AuditFilter,
    swap::Swap,
};

/// A challenge that was answered is recorded so long after its end at most: calls under way, and what is not sealed yet.
const SLACK: Duration = Duration::from_secs(60);
/// What two replicas recorded at about the same time lies in the order of their clocks, which are no further apart, within what is
/// sealed at once: the success may lie before the challenge.
const SKEW: Duration = Duration::from_secs(10);
const SEALED_AT_ONCE: i64 = 200;

/// Goes on looking for them; answers whether there may be more at once.
pub async fn collect_abandoned(kit: &Kit, call: &Call) -> Result<bool, Error> {
    if kit.mail.is_none() {
        return Ok(false);
    }
    let (kinds, delay) = (vec![EventKind::ChallengeCreated], challenge::CHALLENGE_LIFE + SLACK);
    let reader = Reader { name: "abandoned", channel: Channel::Mail, kinds, delay };
    let Some(batch) = reader.next(kit, call).await? else {
        return Ok(false);
    };
    let mut told = Vec::new();
    for (position, record) in &batch.records {
        // One of a session is no sign-in.
        let user = record.subject.filter(|_| record.session.is_none());
        if let Some(user) = user
            && !was_completed(kit, *position, record).await?
        {
            told.extend(Told::of(kit, user, NoticeKind::OneFactorPassed, record).await?);
        }
    }
    let to = Cursor { position: batch.seen, ..batch.from };
    again(|| async {
        let tx = kit.store.begin().await?;
        if tx.move_delivery_cursor(reader.name, &batch.from, &to).await? == Swap::Stale {
            return tx.roll_back().await;
        }
        for told in &told {
            mailings(kit, &tx, told, call).await?;
        }
        tx.commit().await
    })
    .await?;
    Ok(batch.is_full)
}

/// Whether the same user has come in from the same address while the challenge was open. A success from elsewhere is no excuse.
async fn was_completed(kit: &Kit, position: i64, record: &AuditRecord) -> Result<bool, Error> {
    let done = [EventKind::LoginSuccess, EventKind::PasswordChange];
    let filter = AuditFilter {
        kinds: done.iter().map(|kind| kind.as_str().to_owned()).collect(),
        subject: record.subject,
        source: Some(record.source.clone()),
        from: Some(record.create_time.minus(SKEW)),
        before: Some(record.create_time.plus(challenge::CHALLENGE_LIFE + SLACK)),
        ..AuditFilter::default()
    };
    let mut from = position.saturating_sub(SEALED_AT_ONCE);
    loop {
        // A reach at a time, to the end of what is sealed.
        let (found, seen) = kit.store.audit_records_after(&filter, from, 1).await?;
        if !found.is_empty() || seen <= from {
            return Ok(!found.is_empty());
        }
        from = seen;
    }
}
