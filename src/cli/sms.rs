//! `sms`: how many text messages are sent, and what is closed.

use clap::Subcommand;

use super::{say, table};
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock},
    config::{Config, Provider},
    error::Error,
    flow, telemetry,
};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Shows the day's budget, and the blocks of numbers that messages go to
    Status,
}

pub(super) async fn run(config: &Config, action: &Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    match action {
        Action::Status => status(config).await,
    }
}

async fn status(config: &Config) -> anyhow::Result<()> {
    let Some(sms) = &config.sms else {
        return say("No text messages are sent: sms.provider is not set.");
    };
    let now = SystemClock.now();
    let (store, ring) = app::open_store(config, Schema::AsConfigured, now).await?;
    let status = flow::sms_status(&store, &ring, sms.daily_budget, now).await.map_err(Error::into_anyhow)?;
    store.close().await?;
    let fallback = sms.fallback.as_ref().map(|fallback| format!(", then {}", name(fallback))).unwrap_or_default();
    say(&format!("Provider:  {}{fallback}", name(&sms.provider)))?;
    let countries: Vec<_> = sms.countries.iter().map(|country| country.as_ref().to_owned()).collect();
    say(&format!("Countries: {}", if countries.is_empty() { "all".to_owned() } else { countries.join(", ") }))?;
    let alarm = if status.is_alarming { "   ALARM: four fifths are sent" } else { "" };
    say(&format!("Today:     {} of {} messages (sms.daily_budget, UTC){alarm}", status.sent, sms.daily_budget))?;
    if status.prefixes.is_empty() {
        return say("\nNo messages in the last hour.");
    }
    let mut rows = vec![["NUMBERS", "SENT", "CAME BACK", "STATE", "UNTIL (UTC)"].map(str::to_owned).to_vec()];
    for (prefix, is_closed) in status.prefixes {
        rows.push(vec![
            format!("+{}…", prefix.prefix),
            prefix.sent.to_string(),
            prefix.verified.to_string(),
            if is_closed { "CLOSED" } else { "open" }.to_owned(),
            clock_time(prefix.end_time.seconds()),
        ]);
    }
    say(&format!("\n{}", table(&rows)))
}

fn name(provider: &Provider) -> &'static str {
    match provider {
        Provider::Console => "console",
        Provider::Twilio(_) => "twilio",
        Provider::Http(_) => "http",
        Provider::Kannel(_) => "kannel",
    }
}

fn clock_time(seconds: i64) -> String {
    let of_day = seconds.rem_euclid(24 * 60 * 60);
    format!("{:02}:{:02}", of_day / 3600, of_day / 60 % 60)
}
