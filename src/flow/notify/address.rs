//! To whom a user's notices go: to both addresses of the account, and to one that it had until now.

use crate::{
    error::Error,
    flow::{Call, Kit},
    model::{AuditRecord, Channel, Email, Mailing, Notice, NoticeKind, UserId},
    store::{Bucket, NewDelivery, Tx, Window},
    swap::Swap,
};

/// What a user is told, and where.
pub(super) struct Told {
    user: UserId,
    addresses: Vec<String>,
    pub(super) notice: Notice,
}

impl Told {
    /// What a record tells its user; None = there is no such account any more.
    pub(super) async fn of(
        kit: &Kit,
        user: UserId,
        kind: NoticeKind,
        record: &AuditRecord,
    ) -> Result<Option<Self>, Error> {
        let Some(account) = kit.store.find_account(user).await? else {
            return Ok(None);
        };
        let (time, source) = (record.create_time, record.source.clone());
        let notice = Notice { kind, time, source, by_admin: record.admin.is_some() };
        let addresses = [Some(account.email), account.notice_email];
        let addresses = addresses.into_iter().flatten().map(|email| email.typed().to_owned()).collect();
        Ok(Some(Self { user, addresses, notice }))
    }
}

/// Puts a letter for each address into the outbox; with a window, only while there is room in it: some things a stranger can make
/// happen again and again.
pub(super) async fn mailings(
    kit: &Kit,
    tx: &Tx,
    told: &Told,
    window: Option<Window>,
    call: &Call,
) -> Result<(), Error> {
    if let Some(window) = window {
        let name = [told.notice.kind.as_str().as_bytes(), told.user.bytes()].concat();
        let bucket = Bucket { hash: kit.ring.index("notices", &name)?, owner: [0; 32] };
        if tx.pay_window(&bucket, window, call.now).await? == Swap::Stale {
            return Ok(());
        }
    }
    for to in &told.addresses {
        mailing(tx, to, &told.notice, call).await?;
    }
    Ok(())
}

/// Tells an address that it is the account's no more. It is known for the last time in the transaction that takes it away.
pub(in crate::flow) async fn tell_old_address(kit: &Kit, tx: &Tx, old: &Email, call: &Call) -> Result<(), Error> {
    if kit.mail.is_none() {
        return Ok(());
    }
    let notice = Notice {
        kind: NoticeKind::AddressChanged,
        time: call.now,
        source: call.origin.source.to_string(),
        by_admin: call.origin.admin.is_some(),
    };
    mailing(tx, old.typed(), &notice, call).await
}

async fn mailing(tx: &Tx, to: &str, notice: &Notice, call: &Call) -> Result<(), Error> {
    let mailing = Mailing { to: to.to_owned(), notice: notice.clone() };
    let body = serde_json::to_vec(&mailing).map_err(anyhow::Error::new)?;
    let new = NewDelivery { channel: Channel::Mail, kind: notice.kind.as_str(), body: &body };
    tx.insert_delivery(&new, call.now).await
}
