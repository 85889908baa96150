//! Fences a database that was restored from a backup: nothing that was used or given out before works again.

use std::{collections::HashMap, time::Duration};

use anyhow::anyhow;

use super::epoch::known_epoch;
use crate::{
    clock::{Clock, Timestamp, steady_now},
    ephemeral::Ephemeral,
    error::{Error, Outage},
    factor::totp,
    flow::{Call, again::again, keys::LIVE},
    model::{Event, EventKind},
    seal::KeyRing,
    store::{Epoch, Replica, Store},
    swap::Swap,
};

/// Rows that are changed in one go.
const ROWS: u64 = 1000;
/// So often something is done again while the database does not answer, and after such a while.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// Whether a replica speaks is looked at so often.
const LISTEN: Duration = Duration::from_millis(500);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced {
    /// How far the database had come.
    pub before: Timestamp,
    /// How far it has come now.
    pub epoch: Timestamp,
    /// Whether the ephemeral store knows that.
    pub is_told: bool,
    /// Accounts.
    pub accounts: u64,
    /// Authenticators whose present codes are used up.
    pub authenticators: u64,
    /// Sets of backup codes that are gone.
    pub backup_codes: u64,
    /// Password tokens that are gone.
    pub password_tokens: u64,
    /// Sessions that have ended.
    pub sessions: u64,
}

/// When each replica has said last that it serves.
type Reports = HashMap<String, Timestamp>;

/// Fences the database. It is marked first and the mark is taken away by what raises the epoch: nobody serves on one that was fenced by
/// half, and whoever was cut off begins again.
pub async fn restore_fence(
    store: &Store,
    ephemeral: &dyn Ephemeral,
    ring: &KeyRing,
    clock: &dyn Clock,
    call: &Call,
) -> Result<Fenced, Error> {
    let reports = steadily(|| until_silent(store, clock)).await?;
    let found = steadily(|| store.epoch()).await?;
    // Whichever clock is ahead: codes were judged by those of replicas.
    let now = store.clock(clock.now()).await?.max(clock.now());
    let begun = Epoch { fence_begin: Some(later(now, found.fence_begin)), ..found };
    taken(store.save_fence_begin(found, begun.fence_begin).await?)?;
    // A replica reports before it looks at the mark. One that has not seen it is seen here.
    let speaking = speaking(store, &reports, store.clock(clock.now()).await?).await?;
    if !speaking.is_empty() {
        taken(store.save_fence_begin(begun, found.fence_begin).await?)?;
        return Err(serving(&speaking));
    }
    // Versions first and sessions last: a call that began before the one does not outlive the other.
    let mut fenced = Fenced {
        before: found.value,
        epoch: now,
        is_told: false,
        accounts: steadily(|| store.fence_accounts(ROWS, now)).await?,
        authenticators: steadily(|| store.fence_authenticators(ROWS, totp::last_step(now))).await?,
        backup_codes: steadily(|| store.fence_backup_codes(ROWS)).await?,
        password_tokens: steadily(|| store.fence_password_tokens(ROWS)).await?,
        sessions: steadily(|| store.fence_sessions(ROWS)).await?,
    };
    // A Redis that does not answer is told by the first replica that it answers again.
    let known = known_epoch(ephemeral, ring, found.value).await.unwrap_or(found.value);
    fenced.epoch = later(later(now, Some(found.value)), Some(known));
    steadily(|| end(store, begun, &fenced, call)).await?;
    fenced.is_told = known_epoch(ephemeral, ring, fenced.epoch).await.is_ok();
    Ok(fenced)
}

async fn end(store: &Store, begun: Epoch, fenced: &Fenced, call: &Call) -> Result<(), Error> {
    let tx = store.begin().await?;
    let note = format!(
        "restored database: {} to {}; {} sessions, {} sets of backup codes, {} password tokens ended",
        fenced.before.to_rfc3339(),
        fenced.epoch.to_rfc3339(),
        fenced.sessions,
        fenced.backup_codes,
        fenced.password_tokens
    );
    tx.record(&Event::about_nobody(EventKind::RestoreFenced, &call.origin).note(&note), call.now).await?;
    if tx.end_fence(begun, fenced.epoch).await? == Swap::Stale {
        tx.roll_back().await?;
        // The answer of a commit may be lost, and not the commit.
        let is_done =
            store.epoch().await? == Epoch { value: fenced.epoch, fence_begin: None, fence_end: Some(fenced.epoch) };
        return taken(if is_done { Swap::Done } else { Swap::Stale });
    }
    tx.commit().await
}

/// Does what may be done again until the database answers, for a while: a fence of large tables takes long, and is cut off by no hiccup.
async fn steadily<T, F>(mut work: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..TRIES {
        match again(&mut work).await {
            Err(Error::Broken(fault)) if fault.is::<Outage>() => {
                tracing::warn!(fault = format!("{fault:#}"), "the database does not answer; tries again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
    work().await
}

/// Waits until no replica that may still serve has said so for a while. What a backup tells of replicas is of its time: they do not
/// speak.
async fn until_silent(store: &Store, clock: &dyn Clock) -> Result<Reports, Error> {
    let begin = steady_now();
    let now = store.clock(clock.now()).await?;
    let first = live(store, now).await?.into_iter().map(|replica| (replica.id, replica.report_time)).collect();
    loop {
        let now = store.clock(clock.now()).await?;
        let speaking = speaking(store, &first, now).await?;
        if !speaking.is_empty() {
            return Err(serving(&speaking));
        }
        if live(store, now).await?.is_empty() || begin.elapsed() >= LIVE {
            return Ok(first);
        }
        tokio::time::sleep(LISTEN).await;
    }
}

async fn live(store: &Store, now: Timestamp) -> Result<Vec<Replica>, Error> {
    store.replicas_since(now.minus(LIVE)).await
}

/// The replicas that have said something since then.
async fn speaking(store: &Store, reports: &Reports, now: Timestamp) -> Result<Vec<String>, Error> {
    let replicas = live(store, now).await?.into_iter();
    let has_spoken = |replica: &Replica| reports.get(&replica.id).is_none_or(|report| replica.report_time > *report);
    Ok(replicas.filter(has_spoken).map(|replica| replica.id).collect())
}

fn serving(replicas: &[String]) -> Error {
    anyhow!(
        "{} replicas serve on the database of database.url ({}); remedy: stop them, then run `countersign restore-fence` again",
        replicas.len(),
        replicas.join(", ")
    )
    .into()
}

fn taken(swap: Swap) -> Result<(), Error> {
    match swap {
        Swap::Done => Ok(()),
        Swap::Stale => Err(anyhow!(
            "another `countersign restore-fence` has taken over, or the database was restored again; remedy: run one at a time"
        )
        .into()),
    }
}

/// A moment that comes after another.
fn later(now: Timestamp, than: Option<Timestamp>) -> Timestamp {
    than.map_or(now, |than| now.max(than.plus(Duration::from_millis(1))))
}
