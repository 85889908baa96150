//! Who is at the other end of a connection: an address, and the names in a certificate where there is one. And how a connection is made.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use crate::tls::{Connection, Protocol, ServerTls};

/// A handshake takes no longer.
const HANDSHAKE: Duration = Duration::from_secs(5);

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
