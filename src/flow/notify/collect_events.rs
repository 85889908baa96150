//! Puts what the webhook is to be told into the outbox.

use std::time::Duration;

use serde_json::{Value, json};

use super::batch::{Batch, CLOCK_SKEW, Reader};
use crate::{
    audit,
    config::Topic,
    error::Error,
    flow::{Call, Kit, again::again},
    model::{AuditRecord, Channel, Cursor, EventKind, Method},
    store::NewDelivery,
    swap::Swap,
    webhook::Webhook,
};

/// Failed sign-ins are counted for so long.
const WINDOW: Duration = Duration::from_secs(10 * 60);

/// What is told of, and by which name.
const TOLD: [(EventKind, Topic, &str); 8] = [
    (EventKind::LoginLock, Topic::Lockouts, "account.locked"),
    (EventKind::FactorCreated, Topic::FactorChanges, "factor.created"),
    (EventKind::FactorDeleted, Topic::FactorChanges, "factor.deleted"),
    (EventKind::SecondFactorReset, Topic::FactorChanges, "factors.reset"),
    (EventKind::BackupCodesCreated, Topic::FactorChanges, "backup_codes.created"),
    (EventKind::SettingsUpdated, Topic::PolicyChanges, "settings.updated"),
    (EventKind::SmsBudgetAlarm, Topic::SmsBudget, "sms_budget.low"),
    (EventKind::SmsBudgetExhausted, Topic::SmsBudget, "sms_budget.exhausted"),
];

/// Records of a code that was right, whatever it was for.
pub(super) const CODE_PASSED: [EventKind; 3] = [EventKind::LoginSuccess, EventKind::StepUp, EventKind::CodeSuccess];
const FAILED: [EventKind; 2] = [EventKind::LoginFail, EventKind::CodeFail];

/// Goes on reading the audit log for the webhook; answers whether there may be more at once.
pub async fn collect_events(kit: &Kit, call: &Call) -> Result<bool, Error> {
    let Some(webhook) = &kit.webhook else {
        return Ok(false);
    };
    let told = TOLD.iter().map(|(kind, _, _)| *kind);
    let kinds = told.chain(CODE_PASSED).chain(FAILED).collect();
    let reader = Reader { name: "webhook", channel: Channel::Webhook, kinds, delay: Duration::ZERO };
    let Some(batch) = reader.next(kit, call).await? else {
        return Ok(false);
    };
    let (events, to) = events(webhook, &batch);
    again(|| async {
        let tx = kit.store.begin().await?;
        if tx.move_delivery_cursor(reader.name, &batch.from, &to).await? == Swap::Stale {
            return tx.roll_back().await;
        }
        for (kind, body) in &events {
            tx.insert_delivery(&NewDelivery { channel: reader.channel, kind, body: body.as_bytes() }, call.now).await?;
        }
        tx.commit().await
    })
    .await?;
    Ok(batch.is_full)
}

/// The events of a batch, as they are told; and where the reader is then.
fn events(webhook: &Webhook, batch: &Batch) -> (Vec<(&'static str, String)>, Cursor) {
    let mut cursor = Cursor { position: batch.seen, ..batch.from };
    let mut events = Vec::new();
    for (position, record) in &batch.records {
        if let Some((_, name)) = topic(record).filter(|(topic, _)| webhook.wants(*topic)) {
            events.push((name, body(name, *position, record, None)));
        }
        if count_failure(&mut cursor, record) == Some(webhook.failure_threshold())
            && webhook.wants(Topic::SignInFailures)
        {
            let name = "sign_in_failures.exceeded";
            events.push((name, body(name, *position, record, Some(cursor.failures))));
        }
    }
    (events, cursor)
}

fn topic(record: &AuditRecord) -> Option<(Topic, &'static str)> {
    let is = |kind: &EventKind| record.kind == kind.as_str();
    if CODE_PASSED.iter().any(is) {
        let is_backup_code = record.method.as_deref() == Some(Method::BackupCode.as_str());
        return is_backup_code.then_some((Topic::BackupCodeUse, "backup_code.used"));
    }
    // A name that no account has is a stranger's word.
    let is_nobodys = is(&EventKind::LoginLock) && record.subject.is_none();
    TOLD.iter().find(|(kind, _, _)| is(kind) && !is_nobodys).map(|(_, topic, name)| (*topic, *name))
}

/// Counts a failed sign-in in the window that it falls into; answers which one it is.
fn count_failure(cursor: &mut Cursor, record: &AuditRecord) -> Option<i64> {
    if !FAILED.iter().any(|kind| record.kind == kind.as_str()) {
        return None;
    }
    // Also one of before the window, but for the clocks of replicas: a clock was set back.
    let begun = cursor.window_end.minus(WINDOW + CLOCK_SKEW);
    if record.create_time >= cursor.window_end || record.create_time < begun {
        (cursor.failures, cursor.window_end) = (0, record.create_time.plus(WINDOW));
    }
    cursor.failures += 1;
    Some(cursor.failures)
}

/// What is posted: the record as `audit export` writes it.
fn body(name: &str, position: i64, record: &AuditRecord, failures: Option<i64>) -> String {
    let mut data = audit::json(position, record);
    if let (Some(failures), Value::Object(fields)) = (failures, &mut data) {
        fields.insert("failures".to_owned(), json!(failures));
        fields.insert("windowSeconds".to_owned(), json!(WINDOW.as_secs()));
    }
    json!({ "type": name, "timestamp": record.create_time.to_rfc3339(), "data": data }).to_string()
}
