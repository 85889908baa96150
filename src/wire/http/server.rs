//! The HTTP server: connections, and how long each may take. HTTP/1.1 and HTTP/2.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tonic::body::Body;

use super::{
    super::{
        peer::{self, Peer},
        places::{Place, Places},
    },
    console::Console,
    gateway::Gateway,
    pages::Pages,
};
use crate::tls::{Protocol, ServerTls};

/// Connections at once; more wait to be taken.
const CONNECTIONS: usize = 1000;
/// Of these, of one peer that is no proxy of ours.
const CONNECTIONS_OF_PEER: usize = 250;
/// A connection that has not asked anything after this long is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// One that has asked may be silent this long: no request, and nothing taken of an answer. Proxies keep connections for 60 s.
const NEXT_REQUEST: Duration = Duration::from_secs(75);
/// Silence is looked for so often.
const LOOK: Duration = Duration::from_secs(25);
/// A connection that is to end has this long for what is under way.
const GRACE: Duration = Duration::from_secs(30);
/// A client that takes nothing of an answer for this long is left.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Connections are renewed, so that load spreads over new replicas; calls under way end in peace.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// What is read of a request's head at all. What is larger than is taken, and smaller than this, is refused with a reason.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 512;
const STREAMS_PER_CONNECTION: u32 = 100;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is still taken of a body after the answer is known.
const DRAIN_BYTES: usize = 4 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// See `grpc`.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 100;

/// The server.
pub struct Server {
    gateway: Gateway,
    console: Console,
    pages: Pages,
    places: Places,
    tls: Option<Arc<ServerTls>>,
}

/// Requests that a connection has made, and parts of answers that it has taken.
#[derive(Default)]
struct Pulse(AtomicU64);

impl Pulse {
    fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Server {
    /// A server of this gateway, the pages about it, and the console. Proxies that are trusted bring the connections of many.
    pub fn new(
        gateway: Gateway,
        console: Console,
        proxies: Vec<IpNet>,
        tls: Option<Arc<ServerTls>>,
    ) -> anyhow::Result<Self> {
        let pages = Pages::new(gateway.routes())?;
        Ok(Self { gateway, console, pages, places: Places::new(CONNECTIONS, CONNECTIONS_OF_PEER, proxies), tls })
    }

    /// Serves until `stop` resolves, and then until the calls that are under way are done.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let server = Arc::new(self);
        let (stopping, is_stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                (stream, address, place) = server.places.accept(&listener) => {
                    connections.spawn(Arc::clone(&server).connection(stream, address, place, is_stopping.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(listener);
        stopping.send_replace(true);
        while connections.join_next().await.is_some() {}
        Ok(())
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        _place: Place,
        mut stopping: watch::Receiver<bool>,
    ) {
        let connected = tokio::select! {
            connected = peer::connect(stream, address, self.tls.as_deref(), Protocol::Http) => connected,
            // Whoever has said nothing yet is not waited for.
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let Ok(stream) = connected else {
            return;
        };
        let peer = stream.peer();
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME));
        let pulse = Arc::new(Pulse::default());
        let (server, beating) = (self, Arc::clone(&pulse));
        let service = service_fn(move |request| {
            beating.beat();
            let (server, pulse, peer) = (Arc::clone(&server), Arc::clone(&beating), peer.clone());
            async move {
                let response = server.answer(request, peer).await;
                // Over HTTP/2 an answer that is not taken stops here, and not at the socket.
                Ok::<_, Infallible>(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        pulse.beat();
                        frame
                    }))
                }))
            }
        });
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::select! {
            // A connection that breaks is its client's affair.
            _ = connection.as_mut() => return,
            () = silence(&pulse) => {}
            () = sleep(CONNECTION_AGE) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        if pulse.beats() > 0 {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GRACE, connection).await;
        }
    }

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

/// Ends when a connection has been silent too long, the first time sooner.
async fn silence(pulse: &Pulse) {
    sleep(FIRST_REQUEST).await;
    let (mut known, mut quiet) = (0, NEXT_REQUEST - LOOK);
    loop {
        let beats = pulse.beats();
        quiet = if beats == known { quiet + LOOK } else { Duration::ZERO };
        if quiet >= NEXT_REQUEST {
            return;
        }
        known = beats;
        sleep(LOOK).await;
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

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(NEXT_REQUEST)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .max_header_list_size(u32::try_from(HEAD_BYTES).unwrap_or(u32::MAX))
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS);
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a connection that shows life at these moments is silent for too long, in seconds.
    async fn ends(beats: &[u64]) -> u64 {
        let pulse = Pulse::default();
        let begun = tokio::time::Instant::now();
        let living = async {
            for at in beats {
                tokio::time::sleep_until(begun + Duration::from_secs(*at)).await;
                pulse.beat();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = living => {}
            () = silence(&pulse) => {}
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_left_soon_and_one_that_has_asked_later() {
        assert_eq!(ends(&[]).await, 10);
        assert_eq!(ends(&[11]).await, 10);
        for last in [1, 9, 30, 200] {
            let beats: Vec<_> = (0..=last).step_by(20).chain([last]).collect();
            let end = ends(&beats).await;
            assert!((last + 74..=last + 110).contains(&end), "{last}: {end}");
        }
    }
}
