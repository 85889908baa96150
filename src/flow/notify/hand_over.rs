//! Hands over what waits in the outbox, again and again until it is taken or given up. One replica at a time tries each; a crash
//! after it was taken and before that is written down lets it be handed over twice, under the same id.

use std::time::Duration;

use crate::{
    clock::Clock,
    error::Error,
    flow::{Call, Kit, again::again, in_time},
    limit,
    model::{Channel, Delivery, Mailing},
    telemetry::meters,
};

/// Whoever has taken one to try it has so long: longer than either way of handing it over takes.
const HELD: Duration = Duration::from_secs(180);

/// To write down how it went. What is not written down is tried again.
const PATIENCE: Duration = Duration::from_secs(4);

/// Why one was not taken.
struct Failure {
    text: String,
    is_final: bool,
}

/// Takes at most `count` that are due on a channel, for `hand_over`.
pub async fn claim_due(kit: &Kit, channel: Channel, count: u64, call: &Call) -> Result<Vec<Delivery>, Error> {
    kit.store.claim_due_deliveries(channel, count, call.now.plus(HELD), call.now).await
}

/// Tries one that was taken for it.
#[tracing::instrument(target = "countersign::span", skip_all, fields(channel = one.channel.as_str()))]
pub async fn hand_over(kit: &Kit, one: &Delivery, clock: &dyn Clock) -> Result<(), Error> {
    let (channel, attempts) = (one.channel.as_str(), one.attempts);
    let sent = send(kit, one, clock).await;
    let now = clock.now();
    match sent {
        Ok(()) => {
            meters().delivery(channel, "taken");
            in_time(PATIENCE, again(|| kit.store.finish_delivery(one.id))).await
        }
        Err(Failure { text, is_final }) => {
            let next = limit::next_delivery(attempts, one.create_time, now).filter(|_| !is_final);
            meters().delivery(channel, if next.is_some() { "failed" } else { "given_up" });
            let (id, kind) = (one.id, &one.kind);
            if next.is_some() {
                tracing::warn!(channel, %id, kind, attempts, failure = text, "not taken; tried again later");
            } else {
                tracing::error!(channel, %id, kind, attempts, failure = text, "given up; see countersign outbox");
            }
            in_time(PATIENCE, again(|| kit.store.put_delivery_off(one, next, &text, now))).await
        }
    }
}

async fn send(kit: &Kit, one: &Delivery, clock: &dyn Clock) -> Result<(), Failure> {
    let never = |text: &str| Failure { text: text.to_owned(), is_final: true };
    let body = one.body.as_ref().ok_or_else(|| never("it cannot be read any more"))?;
    let now = clock.now();
    if now.since(one.create_time) > limit::DELIVERY_LIFE {
        return Err(never("it is too old"));
    }
    let id = one.id.to_string();
    match (one.channel, &kit.webhook, &kit.mail) {
        (Channel::Webhook, Some(webhook), _) => {
            let sent = webhook.send(&id, body.expose(), now).await;
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
