//! `serve`: runs the service until it is told to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    app::{self, App},
    clock::SystemClock,
    config::Config,
    telemetry,
};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    let stop = StopSignals::listen()?;
    telemetry::start(config)?;
    let listeners = app::listen(config).await?;
    let app = App::start(config, listeners, Arc::new(SystemClock), config.password).await?;
    until_stopped(app, stop).await
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
pub(super) async fn until_stopped(mut app: App, mut stop: StopSignals) -> anyhow::Result<()> {
    let http = app.http_address().map_or("off".to_owned(), |address| address.to_string());
    tracing::info!(grpc = %app.grpc_address(), http, "serving");
    tokio::select! {
        _ = stop.terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = stop.interrupt.recv() => tracing::info!("SIGINT: draining"),
        fault = app.fault() => return Err(fault),
    }
    app.stop().await?;
    tracing::info!("stopped");
    Ok(())
}
