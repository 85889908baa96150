//! A listener's connections: taken, by a handshake where there is TLS, each within its bounds, and ended in peace. HTTP/1.1 and HTTP/2.

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

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tonic::body::Body;

use super::{
    peer::{self, Peer},
    places::{Place, Places},
};
use crate::{
    telemetry::meters,
    tls::{Protocol, ServerTls},
};

/// A connection that is to end has this long for what is under way.
const GRACE: Duration = Duration::from_secs(30);
/// The same for one that has asked nothing.
const GRACE_OF_IDLE: Duration = Duration::from_secs(1);
/// A client that takes nothing for this long is left.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Connections are renewed, so that load spreads over new replicas; calls under way end in peace.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// What is read of a request's head at all. What is larger than is taken, and smaller than this, is refused with a reason.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 512;
const STREAMS_PER_CONNECTION: u32 = 100;
/// What a client may send before it is read: of a call a whole message, of a connection a few. More would be its client's hold on our
/// memory.
const STREAM_WINDOW: u32 = 64 * 1024 + 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
const SEND_BUFFER: usize = 64 * 1024;
/// A connection that has asked and is silent is looked at so often, and left so soon while more than half of the places are taken and
/// nothing is under way on it.
const LOOK: Duration = Duration::from_secs(10);
const QUIET_IN_NEED: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that has left so many calls before they were answered, and most of all it has made, does nothing else (CVE-2023-44487): it
/// loses its connection.
const LEFT: u64 = 500;
/// Streams that a client has reset and the server has not yet forgotten, and the reverse.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 100;

/// What answers the requests of a listener.
pub trait Answers: Send + Sync + 'static {
    /// Answers a request of this peer.
    fn answer(&self, request: Request<Incoming>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;
}

/// What a listener lets its clients do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Its name in metrics.
    pub name: &'static str,
    /// What is spoken.
    pub protocol: Protocol,
    /// Connections at once; more wait to be taken.
    pub connections: usize,
    /// Of these, of one peer that is no proxy of ours; more are closed.
    pub of_peer: usize,
    /// A connection that has not asked anything by then is closed.
    pub first_request: Duration,
    /// The same while more than half of the places are taken.
    pub first_request_in_need: Duration,
    /// One that has asked may be silent this long.
    pub next_request: Duration,
    /// Whether an answer that has not ended is life, however long nothing of it moves: streams wait for what happens.
    pub streams: bool,
}

/// Serves until `stop` resolves, and then until the calls that are under way are done.
pub async fn serve(
    answers: impl Answers,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    proxies: Vec<IpNet>,
    bounds: Bounds,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let server =
        Arc::new(Server { answers, places: Places::new(bounds.connections, bounds.of_peer, proxies), tls, bounds });
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

struct Server<A> {
    answers: A,
    places: Places,
    tls: Option<Arc<ServerTls>>,
    bounds: Bounds,
}

/// What a connection shows of life: requests that it has made and parts of answers that it has taken; and answers that have not ended.
#[derive(Default)]
struct Pulse {
    beats: AtomicU64,
    open: AtomicU64,
    left: AtomicU64,
    is_abused: Notify,
}

/// An answer that has not ended.
struct Open {
    pulse: Arc<Pulse>,
    is_answered: bool,
}

impl Pulse {
    fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open { pulse: Arc::clone(self), is_answered: false }
    }

    fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Pulse { beats, open, left, is_abused } = &*self.pulse;
        open.fetch_sub(1, Ordering::Relaxed);
        if self.is_answered {
            return;
        }
        let left = left.fetch_add(1, Ordering::Relaxed) + 1;
        if left >= LEFT && left > beats.load(Ordering::Relaxed) / 2 {
            is_abused.notify_one();
        }
    }
}

impl<A: Answers> Server<A> {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        _place: Place,
        mut stopping: watch::Receiver<bool>,
    ) {
        let _under_way = meters().connection(self.bounds.name);
        let is_proxy = self.places.is_proxy(address.ip());
        let connected = tokio::select! {
            connected = peer::connect(stream, address, self.tls.as_deref(), self.bounds.protocol) => connected,
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
        let (server, beating) = (Arc::clone(&self), Arc::clone(&pulse));
        let service = service_fn(move |request| {
            beating.beat();
            let (server, pulse, peer) = (Arc::clone(&server), Arc::clone(&beating), peer.clone());
            async move {
                let mut open = pulse.open();
                let response = server.answers.answer(request, peer).await;
                open.is_answered = true;
                // Over HTTP/2 an answer that is not taken stops here, and not at the socket.
                Ok::<_, Infallible>(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        open.pulse.beat();
                        frame
                    }))
                }))
            }
        });
        let builder = builder(self.bounds);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
        tokio::select! {
            // A connection that breaks is its client's affair.
            _ = connection.as_mut() => return,
            // A proxy passes on that its clients leave; h2 bounds what of that it holds.
            () = pulse.is_abused.notified(), if !is_proxy => {
                tracing::warn!(listener = self.bounds.name, "a client resets its calls as soon as it makes them; it is left");
                return;
            }
            () = silence(&pulse, self.bounds, || self.places.are_scarce()) => {}
            () = sleep(CONNECTION_AGE) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        let grace = match self.bounds.protocol {
            _ if pulse.beats() > 0 => GRACE,
            // A client that keeps a channel for later is told to make another.
            Protocol::Grpc => GRACE_OF_IDLE,
            Protocol::Http => return,
        };
        connection.as_mut().graceful_shutdown();
        let _ = timeout(grace, connection).await;
    }
}

