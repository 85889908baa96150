//! Who is at the other end of a connection: an address, and the names in a certificate where there is one. And how connections come.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::transport::server::Connected;

use super::places::Places;
use crate::tls::{Connection, Protocol, ServerTls};

/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes at once; more wait to be taken.
const HANDSHAKES: usize = 256;
/// Of these, of one peer that is no proxy of ours: one that never ends its handshakes keeps nobody else out.
const HANDSHAKES_OF_PEER: usize = 64;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The names in its certificate, which an authority of ours vouches for.
    pub names: Arc<[String]>,
}

impl Peer {
    /// One without a certificate.
    pub fn at(address: SocketAddr) -> Self {
        Self { address: Some(address), names: Arc::default() }
    }
}

/// A connection, and who is at its other end.
pub struct ServerIo {
    connection: Connection,
    peer: Peer,
}

impl Connected for ServerIo {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// Makes a connection of a stream that has come: by a handshake where there is TLS.
pub async fn connect(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&ServerTls>,
    protocol: Protocol,
) -> io::Result<ServerIo> {
    // What cannot be set is slower, no more.
    let _ = stream.set_nodelay(true);
    let connection = match tls {
        None => Connection::Plain(stream),
        Some(tls) => timeout(HANDSHAKE, tls.accept(stream, protocol)).await.map_err(|_| io::ErrorKind::TimedOut)??,
    };
    let names = connection.client_names().into();
    Ok(ServerIo { connection, peer: Peer { address: Some(address), names } })
}

/// The connections of a listener. One whose handshake fails is its client's affair.
pub fn incoming(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    proxies: Vec<IpNet>,
) -> impl Stream<Item = io::Result<ServerIo>> {
    struct Door {
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        places: Places,
        handshakes: JoinSet<io::Result<ServerIo>>,
    }
    let places = Places::new(HANDSHAKES, HANDSHAKES_OF_PEER, proxies);
    let door = Door { listener, tls, places, handshakes: JoinSet::new() };
    Box::pin(stream::unfold(door, async |mut door| {
        loop {
            tokio::select! {
                (stream, address, place) = door.places.accept(&door.listener) => {
                    let tls = door.tls.clone();
                    door.handshakes.spawn(async move {
                        let connected = connect(stream, address, tls.as_deref(), Protocol::Grpc).await;
                        drop(place);
                        connected
                    });
                }
                Some(done) = door.handshakes.join_next() => match done {
                    Ok(Ok(io)) => return Some((Ok(io), door)),
                    Ok(Err(fault)) => tracing::debug!(%fault, "a handshake failed"),
                    Err(fault) => tracing::error!(%fault, "a handshake panicked"),
                },
            }
        }
    }))
}

impl ServerIo {
    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for ServerIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(cx)
    }
}
