//! Where traces and metrics go: to a collector by OTLP, and to whoever asks for metrics as Prometheus does.

use std::{sync::OnceLock, time::Duration};

use anyhow::{Context, anyhow};
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
    tonic_types::{
        metadata::MetadataMap,
        transport::{Certificate, ClientTlsConfig},
    },
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use prometheus::{Encoder, Registry, TextEncoder};

use crate::{
    config::{Otlp, Telemetry},
    file,
    secret::{self, Secret},
};

/// A collector has so long to take what it is sent.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Spans are sent so often.
const SPAN_DELAY: Duration = Duration::from_secs(1);
/// Spans that wait to be sent; more are dropped.
const SPAN_QUEUE: usize = 8192;
/// At a stop, what is left has so long.
const LAST: Duration = Duration::from_secs(2);

/// The metrics of the process, for whoever asks; empty where nobody may.
static REGISTRY: OnceLock<Registry> = OnceLock::new();

/// What exports.
pub(super) struct Export {
    traces: Option<SdkTracerProvider>,
    metrics: Option<SdkMeterProvider>,
}

/// The metrics in Prometheus' text format, and the type of that.
pub fn metrics_text() -> anyhow::Result<(Vec<u8>, &'static str)> {
    let mut text = Vec::new();
    if let Some(registry) = REGISTRY.get() {
        TextEncoder::new().encode(&registry.gather(), &mut text)?;
    }
    Ok((text, prometheus::TEXT_FORMAT))
}

impl Export {
    /// Nothing is exported.
    pub(super) fn none() -> Self {
        Self { traces: None, metrics: None }
    }

    /// What the configuration says is exported.
    pub(super) fn start(config: &Telemetry) -> anyhow::Result<Self> {
        let resource = resource()?;
        let mut metrics = SdkMeterProvider::builder().with_resource(resource.clone());
        if config.listen.is_some() {
            let registry = REGISTRY.get_or_init(Registry::new).clone();
            metrics = metrics.with_reader(
                opentelemetry_prometheus::exporter().scope_info_enabled(false).with_registry(registry).build()?,
            );
        }
        if let Some(otlp) = &config.otlp {
            let exporter = MetricExporter::builder().with_tonic();
            let exporter = exporter.with_endpoint(&otlp.endpoint).with_timeout(TIMEOUT).with_metadata(headers(otlp)?);
            let exporter = match tls(otlp)? {
                Some(tls) => exporter.with_tls_config(tls).build(),
                None => exporter.build(),
            };
            let reader = PeriodicReader::builder(exporter.map_err(unusable)?).with_interval(otlp.metrics_interval);
            metrics = metrics.with_reader(reader.build());
        }
        let has_metrics = config.listen.is_some() || config.otlp.is_some();
        let metrics = has_metrics.then(|| metrics.build());
        if let Some(metrics) = &metrics {
            opentelemetry::global::set_meter_provider(metrics.clone());
        }
        let traces = config.otlp.as_ref().map(|otlp| traces(otlp, resource)).transpose()?;
        if traces.is_some() {
            opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        }
        Ok(Self { traces, metrics })
    }

    /// What makes spans of ours into spans that are exported.
    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.traces.as_ref().map(|traces| traces.tracer("countersign"))
    }

    /// Hands over what is left. On a thread where waiting delays nobody: the collector may be gone.
    pub(super) async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || {
            let traces = self.traces.map(|traces| traces.shutdown_with_timeout(LAST / 2));
            let metrics = self.metrics.map(|metrics| metrics.shutdown_with_timeout(LAST / 2));
            traces.into_iter().chain(metrics).all(|ended| ended.is_ok())
        });
        let ended = tokio::time::timeout(LAST, ended).await;
        if !matches!(ended, Ok(Ok(true))) {
            tracing::warn!("the last traces and metrics were not taken; see telemetry.otlp_endpoint");
        }
    }
}

fn resource() -> anyhow::Result<Resource> {
    let instance = u64::from_be_bytes(secret::random()?);
    Ok(Resource::builder_empty()
        .with_service_name("countersign")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", format!("{instance:016x}")))
        .build())
}

fn traces(otlp: &Otlp, resource: Resource) -> anyhow::Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder().with_tonic();
    let exporter = exporter.with_endpoint(&otlp.endpoint).with_timeout(TIMEOUT).with_metadata(headers(otlp)?);
    let exporter = match tls(otlp)? {
        Some(tls) => exporter.with_tls_config(tls).build(),
        None => exporter.build(),
    };
    let batches =
        BatchConfigBuilder::default().with_scheduled_delay(SPAN_DELAY).with_max_queue_size(SPAN_QUEUE).build();
    let processor = BatchSpanProcessor::builder(exporter.map_err(unusable)?).with_batch_config(batches).build();
    let share = Sampler::TraceIdRatioBased(f64::from(otlp.trace_percent) / 100.0);
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(share)))
        .with_resource(resource)
        .build())
}

fn headers(otlp: &Otlp) -> anyhow::Result<MetadataMap> {
    let mut headers = http::HeaderMap::new();
    for (name, value) in &otlp.headers {
        // The fault itself would name the value.
        let value = http::HeaderValue::from_str(value.expose()).map_err(|_| anyhow!("telemetry.otlp_headers: {name}"));
        headers.insert(http::HeaderName::from_bytes(name.as_bytes())?, value?);
    }
    Ok(MetadataMap::from_headers(headers))
}

fn tls(otlp: &Otlp) -> anyhow::Result<Option<ClientTlsConfig>> {
    if !otlp.endpoint.starts_with("https:") {
        return Ok(None);
    }
    let tls = ClientTlsConfig::new();
    Ok(Some(match &otlp.ca_file {
        None => tls.with_enabled_roots(),
        Some(path) => {
            let text = file::read_public(path).context("telemetry.otlp_ca_file")?;
            tls.ca_certificate(Certificate::from_pem(Secret::new(text).expose()))
        }
    }))
}

fn unusable(fault: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("telemetry.otlp_endpoint cannot be used: {fault}")
}
