//! Logs, to standard error; and what leaves the process of what it does: traces and metrics. Nothing of it waits for anybody: what a
//! collector does not take in time is dropped, and no call is slower or fails for it.

mod export;
mod meters;
mod spans;

use anyhow::anyhow;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, filter_fn},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use export::Export;
pub use export::metrics_text;
pub use meters::{StoreKind, UnderWay, meters};
pub use spans::{call, called, continue_trace, lines, provider, request, requested, statement, trace_id, traceparent};

use crate::config::{Config, LogFormat, LogLevel};

/// The target of spans that are exported, and not logged.
const SPANS: &str = "countersign::span";

/// What was started.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    export: Export,
}

/// Starts logging, with what the configuration had to warn of.
pub fn start(config: &Config) -> anyhow::Result<()> {
    with_export(config, Export::none()).map(drop)
}

/// The same for a service, which exports traces and metrics too. Before anything is counted.
pub fn serve(config: &Config) -> anyhow::Result<Telemetry> {
    with_export(config, Export::start(&config.telemetry)?)
}

fn with_export(config: &Config, export: Export) -> anyhow::Result<Telemetry> {
    let telemetry = &config.telemetry;
    let (filter, handle) = reload::Layer::new(filter(telemetry.log_level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = match telemetry.log_format {
        LogFormat::Pretty => lines.with_ansi(false).with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    };
    let traces = export.tracer().map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        layer.with_filter(filter_fn(|span| span.is_span() && span.target() == SPANS))
    });
    let started = tracing_subscriber::registry().with(log).with(traces).try_init();
    started.map_err(|fault| anyhow!("logging cannot start: {fault}"))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    Ok(Telemetry { filter: handle, export })
}

/// The level is that of our own code; libraries say no more than their warnings, because at a finer level some of them print what they
/// carry.
fn filter(level: LogLevel) -> anyhow::Result<EnvFilter> {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let builder = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    Ok(builder.parse(format!("warn,countersign={level},{SPANS}=off"))?)
}

impl Telemetry {
    /// Logs at another level from now on.
    pub fn set_level(&self, level: LogLevel) -> anyhow::Result<()> {
        Ok(self.filter.reload(filter(level)?)?)
    }

    /// Hands over what is left, if that is taken in time.
    pub async fn end(self) {
        self.export.end().await;
    }
}
