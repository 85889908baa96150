//! Hands over what waits in the outbox, again and again until it is taken or given up. One replica at a time tries each; a crash
//! after it was taken and before that is written down lets it be handed over twice, under the same id.

use std::time::Duration;

use futures_util::future::join_all;

use crate::{
    error::Error,
    flow::{Call, Kit, again::again},
    limit,
    model::{Channel, Delivery, Mailing},
    swap::Swap,
};

/// So many are under way at once.
const AT_ONCE: u64 = 16;
/// Whoever has taken one to try it has so long.
const HELD: Duration = Duration::from_secs(60);

/// Why one was not taken.
struct Failure {
    text: String,
    is_final: bool,
}

/// Tries what is due on a channel; answers whether there may be more at once.
pub async fn hand_over(kit: &Kit, channel: Channel, call: &Call) -> Result<bool, Error> {
    let due = kit.store.due_deliveries(channel, call.now, AT_ONCE).await?;
    let tried = join_all(due.iter().map(|one| try_one(kit, one, call))).await;
    for tried in tried {
        tried?;
    }
    Ok(u64::try_from(due.len()).is_ok_and(|found| found >= AT_ONCE))
}

async fn try_one(kit: &Kit, one: &Delivery, call: &Call) -> Result<(), Error> {
    if kit.store.claim_delivery(one, call.now.plus(HELD)).await? == Swap::Stale {
        return Ok(());
    }
    let channel = one.channel.as_str();
    match send(kit, one, call).await {
        Ok(()) => {
            kit.meters.delivery(channel, "taken");
            again(|| kit.store.finish_delivery(one.id)).await
        }
        Err(Failure { text, is_final }) => {
            let attempts = one.attempts + 1;
            let next = limit::next_delivery(attempts, one.create_time, call.now).filter(|_| !is_final);
            kit.meters.delivery(channel, if next.is_some() { "failed" } else { "given_up" });
            if next.is_some() {
                tracing::warn!(channel, id = %one.id, kind = one.kind, attempts, failure = text, "not taken; tried again later");
            } else {
                tracing::error!(channel, id = %one.id, kind = one.kind, attempts, failure = text, "given up; see countersign outbox");
            }
            again(|| kit.store.put_delivery_off(one.id, attempts, next, &text)).await
        }
    }
}

async fn send(kit: &Kit, one: &Delivery, call: &Call) -> Result<(), Failure> {
    let never = |text: &str| Failure { text: text.to_owned(), is_final: true };
    let body = one.body.as_ref().ok_or_else(|| never("it cannot be read any more"))?;
    if call.now.since(one.create_time) > limit::DELIVERY_LIFE {
        return Err(never("it is too old"));
    }
    let id = one.id.to_string();
    match (one.channel, &kit.webhook, &kit.mail) {
        (Channel::Webhook, Some(webhook), _) => {
            let sent = webhook.send(&id, body.expose(), call.now).await;
            sent.map_err(|failure| Failure { text: failure.text, is_final: failure.is_final })
        }
        (Channel::Mail, _, Some(mail)) => {
            let mailing: Mailing =
                serde_json::from_slice(body.expose()).map_err(|_| never("it is of another release"))?;
            let sent = mail.send(&id, &mailing).await;
            sent.map_err(|failure| Failure { text: failure.text, is_final: failure.is_final })
        }
        // Nobody asks for what has no sender.
        (Channel::Webhook, None, _) | (Channel::Mail, _, None) => {
            Err(Failure { text: "it is not configured any more".to_owned(), is_final: false })
        }
    }
}
