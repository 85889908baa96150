//! Logs, to standard error; and what is counted.

mod meters;

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

pub use meters::Meters;

use crate::config::{Config, LogFormat, LogLevel};

/// Starts logging, with what the configuration had to warn of. The level is that of our own code; libraries say no more than their warnings, because at a finer level
/// some of them print what they carry.
pub fn start(config: &Config) -> anyhow::Result<()> {
    let telemetry = &config.telemetry;
    let level = match telemetry.log_level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .parse(format!("warn,countersign={level}"))?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match telemetry.log_format {
        LogFormat::Pretty => subscriber.with_ansi(false).try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    started.map_err(|fault| anyhow::anyhow!("logging cannot start: {fault}"))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(())
}
