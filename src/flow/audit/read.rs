//! Reads the audit log in the order of its chain: what is not sealed yet is not shown yet.

use crate::{
    error::{Error, Refusal},
    flow::{Call, Kit, Page, admin::record_read},
    model::AuditRecord,
    store::{AuditFilter, Store},
};

/// A page of records.
pub struct AuditPage {
    /// Places and records, the last first.
    pub records: Vec<(i64, AuditRecord)>,
    /// Asks for the next page; None = this is the last.
    pub next: Option<i64>,
}

/// A page of records, for an administrator.
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn read_audit_events(
    kit: &Kit,
    filter: &AuditFilter,
    page: Page<i64>,
    call: &Call,
) -> Result<AuditPage, Error> {
    let records = kit.store.audit_records_before(filter, page.after, page.one_more()).await?;
    record_read(kit, "ListAuditEvents", filter.subject, call).await?;
    let (records, next) = page.cut(records, |(position, _)| *position);
    Ok(AuditPage { records, next })
}

/// Begins to follow the log, after a place or, without one, after what there is; answers after which.
pub async fn follow(kit: &Kit, position: Option<i64>, call: &Call) -> Result<i64, Error> {
    let (anchor, end) = kit.store.audit_chain().await?;
    let from = match position {
        Some(position) if position != 0 && position < anchor.position => {
            let problem = "is of a record that was dropped since, as those that followed it; begin with \"0\".";
            return Err(Refusal::field("resume_token", problem).into());
        }
        Some(position) => position,
        None => end.position,
    };
    record_read(kit, "WatchAuditEvents", None, call).await?;
    Ok(from)
}

/// At most `count` records after a place, for whoever exports or follows the log; and after which place to look next.
pub async fn records_after(
    store: &Store,
    filter: &AuditFilter,
    position: i64,
    count: u64,
) -> Result<(Vec<(i64, AuditRecord)>, i64), Error> {
    store.audit_records_after(filter, position, count).await
}
