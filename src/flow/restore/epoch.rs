//! How far the database has come: raised while the service runs, remembered by the ephemeral store, and compared.

use std::time::Duration;

use anyhow::anyhow;

use crate::{
    clock::Timestamp,
    ephemeral::{DatabaseHash, Ephemeral},
    error::Error,
    flow::Kit,
    seal::KeyRing,
    store::Epoch,
    swap::Swap,
};

/// It is raised so often: a database that was set back by more is told.
const STEP: Duration = Duration::from_secs(5);
/// It is remembered when it is so old: a failover to a server that lacks the last moment is none of a backup.
const SETTLED: Duration = Duration::from_secs(3);

/// No database has come less far.
const START: Timestamp = Timestamp::from_millis(0);

/// What a process has seen of its database.
#[derive(Default)]
pub struct Seen {
    /// How far it had come.
    pub epoch: Option<Timestamp>,
    /// When it was fenced last, as this process has found it.
    fence_end: Option<Option<Timestamp>>,
}

/// What is known of a database by how far it has come.
#[derive(Debug)]
pub enum Standing {
    /// It has come as far as it ever had.
    Good,
    /// The ephemeral store does not answer, and nobody else knows.
    Unknown(Error),
    /// It had come further.
    SetBack {
        /// So far it has come.
        to: Timestamp,
        /// So far it had.
        from: Timestamp,
    },
    /// A fence was begun, and has not ended.
    BeingFenced {
        /// When.
        since: Timestamp,
    },
    /// It was restored and fenced while this process ran, which knows it as it was.
    Fenced {
        /// How far it has come by that.
        at: Timestamp,
    },
}

impl Standing {
    /// What is wrong, and what is to be done about it; None = nothing.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Good | Self::Unknown(_) => None,
            Self::SetBack { to, from } => Some(format!(
                "the database of database.url was set back: it was seen at {}, and stands at {}, as after a backup was restored. Codes, \
                 challenges and tokens that were used since then would work again; remedy: with every replica stopped run \
                 `countersign restore-fence`, then start them",
                from.to_rfc3339(),
                to.to_rfc3339()
            )),
            Self::BeingFenced { since } => Some(format!(
                "the database of database.url is being fenced since {}, after it was restored; remedy: wait until `countersign \
                 restore-fence` has ended, or run it again if it was cut off",
                since.to_rfc3339()
            )),
            Self::Fenced { at } => Some(format!(
                "the database of database.url was restored and fenced at {} while this process ran; remedy: start it again",
                at.to_rfc3339()
            )),
        }
    }
}

/// Refuses to serve on a database that was set back and not fenced. A flushed or new ephemeral store knows nothing, and one that does
/// not answer is asked later.
pub async fn admit(kit: &Kit, machine: Timestamp) -> Result<(), Error> {
    let now = kit.store.clock(machine).await?;
    let (standing, _) = standing(kit, START, now).await?;
    if let Standing::Unknown(fault) = &standing {
        tracing::warn!(
            fault = format!("{fault:?}"),
            "redis.url does not answer: whether the database was set back is asked again until it does"
        );
    }
    standing.problem().map_or(Ok(()), |problem| Err(anyhow!(problem).into()))
}

/// Looks at how far the database has come, and raises it now and then.
pub async fn follow_epoch(kit: &Kit, seen: &mut Seen, machine: Timestamp) -> Result<Standing, Error> {
    let now = kit.store.clock(machine).await?;
    let (standing, epoch) = standing(kit, seen.epoch.unwrap_or(START), now).await?;
    let found = *seen.fence_end.get_or_insert(epoch.fence_end);
    if let Some(at) = epoch.fence_end.filter(|end| found != Some(*end)) {
        return Ok(Standing::Fenced { at });
    }
    // Not before it was compared: raised, it would pass for one that was not set back.
    if matches!(standing, Standing::Good) {
        seen.epoch = seen.epoch.max(Some(settled(epoch, now)));
        if now.since(epoch.value) >= STEP {
            // Another replica may have done it; and a database that was restored a moment ago is at another epoch.
            match kit.store.raise_epoch(epoch.value, now).await? {
                Swap::Done | Swap::Stale => {}
            }
        }
    }
    Ok(standing)
}

async fn standing(kit: &Kit, seen: Timestamp, now: Timestamp) -> Result<(Standing, Epoch), Error> {
    let epoch = kit.store.epoch().await?;
    if let Some(since) = epoch.fence_begin {
        return Ok((Standing::BeingFenced { since }, epoch));
    }
    if epoch.value < seen {
        return Ok((Standing::SetBack { to: epoch.value, from: seen }, epoch));
    }
    let known = match kit.ephemeral.raise_epoch(database(&kit.ring)?, settled(epoch, now)).await {
        Ok(known) => known,
        Err(fault) => return Ok((Standing::Unknown(fault), epoch)),
    };
    if known <= epoch.value {
        return Ok((Standing::Good, epoch));
    }
    // Another replica may have raised it after it was read: in the database first.
    let epoch = kit.store.epoch().await?;
    let is_back = epoch.value < known;
    Ok((if is_back { Standing::SetBack { to: epoch.value, from: known } } else { Standing::Good }, epoch))
}

/// How far the database has come for good.
fn settled(epoch: Epoch, now: Timestamp) -> Timestamp {
    if now.since(epoch.value) >= SETTLED { epoch.value } else { START }
}

/// How far a database had come, as far as the ephemeral store knows; also told how far it has.
pub(super) async fn known_epoch(
    ephemeral: &dyn Ephemeral,
    ring: &KeyRing,
    epoch: Timestamp,
) -> Result<Timestamp, Error> {
    ephemeral.raise_epoch(database(ring)?, epoch).await
}

/// Names the database. What is hashed with the index key is of one database, and of every backup of it.
fn database(ring: &KeyRing) -> anyhow::Result<DatabaseHash> {
    ring.index("database", b"epoch")
}
