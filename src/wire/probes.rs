//! What a platform asks: whether the process turns, has started and can do its work, over HTTP and gRPC alike; and its metrics. In
//! clear and without a token, on a listener of its own, which tells nothing of a user.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tonic::{body::Body, service::Routes};
use tower::ServiceExt;

use super::{
    grpc::Health,
    guard::is_grpc,
    peer::Peer,
    server::{self, Answers, Bounds},
};
use crate::{telemetry, tls::Protocol};

/// Each node's kubelet opens a connection for a probe; whoever watches health or collects metrics keeps one.
const BOUNDS: Bounds = Bounds {
    name: "probes",
    protocol: Protocol::Http,
    connections: 256,
    of_peer: 128,
    first_request: Duration::from_secs(10),
    first_request_in_need: Duration::from_secs(1),
    next_request: Duration::from_secs(90),
    streams: true,
};

/// The listener of probes and metrics.
pub struct Probes {
    health: Health,
    grpc: Routes,
}

impl Probes {
    /// Probes of this health.
    pub fn new(health: Health) -> Self {
        let grpc = Routes::new(health.service());
        Self { health, grpc }
    }

    /// Serves without end: whoever asks is told of a stop as well.
    pub async fn serve(self, listener: TcpListener) -> anyhow::Result<()> {
        server::serve(self, listener, None, Vec::new(), BOUNDS, pending()).await
    }

    fn page(&self, path: &str) -> Response<Body> {
        let probe = |is_well| match is_well {
            true => text(StatusCode::OK, "text/plain; charset=utf-8", "ok\n"),
            false => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "not serving\n"),
        };
        match path {
            "/livez" => probe(true),
            "/readyz" => probe(self.health.is_ready()),
            "/startupz" => probe(self.health.has_started()),
            "/metrics" => match telemetry::metrics_text() {
                Ok((body, media)) => text(StatusCode::OK, media, body),
                Err(fault) => {
                    tracing::error!(?fault, "metrics cannot be written");
                    text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "see the log\n")
                }
            },
            _ => {
                let paths = "/livez, /readyz, /startupz, /metrics; grpc.health.v1\n";
                text(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", paths)
            }
        }
    }
}

impl Answers for Probes {
    async fn answer(&self, request: Request<Incoming>, _: Peer) -> Response<Body> {
        if is_grpc(request.headers()) {
            return self.grpc.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        }
        match *request.method() {
            Method::GET | Method::HEAD => self.page(request.uri().path()),
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "text/plain; charset=utf-8", "GET\n"),
        }
    }
}

fn text(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body.into())));
    *response.status_mut() = status;
    for (name, value) in [(header::CONTENT_TYPE, media), (header::CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
