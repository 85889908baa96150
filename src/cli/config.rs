//! `config`: shows the effective configuration, where each value comes from, and everything that is wrong with it.

use anyhow::bail;
use clap::Subcommand;

use super::{list, say, table};
use crate::config::{Config, Layers};

#[derive(Subcommand)]
pub(super) enum Action {
    /// Shows every value with its source, secrets masked, and every problem at once
    Check,
}

pub(super) fn run(layers: Layers, action: &Action) -> anyhow::Result<()> {
    match action {
        Action::Check => {
            let header = ["KEY", "VALUE", "SOURCE"].map(str::to_owned).to_vec();
            let rows = layers.shown().into_iter().map(|(key, value, source)| vec![key, value, source]);
            say(&table(&[header].into_iter().chain(rows).collect::<Vec<_>>()))?;
            match Config::read(layers) {
                Ok(config) => {
                    for warning in config.warnings {
                        say(&format!("\nWarning: {warning}."))?;
                    }
                    say("\nThe configuration can be used.")
                }
                Err(problems) => bail!("the configuration cannot be used:{}", list(&problems)),
            }
        }
    }
}
