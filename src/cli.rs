//! The command line: parses, and calls what does the work.

mod audit;
mod config;
mod dev;
mod health;
mod keys;
mod migrate;
mod outbox;
mod restore_fence;
mod serve;
mod sms;
mod user;

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::bail;
use clap::{Parser, Subcommand};

use crate::config::{Config, Layers, LevelSource, Problem};

/// Two-factor authentication as a service.
#[derive(Parser)]
#[command(name = "countersign", version, about)]
pub struct Cli {
    /// The configuration file, instead of countersign.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets a key of the configuration, over every other source
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the service
    Serve {
        /// With two demo accounts, in a directory of its own
        #[arg(long)]
        dev: bool,
    },
    /// Brings the schema of the database up to date
    Migrate {
        #[command(subcommand)]
        action: Option<migrate::Action>,
    },
    /// Lets nothing from before work again on a database that was restored from a backup; to be run before it is served
    RestoreFence,
    /// Manages accounts
    User {
        #[command(subcommand)]
        action: user::Action,
    },
    /// Manages the key ring
    Keys {
        #[command(subcommand)]
        action: keys::Action,
    },
    /// Looks at text messages
    Sms {
        #[command(subcommand)]
        action: sms::Action,
    },
    /// Verifies and exports the audit log
    Audit {
        #[command(subcommand)]
        action: audit::Action,
    },
    /// Looks at what waits to be told to the webhook and by mail
    Outbox {
        #[command(subcommand)]
        action: outbox::Action,
    },
    /// Asks a running service whether it is well; exit status 0 when it is
    Health(health::Args),
    /// Looks at the configuration
    Config {
        #[command(subcommand)]
        action: config::Action,
    },
}

impl Cli {
    /// Does what the command says.
    pub async fn run(self) -> anyhow::Result<()> {
        let layers = Layers::load(self.config.as_deref(), &self.set);
        let level = LevelSource { file: self.config, sets: self.set };
        // Each command in a box of its own: futures within futures grow deeper than the compiler follows.
        match self.command {
            Command::Serve { dev: false } => Box::pin(serve::run(&read(layers)?, level)).await,
            Command::Serve { dev: true } => Box::pin(dev::run(layers, level)).await,
            Command::Migrate { action } => Box::pin(migrate::run(&read(layers)?, action.unwrap_or_default())).await,
            Command::RestoreFence => Box::pin(restore_fence::run(&read(layers)?)).await,
            Command::User { action } => Box::pin(user::run(&read(layers)?, action)).await,
            Command::Keys { action } => Box::pin(keys::run(&read(layers)?, &action)).await,
            Command::Sms { action } => Box::pin(sms::run(&read(layers)?, &action)).await,
            Command::Audit { action } => Box::pin(audit::run(&read(layers)?, &action)).await,
            Command::Outbox { action } => Box::pin(outbox::run(&read(layers)?, &action)).await,
            Command::Health(args) => Box::pin(health::run(&read(layers)?, &args)).await,
            Command::Config { action } => config::run(layers, &action),
        }
    }
}

/// The configuration, or one message with everything that is wrong with it.
fn read(layers: Layers) -> anyhow::Result<Config> {
    match Config::read(layers) {
        Ok(config) => Ok(config),
        Err(problems) => bail!("the configuration cannot be used:{}", list(&problems)),
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Writes to standard output. A closed pipe is nobody's fault.
fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => Err(fault.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows as a table with aligned columns.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell: &String| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
