//! Puts what users are to be told into the outbox: a letter for each address of theirs.

use std::time::Duration;

use super::{
    address::{Told, mailings},
    batch::Reader,
    notice::{TOLD, kind},
};
use crate::{
    error::Error,
    flow::{Call, Kit, again::again},
    model::{Channel, Cursor},
    swap::Swap,
};

/// Goes on reading the audit log for what users are to know; answers whether there may be more at once.
pub async fn collect_notices(kit: &Kit, call: &Call) -> Result<bool, Error> {
    if kit.mail.is_none() {
        return Ok(false);
    }
    let kinds = TOLD.to_vec();
    let reader = Reader { name: "notices", channel: Channel::Mail, kinds, delay: Duration::ZERO };
    let Some(batch) = reader.next(kit, call).await? else {
        return Ok(false);
    };
    let mut told = Vec::new();
    for (_, record) in &batch.records {
        if let (Some(user), Some(kind)) = (record.subject, kind(record)) {
            told.extend(Told::of(kit, user, kind, record).await?);
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
