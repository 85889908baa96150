//! `audit`: verifies the audit log, and writes it out.

use std::time::{Duration, UNIX_EPOCH};

use anyhow::{bail, ensure};
use clap::Subcommand;
use serde_json::{Value, json};

use super::say;
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock, Timestamp},
    config::Config,
    error::Error,
    flow::audit::{self, Finding, Verdict},
    model::AuditRecord,
    store::AuditFilter,
    telemetry,
    token::keys::SigningKeys,
};

const BATCH: u64 = 1000;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Goes through the whole log, and names what was altered, removed or moved; exit status 0 when nothing was
    Verify {
        /// The log must reach at least to this place, as an earlier verification has told it ("POSITION" or "POSITION:HASH")
        #[arg(long, value_name = "HEAD")]
        head: Option<String>,
    },
    /// Writes the sealed records to standard output, a line of JSON each
    Export {
        /// Begins after this place
        #[arg(long, default_value_t = 0, value_name = "POSITION")]
        after: i64,
    },
}

pub(super) async fn run(config: &Config, action: &Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    let now = SystemClock.now();
    let (store, ring) = app::open_store(config, Schema::AsConfigured, now).await?;
    let done = match action {
        Action::Verify { head } => {
            let keys = SigningKeys::from_ring(&ring)?;
            let verdict = audit::verify_audit(&store, &keys).await.map_err(Error::into_anyhow)?;
            let known = match head {
                Some(head) => known_head(&store, head, &verdict).await?,
                None => None,
            };
            tell(&verdict, known)
        }
        Action::Export { after } => export(&store, *after).await,
    };
    store.close().await?;
    done
}

/// What is wrong with a head that was told before; None = nothing.
async fn known_head(store: &crate::store::Store, head: &str, verdict: &Verdict) -> anyhow::Result<Option<String>> {
    let (position, hash) = head.split_once(':').map_or((head, None), |(position, hash)| (position, Some(hash)));
    let position: i64 = position.parse().map_err(|_| anyhow::anyhow!("--head: must be POSITION or POSITION:HASH"))?;
    if verdict.end < position {
        return Ok(Some(format!("The log ends at {}, and was longer: it reached to {position}.", verdict.end)));
    }
    let Some(hash) = hash else {
        return Ok(None);
    };
    let found = store.audit_seals_after(position - 1, 1).await.map_err(Error::into_anyhow)?;
    let link =
        found.first().filter(|(_, seal)| seal.position == Some(position)).and_then(|(_, seal)| seal.link.clone());
    let link = link.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok((link != hash).then(|| format!("At {position} the log is not what it was: {link}, and was {hash}.")))
}

fn tell(verdict: &Verdict, known: Option<String>) -> anyhow::Result<()> {
    let Verdict { sealed, unsealed, old, end, end_hash, findings } = verdict;
    say(&format!("Sealed:   {sealed} records, to {end}:{end_hash}"))?;
    say(&format!("Tail:     {unsealed} records, not sealed yet"))?;
    if *old > 0 {
        say(&format!(
            "Old:      {old} records of a release that did not authenticate them: the chain alone holds them"
        ))?;
    }
    for finding in findings {
        say(&format!("PROBLEM:  {}", words(finding)))?;
    }
    if let Some(problem) = &known {
        say(&format!("PROBLEM:  {problem}"))?;
    }
    ensure!(findings.is_empty() && known.is_none(), "the audit log is not what it was");
    say("Nothing was altered, removed or moved.")
}

fn words(finding: &Finding) -> String {
    let at = |position: &Option<i64>| position.map_or("in the tail".to_owned(), |position| format!("at {position}"));
    match finding {
        Finding::Altered { position, id, time } => {
            format!("The record {id} {} was altered (it says {}).", at(position), rfc3339(*time))
        }
        Finding::Unauthenticated { position, id } => {
            format!(
                "The record {id} {} has nothing that authenticates it: it was not written by this service.",
                at(position)
            )
        }
        Finding::Missing { from, to } if from == to => format!("The record at {from} was removed."),
        Finding::Missing { from, to } => format!("The records from {from} to {to} were removed."),
        Finding::Replaced { position, id } => {
            format!(
                "The record {id} at {position} is not the one that was sealed there: it was moved, or one before it was."
            )
        }
        Finding::Unsigned { position } => {
            format!("The end at {position} is not signed by a key of this ring: it was set by somebody else.")
        }
        Finding::End { signed, found } => {
            format!("The records end at {found}, and the signed end is {signed}: the last ones were removed, or added.")
        }
    }
}

async fn export(store: &crate::store::Store, after: i64) -> anyhow::Result<()> {
    if after < 0 {
        bail!("--after: must not be negative");
    }
    let mut position = after;
    loop {
        let any = AuditFilter::default();
        let records = audit::records_after(store, &any, position, BATCH).await.map_err(Error::into_anyhow)?;
        let Some((last, _)) = records.last() else {
            return Ok(());
        };
        position = *last;
        let lines: Vec<_> = records.iter().map(|(position, record)| line(*position, record).to_string()).collect();
        say(&lines.join("\n"))?;
    }
}

/// The names are those of `AuditEvent` in JSON.
fn line(position: i64, record: &AuditRecord) -> Value {
    let all = json!({
        "auditEventId": record.id.to_string(),
        "position": position,
        "createTime": rfc3339(record.create_time),
        "kind": record.kind,
        "reason": record.reason,
        "userId": record.subject.map(|id| id.to_string()),
        "adminUserId": record.admin.map(|id| id.to_string()),
        "sessionId": record.session.map(|id| id.to_string()),
        "method": record.method,
        "count": record.count,
        "source": record.source,
        "userAgent": record.user_agent,
        "requestId": record.request_id,
        "traceId": record.trace_id,
        "note": record.note,
    });
    match all {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => all,
    }
}

fn rfc3339(time: Timestamp) -> String {
    let since = Duration::from_millis(u64::try_from(time.millis()).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}
