//! Makes, promotes, disables and destroys data keys, for an operator. Each is refused while it would cost anybody a sign-in.

use std::time::Duration;

use anyhow::{Context, anyhow, ensure};

use super::status::{lacking, making};
use crate::{
    challenge::ENROLMENT_TOKEN_LIFE,
    clock::Timestamp,
    error::Error,
    flow::{Call, again::again},
    model::{Event, EventKind},
    seal::{KeyState, KeyUse, RootRing, WrappedKey},
    store::{SealedColumn, Store, Tx},
    swap::Swap,
    token::access,
};

/// Whoever checks tokens by themselves reads the JWKS anew at least so often.
const JWKS_LEAD: Duration = Duration::from_secs(5 * 60);
/// Clocks and calls under way, and until every replica has a key.
const SLACK: Duration = Duration::from_secs(60);
/// Values that are looked at, to tell those that need a key from those that do not open with it.
const LOOKED_AT: u64 = 1000;

/// Makes a new key that can be read with; answers its id.
pub async fn make_key(store: &Store, roots: &RootRing, key_use: KeyUse, call: &Call) -> Result<String, Error> {
    if matches!(key_use, KeyUse::Index | KeyUse::Root) {
        return Err(anyhow!("what was hashed with the index key is found by it alone: it cannot be changed").into());
    }
    let key = roots.make(key_use, KeyState::Readable, call.now)?;
    let root = key.root_id.clone();
    ensured(!store.knows_ring_of_release_before().await?, || {
        "the database is known by the ring of an older release, and such a release may run beside this one and not see a new key;          first, when none runs any more: countersign keys rotate root"
            .to_owned()
    })?;
    again(|| async {
        let tx = store.begin().await?;
        let keys = tx.lock_data_keys().await?;
        let is_known = keys.iter().any(|key| key.root_id == root);
        if !is_known {
            return Err(anyhow!("the root key {root} wraps no key yet: countersign keys rewrap").into());
        }
        tx.insert_data_key(&key).await?;
        record(&tx, "made", &key.id, call).await?;
        tx.commit().await
    })
    .await?;
    Ok(key.id)
}

/// Lets new values be made with a key. Refused while a live replica does not hold it, or a signing key was not in the JWKS for long
/// enough.
pub async fn promote_key(store: &Store, id: &str, call: &Call, machine: Timestamp) -> Result<(), Error> {
    again(|| async {
        let tx = store.begin().await?;
        let key = find(&tx, id).await?;
        ensure_state(&key, &[KeyState::Readable], "promoted")?;
        let lacking = lacking(store, id, machine).await?;
        ensured(lacking.is_empty(), || {
            format!("too early: {} of the live replicas do not hold {id} yet ({})", lacking.len(), lacking.join(", "))
        })?;
        let ready = key.create_time.plus(JWKS_LEAD + SLACK);
        ensured(key.key_use != KeyUse::Sign || call.now >= ready, || {
            format!(
                "too early: whoever checks tokens by the JWKS may not know {id} yet; promote it after {}",
                ready.to_rfc3339()
            )
        })?;
        if tx.promote_data_key(&key, call.now).await? == Swap::Stale {
            return Err(anyhow!("the key {id} is not readable any more").into());
        }
        record(&tx, "promoted", id, call).await?;
        tx.commit().await
    })
    .await
}

/// Lets a key not be used any more; `enable_key` takes that back.
pub async fn disable_key(store: &Store, id: &str, call: &Call, machine: Timestamp) -> Result<(), Error> {
    let to = |key: &WrappedKey| ensure_state(key, &[KeyState::Readable], "disabled").map(|()| KeyState::Disabled);
    take_out(store, id, to, Broken::Keep, call, machine).await
}

/// Lets a key that was disabled be read with again: one that seals.
pub async fn enable_key(store: &Store, id: &str, call: &Call) -> Result<(), Error> {
    again(|| async {
        let tx = store.begin().await?;
        let key = find(&tx, id).await?;
        ensure_state(&key, &[KeyState::Disabled], "enabled")?;
        ensured(key.key_use != KeyUse::Sign, || {
            format!(
                "{id} has left the JWKS, and whoever checks tokens by it has forgotten the key; make a new one: countersign keys rotate sign"
            )
        })?;
        if tx.save_data_key_state(id, KeyState::Disabled, KeyState::Readable).await? == Swap::Stale {
            return Err(anyhow!("the key {id} is not disabled any more").into());
        }
        record(&tx, "enabled", id, call).await?;
        tx.commit().await
    })
    .await
}

/// What becomes of values that do not open with the key that has sealed them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The key stays as long as there are any: they may be put back from a backup.
    Keep,
    /// They are given up.
    GiveUp,
}

