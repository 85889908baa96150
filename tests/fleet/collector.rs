//! A collector of traces and metrics that speaks OTLP over gRPC, and keeps all that it is sent.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, any_value::Value},
};
use prost::Message;
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

/// A span as it was sent.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub attributes: HashMap<String, String>,
}

pub struct Collector {
    pub address: SocketAddr,
    kept: Kept,
    _server: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    spans: Vec<Span>,
    metrics: Vec<String>,
    bytes: Vec<u8>,
    headers: Vec<String>,
}

impl Collector {
    pub async fn start() -> Self {
        Self::start_by(Server::builder()).await
    }

    /// One that speaks TLS, with this certificate and its key.
    pub async fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let read = |path| fs::read_to_string(path).unwrap();
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(read(certificate), read(key)));
        Self::start_by(Server::builder().tls_config(tls).unwrap()).await
    }

    async fn start_by(mut builder: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let routes = builder
            .add_service(TraceServiceServer::new(kept.clone()))
            .add_service(MetricsServiceServer::new(kept.clone()));
        let mut server = JoinSet::new();
        server.spawn(async move { routes.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
        Self { address, kept, _server: server }
    }

    /// The spans of a trace.
    pub fn trace(&self, id: &str) -> Vec<Span> {
        self.kept.0.lock().unwrap().spans.iter().filter(|span| span.trace == id).cloned().collect()
    }

    /// The names of all metrics.
    pub fn metrics(&self) -> Vec<String> {
        self.kept.0.lock().unwrap().metrics.clone()
    }

    /// Everything, as it came.
    pub fn bytes(&self) -> Vec<u8> {
        self.kept.0.lock().unwrap().bytes.clone()
    }

    /// What stood in the header `x-key` of each call.
    pub fn keys(&self) -> Vec<String> {
        self.kept.0.lock().unwrap().headers.clone()
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut all = self.0.lock().unwrap();
        let key = request.metadata().get("x-key").map(|key| key.to_str().unwrap().to_owned());
        all.headers.extend(key);
        let message = request.into_inner();
        all.bytes.extend(message.encode_to_vec());
        let scopes = message.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let attributes = span.attributes.into_iter().map(|pair| (pair.key, text(pair.value)));
            all.spans.push(Span {
                name: span.name,
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                attributes: attributes.collect(),
            });
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut all = self.0.lock().unwrap();
        let message = request.into_inner();
        all.bytes.extend(message.encode_to_vec());
        let scopes = message.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        all.metrics.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
