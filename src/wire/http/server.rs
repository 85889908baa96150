//! The HTTP listener: what its clients may do, and what is done with a body that nobody has read.

use std::{future::Future, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::{net::TcpListener, time::timeout};
use tonic::body::Body;

use super::{
    super::{
        peer::Peer,
        server::{self, Answers, Bounds},
    },
    console::Console,
    gateway::Gateway,
    pages::Pages,
};
use crate::tls::{Protocol, ServerTls};

/// Proxies keep connections for 60 s.
const BOUNDS: Bounds = Bounds {
    name: "http",
    protocol: Protocol::Http,
    connections: 1000,
    of_peer: 250,
    first_request: Duration::from_secs(10),
    first_request_in_need: Duration::from_secs(1),
    next_request: Duration::from_secs(75),
    streams: false,
};
/// What is still taken of a body after the answer is known.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// The server.
pub struct Server {
    gateway: Gateway,
    console: Console,
    pages: Pages,
}

impl Server {
    /// A server of this gateway, the pages about it, and the console.
    pub fn new(gateway: Gateway, console: Console) -> anyhow::Result<Self> {
        let pages = Pages::new(gateway.routes())?;
        Ok(Self { gateway, console, pages })
    }

    /// Serves until `stop` resolves, and then until the calls that are under way are done. Proxies that are trusted bring the
    /// connections of many.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        proxies: Vec<IpNet>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        server::serve(self, listener, tls, proxies, BOUNDS, stop).await
    }
}

impl Answers for Server {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        // Such a client asks before it sends.
        let asks_first = head.headers.contains_key(header::EXPECT);
        let request = Request::from_parts(head, &mut body);
        let is_http1 = request.version() < Version::HTTP_2;
        let mut response = if Console::serves(request.uri().path()) {
            self.console.answer(request, peer).await
        } else {
            self.gateway.answer(request, peer, |request| self.pages.find(request)).await
        };
        let is_done = if asks_first { body.is_end_stream() } else { drain(&mut body).await };
        if !is_done && is_http1 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        measured(response, is_head)
    }
}

/// Takes what a client still sends of a request that is answered already, up to a bound: many read no answer before they are done.
/// Answers whether that was all.
async fn drain(body: &mut Incoming) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let reading = async {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            match left.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len)) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    timeout(DRAIN_TIME, reading).await.unwrap_or(false)
}

/// Says how long an answer is, where that is known; and leaves it out where HEAD has asked (RFC 9110 section 9.3.2): over HTTP/2
/// nobody else does.
fn measured(mut response: Response<Body>, is_head: bool) -> Response<Body> {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    if is_head { response.map(|_| Body::empty()) } else { response }
}
