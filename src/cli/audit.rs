//! `audit`: verifies the audit log, and writes it out.

use anyhow::{Context, bail, ensure};
use clap::Subcommand;

use super::say;
use crate::{
    app::{self, Schema},
    audit::json as audit_json,
    clock::{Clock, SystemClock},
    config::Config,
    error::Error,
    flow::audit::{self, Finding, Verdict},
    seal::hex,
    store::AuditFilter,
    telemetry,
    token::keys::SigningKeys,
};

const BATCH: u64 = 1000;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Goes through the whole log, and names what was altered, removed or moved; exit status 0 when nothing was
    Verify {
        /// What an earlier verification has told as the end ("POSITION:HASH"): the log must hold it still
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
            let verdict = audit::verify_audit(&store, &ring, &keys).await.map_err(Error::into_anyhow)?;
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

/// What is wrong with an end that was told before; None = nothing.
async fn known_head(store: &crate::store::Store, head: &str, verdict: &Verdict) -> anyhow::Result<Option<String>> {
    let parsed = head.split_once(':').and_then(|(position, hash)| Some((position.parse::<i64>().ok()?, hash)));
    let (position, hash) = parsed.filter(|(position, _)| *position >= 0).context("--head: must be POSITION:HASH")?;
    let hash = hash.to_ascii_lowercase();
    if verdict.end < position {
        return Ok(Some(format!("The log ends at {}, and was longer: it reached to {position}.", verdict.end)));
    }
    let (anchor, _) = store.audit_chain().await.map_err(Error::into_anyhow)?;
    ensure!(
        position >= anchor.position,
        "--head: the log begins after {} since older records were dropped; {position} cannot be compared any more",
        anchor.position
    );
    let found = if position == anchor.position {
        anchor.hash.to_vec()
    } else {
        let records = store.audit_seals_after(position - 1, 1).await.map_err(Error::into_anyhow)?;
        let at = records.into_iter().find(|(_, seal)| seal.position == Some(position));
        at.and_then(|(_, seal)| seal.link).unwrap_or_default()
    };
    let found = hex(&found);
    Ok((found != hash).then(|| format!("At {position} the log is not what it was: {found}, and was {hash}.")))
}

fn tell(verdict: &Verdict, known: Option<String>) -> anyhow::Result<()> {
    let Verdict { sealed, unsealed, old, late, late_time, end, end_hash, findings } = verdict;
    say(&format!("Sealed:   {sealed} records, to {end}:{end_hash}"))?;
    say(&format!("Tail:     {unsealed} records, not sealed yet"))?;
    if *old > 0 {
        say(&format!(
            "Old:      {old} records of a release that did not authenticate them: the chain alone holds them"
        ))?;
    }
    if let Some(time) = late_time {
        say(&format!(
            "NOTE:     {late} records were sealed more than a minute after they happened, the first of them at {}: the service was down \
             before that, or somebody has set the chain back",
            time.to_rfc3339()
        ))?;
    }
    for finding in findings {
        say(&format!("PROBLEM:  {}", words(finding)))?;
    }
    if let Some(problem) = &known {
        say(&format!("PROBLEM:  {problem}"))?;
    }
    ensure!(findings.is_empty() && known.is_none(), "the audit log is not what it was");
    say("What was sealed is what it was.")
}

fn words(finding: &Finding) -> String {
    let at = |position: &Option<i64>| position.map_or("in the tail".to_owned(), |position| format!("at {position}"));
    match finding {
        Finding::Altered { position, id, time } => {
            format!("The record {id} {} was altered (it says {}).", at(position), time.to_rfc3339())
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
        Finding::Outside { position } => {
            format!("There is a record at {position}, where the log does not reach: it was put there by somebody else.")
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
        let (records, seen) = audit::records_after(store, &any, position, BATCH).await.map_err(Error::into_anyhow)?;
        if seen <= position {
            return Ok(());
        }
        position = seen;
        if records.is_empty() {
            continue;
        }
        let lines: Vec<_> =
            records.iter().map(|(position, record)| audit_json(*position, record).to_string()).collect();
        say(&lines.join("\n"))?;
    }
}
