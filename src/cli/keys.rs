//! `keys`: makes a key ring, and lists what is in it.

use anyhow::{Context, ensure};
use clap::Subcommand;

use super::{say, table};
use crate::{
    app,
    clock::{Clock, SystemClock},
    config::Config,
    seal::KeyRing,
    secret, telemetry,
};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Makes a new key ring, for a new database
    Init,
    /// Lists the keys, without their secrets
    List,
}

pub(super) fn run(config: &Config, action: &Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    let path = config.keys.ring_file.display();
    match action {
        Action::Init => {
            ensure!(!config.keys.ring_file.exists(), "{path} is there already; a ring is never written over");
            app::write_ring(&config.keys, &KeyRing::generate(SystemClock.now())?)?;
            say(&format!(
                "Made the key ring {path}. Keep a copy apart from the database: without it the database cannot be used."
            ))
        }
        Action::List => {
            let ring = app::read_ring(&config.keys)?;
            let ring = ring.with_context(|| format!("there is no key ring {path}; remedy: countersign keys init"))?;
            let header = ["ID", "USE", "CREATED (UNIX SECONDS)", "CHECK VALUE"].map(str::to_owned).to_vec();
            let row = |key: &crate::seal::Key| {
                vec![
                    key.id.clone(),
                    key.key_use.as_str().to_owned(),
                    key.create_time.seconds().to_string(),
                    secret::to_text(&key.check_value()),
                ]
            };
            let rows: Vec<_> = [header].into_iter().chain(ring.keys().iter().map(row)).collect();
            say(&table(&rows))
        }
    }
}
