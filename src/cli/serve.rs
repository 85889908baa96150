//! `serve`: runs the service until it is told to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::{app::App, clock::SystemClock, config::Config, telemetry};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    telemetry::start(&config.telemetry)?;
    let app = App::start(config, Arc::new(SystemClock)).await?;
    until_stopped(app).await
}

/// Serves until SIGTERM or SIGINT, then stops cleanly.
pub(super) async fn until_stopped(mut app: App) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tracing::info!(grpc = %app.grpc_address(), "serving");
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        fault = app.fault() => return Err(fault),
    }
    app.stop().await?;
    tracing::info!("stopped");
    Ok(())
}
