//! Seals anew what is sealed by a key that is not the active one: some rows at a time, by whichever replica comes first, and from
//! where the last one was after a crash.

use uuid::Uuid;

use crate::{
    error::Error,
    flow::{Kit, again::again},
    seal::{KeyUse, sealed_by},
    store::{Reseal, SealedColumn},
    swap::Swap,
};

/// Rows that are looked at in one transaction.
const ROWS: u64 = 100;

/// Goes on with it; answers whether there is more to be done at once.
pub async fn reseal(kit: &Kit) -> Result<bool, Error> {
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
        again(|| go_on(kit, column, known.as_ref(), &reseal)).await?;
        return Ok(true);
    }
    Ok(false)
}

async fn go_on(kit: &Kit, column: SealedColumn, known: Option<&Reseal>, reseal: &Reseal) -> Result<(), Error> {
    let rows = kit.store.sealed_rows(column, reseal.last, ROWS).await?;
    let begins = sealed_by(&reseal.key_id);
    let is_old = |sealed: &Option<Vec<u8>>| sealed.as_ref().is_some_and(|sealed| !sealed.starts_with(&begins));
    let tx = kit.store.begin().await?;
    let mut after = reseal.clone();
    for row in rows.iter().filter(|(_, _, sealed)| is_old(sealed)) {
        if tx.seal_anew(column, row).await? == Swap::Done {
            after.count += 1;
        }
    }
    match rows.last() {
        Some((last, _, _)) => after.last = *last,
        // Round again, until one has found nothing: a replica may have sealed with the old key behind this one's back.
        None if reseal.count > 0 => (after.last, after.count) = (Uuid::nil(), 0),
        None => after.is_done = true,
    }
    if tx.save_reseal(column, known, &after).await? == Swap::Stale {
        return tx.roll_back().await;
    }
    tx.commit().await
}
