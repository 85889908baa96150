//! To whom a user's notices go: to both addresses of the account, and to those that it had until now.

use super::notice::{kind, window};
use crate::{
    error::{Contention, Error, Outage},
    flow::{Call, Kit},
    model::{Account, AuditRecord, Channel, Email, Mailing, Notice, NoticeKind, Origin, UserId},
    store::{Bucket, NewDelivery, Tx},
    swap::Swap,
};

/// What a user is told, and where.
pub(super) struct Told {
    user: UserId,
    addresses: Vec<String>,
    notice: Notice,
}

impl Told {
    /// What a record tells its user; None = there is no such account any more, or none that can be read.
    pub(super) async fn of(
        kit: &Kit,
        user: UserId,
        kind: NoticeKind,
        record: &AuditRecord,
    ) -> Result<Option<Self>, Error> {
        let account = match kit.store.find_account(user).await {
            Ok(Some(account)) => account,
            Ok(None) => return Ok(None),
            Err(Error::Broken(fault)) if !fault.is::<Outage>() && !fault.is::<Contention>() => {
                // Others are not to wait for this one.
                tracing::error!(?fault, %user, "a user is told nothing: the account cannot be read");
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        };
        Ok(Some(Self { user, addresses: addresses(&account), notice: notice(kind, record) }))
    }
}

fn notice(kind: NoticeKind, record: &AuditRecord) -> Notice {
    // A call from outside has an id always.
    let is_operator = record.request_id.is_empty() && record.user_agent == Origin::command_line().user_agent;
    let by_admin = record.admin.is_some() || is_operator;
    Notice { kind, time: record.create_time, source: record.source.clone(), by_admin }
}

/// The addresses of an account, each once.
fn addresses(account: &Account) -> Vec<String> {
    let second = account.notice_email.as_ref().filter(|second| second.canonical() != account.email.canonical());
    [Some(&account.email), second].into_iter().flatten().map(Email::mailable).collect()
}

/// Puts a letter for each address into the outbox, while there is room in the window of its kind.
pub(super) async fn mailings(kit: &Kit, tx: &Tx, told: &Told, call: &Call) -> Result<(), Error> {
    let name = [told.notice.kind.as_str().as_bytes(), told.user.bytes()].concat();
    let bucket = Bucket { hash: kit.ring.index("notices", &name)?, owner: [0; 32] };
    if tx.pay_window(&bucket, window(told.notice.kind), call.now).await? == Swap::Stale {
        return Ok(());
    }
    for to in &told.addresses {
        mailing(tx, to, &told.notice, call).await?;
    }
    Ok(())
}

/// Tells an address that it is the account's no more, in the transaction that takes it away; and before that what has happened and
/// was not told yet: whoever takes an account over hides nothing by taking the address first.
pub(in crate::flow) async fn tell_old_address(
    kit: &Kit,
    tx: &Tx,
    user: UserId,
    old: &Email,
    last: NoticeKind,
    call: &Call,
) -> Result<(), Error> {
    if kit.mail.is_none() {
        return Ok(());
    }
    let to = old.mailable();
    let read = kit.store.delivery_cursor("notices").await?.map_or(0, |cursor| cursor.position);
    for record in tx.audit_records_of_since(user, read).await? {
        if let Some(kind) = kind(&record) {
            mailing(tx, &to, &notice(kind, &record), call).await?;
        }
    }
    let notice = Notice {
        kind: last,
        time: call.now,
        source: call.origin.source.to_string(),
        by_admin: call.origin.admin.is_some(),
    };
    mailing(tx, &to, &notice, call).await
}

async fn mailing(tx: &Tx, to: &str, notice: &Notice, call: &Call) -> Result<(), Error> {
    let mailing = Mailing { to: to.to_owned(), notice: notice.clone() };
    let body = serde_json::to_vec(&mailing).map_err(anyhow::Error::new)?;
    let new = NewDelivery { channel: Channel::Mail, kind: notice.kind.as_str(), body: &body };
    tx.insert_delivery(&new, call.now).await
}
