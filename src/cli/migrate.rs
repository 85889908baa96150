//! `migrate`: brings the schema up to date, or tells how it stands.

use clap::Subcommand;

use super::{say, table};
use crate::{
    app::{self, Schema},
    clock::{Clock, SystemClock},
    config::Config,
    telemetry,
};

#[derive(Default, Subcommand)]
pub(super) enum Action {
    /// Applies what is pending (the default)
    #[default]
    Up,
    /// Lists what is applied and what is pending
    Status,
}

pub(super) async fn run(config: &Config, action: Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    match action {
        Action::Up => {
            let (store, _) = app::open_store(config, Schema::Migrate, SystemClock.now()).await?;
            store.close().await?;
            say("The schema is up to date.")
        }
        Action::Status => match app::schema_status(config).await? {
            None => say("There is no database yet."),
            Some(status) => {
                let applied = status.applied.into_iter().map(|name| vec![name, "applied".to_owned()]);
                let pending = status.pending.into_iter().map(|name| vec![name, "pending".to_owned()]);
                say(&table(&applied.chain(pending).collect::<Vec<_>>()))
            }
        },
    }
}
