//! Seals anew what is sealed by a key that is not the active one: some rows at a time, by whichever replica comes first, and from
//! where the last one was after a crash.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    error::Error,
    flow::Kit,
    seal::{KeyState, KeyUse, sealed_by},
    store::{Reseal, SealedColumn},
    swap::Swap,
};

/// Rows that are looked at in one go.
const ROWS: u64 = 200;
/// So long after a key has taken over, others may still seal with the one before.
const STRAGGLERS: Duration = Duration::from_secs(60);

/// Goes on with it; answers whether there is more to be done at once.
pub async fn reseal(kit: &Kit, machine: Timestamp) -> Result<bool, Error> {
    let active = kit.ring.active_id(KeyUse::Seal)?;
    let is_only = kit.ring.keys().iter().filter(|key| key.key_use == KeyUse::Seal).count() < 2;
    for column in SealedColumn::ALL {
        let known = kit.store.reseal(column).await?;
        let reseal = match known.clone().filter(|known| known.key_id == active) {
            Some(known) if known.is_done => continue,
            Some(known) => known,
            // Where there is one key there is nothing to be sealed anew; where another has taken over there is everything.
            None if known.is_none() && is_only => continue,
            None => Reseal { key_id: active.clone(), last: Uuid::nil(), count: 0, is_done: false },
        };
        // A replica that cannot follow holds a key for the active one that is it no more.
        let keys = kit.store.data_keys().await?;
        if !keys.iter().any(|key| key.id == active && key.state == KeyState::Active) {
            return Ok(false);
        }
        if go_on(kit, column, known.as_ref(), reseal, machine).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Goes on with a column; answers whether there is more to be done at once. Row by row, so that no row is kept from whoever signs in:
/// each by a statement that does nothing once the row has changed, or another key has taken over.
async fn go_on(
    kit: &Kit,
    column: SealedColumn,
    known: Option<&Reseal>,
    reseal: Reseal,
    machine: Timestamp,
) -> Result<bool, Error> {
    let rows = kit.store.sealed_rows(column, reseal.last, ROWS).await?;
    let begins = sealed_by(&reseal.key_id);
    let is_old = |sealed: &Option<Vec<u8>>| sealed.as_ref().is_some_and(|sealed| !sealed.starts_with(&begins));
    let mut after = reseal.clone();
    for row in rows.iter().filter(|(_, _, sealed)| is_old(sealed)) {
        if kit.store.seal_anew(column, row, &reseal.key_id).await? == Swap::Done {
            after.count += 1;
        }
    }
    let mut is_at_end = false;
    match rows.last() {
        Some((last, _, _)) => after.last = *last,
        // Round again, until one has found nothing: a replica may have sealed with the old key behind this one's back.
        None => {
            after.last = Uuid::nil();
            after.count = 0;
            is_at_end = reseal.count == 0;
            after.is_done = is_at_end && is_alone(kit, &reseal.key_id, machine).await?;
        }
    }
    // Another replica may be at it as well: then it is the one that goes on.
    let saved = kit.store.save_reseal(column, known, &after).await?;
    Ok(saved == Swap::Done && (after.is_done || !is_at_end))
}

/// Whether a key has been the active one for so long that nobody seals with another.
async fn is_alone(kit: &Kit, key_id: &str, machine: Timestamp) -> Result<bool, Error> {
    let keys = kit.store.data_keys().await?;
    let begin = keys.iter().find(|key| key.id == key_id).and_then(|key| key.active_time);
    let now = kit.store.clock(machine).await?;
    Ok(begin.is_some_and(|begin| now >= begin.plus(STRAGGLERS)))
}