/// Destroys a key for ever.
pub async fn destroy_key(
    store: &Store,
    id: &str,
    broken: Broken,
    call: &Call,
    machine: Timestamp,
) -> Result<(), Error> {
    let states = [KeyState::Readable, KeyState::Disabled];
    let to = |key: &WrappedKey| ensure_state(key, &states, "destroyed").map(|()| KeyState::Destroyed);
    take_out(store, id, to, broken, call, machine).await
}

async fn take_out(
    store: &Store,
    id: &str,
    to: impl Fn(&WrappedKey) -> Result<KeyState, Error>,
    broken: Broken,
    call: &Call,
    machine: Timestamp,
) -> Result<(), Error> {
    let taken = again(|| async {
        let tx = store.begin().await?;
        let key = find(&tx, id).await?;
        let to = to(&key)?;
        let making = making(store, id, machine).await?;
        ensured(making.is_empty(), || {
            format!(
                "{} live replicas make new values with {id} still ({}); see their logs; one that has died counts for half a minute",
                making.len(),
                making.join(", ")
            )
        })?;
        is_needed_by_nobody(store, &key, broken, call).await?;
        if tx.save_data_key_state(id, key.state, to).await? == Swap::Stale {
            return Err(anyhow!("the key {id} was changed by another").into());
        }
        record(&tx, to.as_str(), id, call).await?;
        tx.commit().await
    })
    .await;
    if taken.is_err() {
        // Whatever needs it still is looked for once more, also where everything counted as sealed anew.
        store.reopen_reseals().await?;
    }
    taken
}

/// Refuses while anything that was made with the key is to be read still. Nothing new is made with it: it is not active, and every
/// replica knows that within seconds.
async fn is_needed_by_nobody(store: &Store, key: &WrappedKey, broken: Broken, call: &Call) -> Result<(), Error> {
    let id = &key.id;
    let life = match key.key_use {
        KeyUse::Seal => ENROLMENT_TOKEN_LIFE + SLACK,
        KeyUse::Sign => access::LIFE + SLACK,
        KeyUse::Index | KeyUse::Root => return Err(anyhow!("what was hashed with {id} is found by it alone").into()),
    };
    // One that was never active here has made nothing a moment ago; a release before this one may have used it long ago.
    if key.active_time.is_some() {
        let ready = key.demote_time.unwrap_or(call.now).plus(life);
        ensured(call.now >= ready, || {
            format!("too early: what was made with {id} a moment ago is good until {}", ready.to_rfc3339())
        })?;
    }
    match key.key_use {
        KeyUse::Seal => {
            for column in SealedColumn::ALL {
                seals_nothing(store, column, key, broken).await?;
            }
        }
        KeyUse::Sign => {
            let (anchor, end) = store.audit_chain().await?;
            ensured([&anchor, &end].iter().all(|point| point.key_id != *id), || {
                format!("the audit log is signed by {id} still; a running service signs it anew within a minute")
            })?;
        }
        KeyUse::Index | KeyUse::Root => {}
    }
    Ok(())
}

/// Refuses while values of a column are sealed by a key.
async fn seals_nothing(store: &Store, column: SealedColumn, key: &WrappedKey, broken: Broken) -> Result<(), Error> {
    let (id, name) = (&key.id, column.name());
    let count = store.count_sealed_by(column, id).await?;
    let can_be_opened = key.state != KeyState::Disabled;
    let lost = if can_be_opened && count > 0 { store.count_broken(column, id, LOOKED_AT).await? } else { 0 };
    let needing = count.saturating_sub(lost);
    ensured(needing == 0, || {
        format!(
            "{needing} values of {name} need {id} still; a running service seals them anew (countersign keys status)"
        )
    })?;
    ensured(lost == 0 || broken == Broken::GiveUp, || {
        format!(
            "{lost} values of {name} are sealed by {id} and do not open with it: they were altered or moved (in the audit log: \
             sys_sealed_value_broken). Put them back from a backup, or give them up: countersign keys destroy {id} --give-up-broken"
        )
    })
}

async fn find(tx: &Tx, id: &str) -> Result<WrappedKey, Error> {
    let keys = tx.lock_data_keys().await?;
    let key = keys.into_iter().find(|key| key.id == id);
    Ok(key.with_context(|| format!("there is no key {id}; see countersign keys status"))?)
}

fn ensure_state(key: &WrappedKey, states: &[KeyState], done: &str) -> Result<(), Error> {
    ensured(states.contains(&key.state), || {
        format!("the key {} is {} and cannot be {done}", key.id, key.state.as_str())
    })
}

fn ensured(holds: bool, problem: impl FnOnce() -> String) -> Result<(), Error> {
    let ensured = || {
        ensure!(holds, problem());
        Ok(())
    };
    Ok(ensured()?)
}

async fn record(tx: &Tx, word: &str, id: &str, call: &Call) -> Result<(), Error> {
    let note = format!("{word} {id}");
    tx.record(&Event::about_nobody(EventKind::KeysChanged, &call.origin).note(&note), call.now).await
}
