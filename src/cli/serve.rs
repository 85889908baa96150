//! `serve`: runs the service until it is told to stop.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::{self, App},
    clock::SystemClock,
    config::{Config, LevelSource, LogLevel},
    telemetry::{self, Telemetry},
};

/// A platform that stops this replica goes on to send it calls until every part of it has heard of that.
const LINGER: Duration = Duration::from_secs(2);
/// Where the level of the log is configured is looked at so often.
const LEVEL_INTERVAL: Duration = Duration::from_secs(2);

/// Each connection is a file to the kernel, and what a process may have open by itself is often less than what our listeners take.
const FILES: u64 = 16 * 1024;

/// What is told of the process while it serves.
pub(super) struct Told {
    pub(super) telemetry: Telemetry,
    pub(super) level: LogLevel,
    pub(super) source: LevelSource,
}

pub(super) async fn run(config: &Config, source: LevelSource) -> anyhow::Result<()> {
    let stop = StopSignals::listen()?;
    let told = Told { telemetry: telemetry::serve(config)?, level: config.telemetry.log_level, source };
    if let Err(fault) = rlimit::increase_nofile_limit(FILES) {
        tracing::warn!(%fault, "this process may not have more files open; many connections may be refused");
    }
    let listeners = app::listen(config).await?;
    let app = App::start(config, listeners, Arc::new(SystemClock), config.password).await?;
    until_stopped(app, stop, told).await
}

/// SIGTERM and SIGINT. Heard from the moment this is made, so that one that comes during the start is not lost.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?,
        })
    }
}

/// Serves until a signal comes, then stops cleanly.
pub(super) async fn until_stopped(mut app: App, mut stop: StopSignals, told: Told) -> anyhow::Result<()> {
    let Told { telemetry, level, source } = told;
    let address = |address: Option<SocketAddr>| address.map_or("off".to_owned(), |there| there.to_string());
    let (http, probes) = (address(app.http_address()), address(app.probes_address()));
    tracing::info!(grpc = %app.grpc_address(), http, probes, "serving");
    let linger = tokio::select! {
        _ = stop.terminate.recv() => {
            tracing::info!("SIGTERM: draining");
            LINGER
        }
        _ = stop.interrupt.recv() => {
            tracing::info!("SIGINT: draining");
            Duration::ZERO
        }
        fault = app.fault() => return Err(fault),
        never = follow_level(&telemetry, level, source) => match never {},
    };
    app.stop(linger).await?;
    tracing::info!("stopped");
    telemetry.end().await;
    Ok(())
}

/// Logs at the level that is configured, also when that changes.
async fn follow_level(telemetry: &Telemetry, mut level: LogLevel, source: LevelSource) -> Infallible {
    loop {
        tokio::time::sleep(LEVEL_INTERVAL).await;
        // What cannot be read now is said by `config check`; the level stays.
        let Some(found) = source.read().filter(|found| *found != level) else {
            continue;
        };
        match telemetry.set_level(found) {
            Ok(()) => tracing::info!(level = ?found, "the level of the log was changed"),
            Err(fault) => tracing::warn!(?fault, "the level of the log cannot be changed"),
        }
        level = found;
    }
}