/// Ends when a connection has been silent too long, the first time sooner.
async fn silence(pulse: &Pulse, bounds: Bounds, are_scarce: impl Fn() -> bool) {
    let Bounds { first_request, first_request_in_need, next_request, streams, .. } = bounds;
    sleep(first_request_in_need).await;
    if pulse.beats() == 0 && are_scarce() {
        return;
    }
    sleep(first_request.saturating_sub(first_request_in_need)).await;
    // So often it is looked for.
    let look = LOOK.min(next_request / 3);
    let (mut known, mut quiet) = (0, next_request - look);
    loop {
        let beats = pulse.beats();
        let lives = beats != known || (streams && pulse.is_open());
        quiet = if lives { Duration::ZERO } else { quiet + look };
        let is_in_need = !pulse.is_open() && are_scarce();
        if quiet >= if is_in_need { next_request.min(QUIET_IN_NEED) } else { next_request } {
            return;
        }
        known = beats;
        sleep(look).await;
    }
}

fn builder(bounds: Bounds) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if bounds.protocol == Protocol::Grpc {
        builder = builder.http2_only();
    }
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.next_request)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
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

    const BOUNDS: Bounds = Bounds {
        name: "test",
        protocol: Protocol::Http,
        connections: 1,
        of_peer: 1,
        first_request: Duration::from_secs(10),
        first_request_in_need: Duration::from_secs(1),
        next_request: Duration::from_secs(75),
        streams: false,
    };

    /// When a connection that shows life at these moments is silent for too long, in seconds.
    async fn ends(beats: &[u64], are_scarce: bool) -> u64 {
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
            biased;
            () = living => {}
            () = silence(&pulse, BOUNDS, || are_scarce) => {}
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_asks_nothing_is_left_soon_and_one_that_has_asked_later() {
        assert_eq!(ends(&[], false).await, 10);
        assert_eq!(ends(&[11], false).await, 10);
        for last in [1, 9, 30, 200] {
            let beats: Vec<_> = (0..=last).step_by(20).chain([last]).collect();
            let end = ends(&beats, false).await;
            assert!((last + 74..=last + 110).contains(&end), "{last}: {end}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_places_are_scarce_a_connection_that_asks_nothing_is_left_at_once() {
        assert_eq!(ends(&[], true).await, 1);
        assert_eq!(ends(&[2], true).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn when_places_are_scarce_a_connection_is_left_soon_after_its_last_call() {
        for last in [1, 9, 30, 200] {
            let beats: Vec<_> = (0..=last).step_by(5).chain([last]).collect();
            let end = ends(&beats, true).await;
            assert!((last + 10..=last + 40).contains(&end), "{last}: {end}");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_most_of_its_calls_is_left_and_one_that_leaves_some_is_not() {
        let ends = async |calls: u64, answered: u64| {
            let pulse = Arc::new(Pulse::default());
            for call in 0..calls {
                pulse.beat();
                pulse.open().is_answered = call < answered;
            }
            timeout(Duration::from_millis(1), pulse.is_abused.notified()).await.is_ok()
        };
        assert!(ends(LEFT, 0).await && !ends(LEFT - 1, 0).await && !ends(10 * LEFT, 8 * LEFT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_has_not_ended_is_life_where_there_are_streams() {
        let pulse = Arc::new(Pulse::default());
        pulse.beat();
        let open = pulse.open();
        let with = |streams| silence(&pulse, Bounds { streams, ..BOUNDS }, || false);
        assert!(timeout(Duration::from_secs(3600), with(true)).await.is_err());
        assert!(timeout(Duration::from_secs(3600), with(false)).await.is_ok());
        drop(open);
        assert!(timeout(Duration::from_secs(3600), with(true)).await.is_ok());
    }
}
