//! Logs, to standard error; and what leaves the process of what it does: traces and metrics. Nothing of it waits for anybody: what a
//! collector does not take in time is dropped, and no call is slower or fails for it.

mod export;
mod meters;
mod spans;

use std::io::stderr;

use anyhow::anyhow;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{LevelFilter, filter_fn},
    fmt::writer::BoxMakeWriter,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use export::Export;
pub use export::metrics_text;
pub use meters::{Operation, StoreKind, UnderWay, meters};
pub use spans::{call, called, continue_trace, lines, provider, request, requested, statement, trace_id, traceparent};

use crate::config::{Config, LogFormat, LogLevel};

/// The target of spans that are exported, and not logged.
const SPANS: &str = "countersign::span";

/// Lines of the log that wait to be written.
const LINES: usize = 8192;

/// What was started.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    export: Export,
    _lines: Option<WorkerGuard>,
}

/// Starts logging, with what the configuration had to warn of.
pub fn start(config: &Config) -> anyhow::Result<()> {
    begin(config, Export::none(), BoxMakeWriter::new(stderr), None).map(drop)
}

/// The same for a service, which exports traces and metrics too. Before anything is counted.
pub fn serve(config: &Config) -> anyhow::Result<Telemetry> {
    // Whoever reads the log may stop reading: then lines are lost, and no call waits.
    let lines = NonBlockingBuilder::default().buffered_lines_limit(LINES).lossy(true).thread_name("log");
    let (lines, end) = lines.finish(stderr());
    begin(config, Export::start(&config.telemetry)?, BoxMakeWriter::new(lines), Some(end))
}

fn begin(
    config: &Config,
    export: Export,
    writer: BoxMakeWriter,
    end: Option<WorkerGuard>,
) -> anyhow::Result<Telemetry> {
    let telemetry = &config.telemetry;
    let (filter, handle) = reload::Layer::new(filter(telemetry.log_level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
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
    Ok(Telemetry { filter: handle, export, _lines: end })
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
