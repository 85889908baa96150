//! The HTTP server: connections, and how long each may take. HTTP/1.1 and HTTP/2.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_io_timeout::TimeoutStream;
use tonic::body::Body;

use super::{gateway::Gateway, pages::Pages};

/// Connections at once; more wait to be taken.
const CONNECTIONS: usize = 1000;
/// A connection that has not asked anything after this long is closed.
const FIRST_REQUEST: Duration = Duration::from_secs(10);
/// One that has asked may be silent this long. Proxies keep connections for 60 s.
const NEXT_REQUEST: Duration = Duration::from_secs(75);
/// A client that takes nothing of an answer for this long is left.
const WRITE_TIME: Duration = Duration::from_secs(10);
/// Connections are renewed, so that load spreads over new replicas; calls under way end in peace.
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// What is read of a request's head at all; what is larger than the gateway takes is refused there, with a reason.
const HEAD_BYTES: usize = 64 * 1024;
const HEADERS: usize = 512;
const STREAMS_PER_CONNECTION: u32 = 100;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// See `grpc`.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 100;

/// The server.
pub struct Server {
    gateway: Gateway,
    pages: Pages,
}

impl Server {
    /// A server of this gateway and the pages about it.
    pub fn new(gateway: Gateway) -> anyhow::Result<Self> {
        let pages = Pages::new(gateway.routes())?;
        Ok(Self { gateway, pages })
    }

    /// Serves until `stop` resolves, and then until the calls that are under way are done.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let server = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let (stopping, is_stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &places) => {
                    let (stream, peer, place) = accepted?;
                    connections.spawn(Arc::clone(&server).connection(stream, peer, place, is_stopping.clone()));
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
        peer: SocketAddr,
        _place: OwnedSemaphorePermit,
        mut stopping: watch::Receiver<bool>,
    ) {
        // What cannot be set is slower, no more.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME));
        let has_asked = Arc::new(AtomicBool::new(false));
        let (server, asked) = (self, Arc::clone(&has_asked));
        let service = service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            let server = Arc::clone(&server);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
        });
        let builder = builder();
        let mut connection = pin!(builder.serve_connection(TokioIo::new(Box::pin(stream)), service));
        let (mut first, mut age) = (pin!(sleep(FIRST_REQUEST)), pin!(sleep(CONNECTION_AGE)));
        let mut is_young = true;
        loop {
            // A connection that breaks is its client's affair.
            tokio::select! {
                _ = connection.as_mut() => return,
                () = &mut first, if is_young => {
                    is_young = false;
                    if !has_asked.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = &mut age => break,
                _ = stopping.wait_for(|stopping| *stopping) => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        match self.pages.find(&request) {
            Some(page) => page,
            None => self.gateway.answer(request, peer).await,
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> anyhow::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.context("no more connections are taken")?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Ok((stream, peer, place)),
            Err(fault) => {
                // Out of descriptors, or a client that left: the listener itself stands.
                tracing::warn!(%fault, "a connection could not be taken");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
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
