//! `outbox`: what waits to be told to the webhook and by mail, and what was given up.

use clap::Subcommand;

use super::{say, table};
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock, Timestamp},
    config::Config,
    error::Error,
    flow::notify,
    model::{Channel, DeliveryId},
    store::Store,
    telemetry,
};

const PAGE: u64 = 200;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Shows how much waits, since when, and how much was given up
    Status,
    /// Lists what was given up in the last 30 days, the newest first
    DeadLetters,
    /// Tries again what was given up
    Retry {
        /// This one alone
        #[arg(value_name = "ID", conflicts_with = "all")]
        id: Option<DeliveryId>,
        /// All of it
        #[arg(long)]
        all: bool,
    },
}

pub(super) async fn run(config: &Config, action: &Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    let now = SystemClock.now();
    let (store, _) = app::open_store(config, Schema::AsConfigured, now).await?;
    let done = match action {
        Action::Status => status(config, &store).await,
        Action::DeadLetters => dead_letters(&store).await,
        Action::Retry { id, all } if id.is_some() || *all => retry(&store, *id, now).await,
        Action::Retry { .. } => {
            Err(anyhow::anyhow!("say what to try again: an ID of countersign outbox dead-letters, or --all"))
        }
    };
    store.close().await?;
    done
}

async fn status(config: &Config, store: &Store) -> anyhow::Result<()> {
    let mut rows = vec![["CHANNEL", "STATE", "WAITING", "OLDEST", "GIVEN UP"].map(str::to_owned).to_vec()];
    for channel in Channel::ALL {
        let backlog = store.delivery_backlog(channel).await.map_err(Error::into_anyhow)?;
        let is_on = match channel {
            Channel::Webhook => config.webhook.is_some(),
            Channel::Mail => config.mail.is_some(),
        };
        rows.push(vec![
            channel.as_str().to_owned(),
            if is_on { "on" } else { "off" }.to_owned(),
            backlog.waiting.to_string(),
            backlog.oldest.map_or("-".to_owned(), Timestamp::to_rfc3339),
            backlog.given_up.to_string(),
        ]);
    }
    say(&table(&rows))
}

async fn dead_letters(store: &Store) -> anyhow::Result<()> {
    let mut rows = vec![["ID", "CHANNEL", "KIND", "SINCE", "TRIES", "FAILURE"].map(str::to_owned).to_vec()];
    let mut after = None;
    loop {
        let page = store.given_up_deliveries(after, PAGE).await.map_err(Error::into_anyhow)?;
        after = page.last().map(|one| one.id);
        if after.is_none() {
            break;
        }
        rows.extend(page.into_iter().map(|one| {
            let failure = one.failure.unwrap_or_default();
            let (id, since) = (one.id.to_string(), one.create_time.to_rfc3339());
            vec![id, one.channel.as_str().to_owned(), one.kind, since, one.attempts.to_string(), failure]
        }));
    }
    if rows.len() == 1 {
        return say("Nothing was given up.");
    }
    say(&table(&rows))
}

async fn retry(store: &Store, id: Option<DeliveryId>, now: Timestamp) -> anyhow::Result<()> {
    let revived = notify::retry(store, id, now).await.map_err(Error::into_anyhow)?;
    anyhow::ensure!(
        id.is_none() || revived > 0,
        "nothing with this id was given up; see countersign outbox dead-letters"
    );
    say(&format!("{revived} will be tried again by the running service."))
}
