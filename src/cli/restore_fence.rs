//! `restore-fence`: after a backup of the database was restored, before it is served.

use super::say;
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock},
    config::Config,
    error::Error,
    flow::{Call, restore},
    model::Origin,
    telemetry,
};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::start(config)?;
    let call = Call { now: SystemClock.now(), origin: Origin::command_line() };
    let (store, ring) = app::open_store(config, Schema::AsConfigured, call.now).await?;
    let ephemeral = app::open_ephemeral(&config.redis)?;
    let fenced = restore::restore_fence(&store, ephemeral.as_ref(), &ring, &SystemClock, &call).await;
    store.close().await?;
    let fenced = fenced.map_err(Error::into_anyhow)?;
    say(&format!(
        "Ended:    {} sessions, {} password tokens, {} sets of backup codes\n\
         Used up:  the present codes of {} authenticators\n\
         Closed:   whatever the {} accounts have open\n\
         Epoch:    {}",
        fenced.sessions,
        fenced.password_tokens,
        fenced.backup_codes,
        fenced.authenticators,
        fenced.accounts,
        fenced.epoch.to_rfc3339()
    ))?;
    if !fenced.is_told {
        say(
            "NOTE:     redis.url does not answer; it is told of the epoch by the first replica that it answers again.",
        )?;
    }
    say("The database may be served. Users sign in with the next code of their app, and make new backup codes.")
}
