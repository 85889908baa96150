//! One mail, one connection: what is said to the mail server, in which order, and what its answers mean. The library speaks the
//! commands. The way there is our own, because the library's limits no answer in time, and takes what was said before STARTTLS for
//! what was said after it.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lettre::{
    Address,
    transport::smtp::{
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream},
        commands::{Data, Mail, Rcpt},
        extension::{ClientId, Extension, MailBodyParameter, MailParameter},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use super::Failure;
use crate::{
    config::MailSecurity,
    tls::{ClientTls, TlsStream},
};

/// Lines of an answer that is read before TLS, and bytes of each.
const LINES: usize = 64;
const LINE_BYTES: usize = 1024;

/// Where mail is handed over, and how.
pub(super) struct Way {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: MailSecurity,
    /// None = it is not protected.
    pub(super) tls: Option<ClientTls>,
    pub(super) credentials: Option<Credentials>,
}

impl Way {
    /// Hands one mail over.
    pub(super) async fn send(&self, from: &Address, to: &Address, mail: &[u8]) -> Result<(), Failure> {
        let hello = ClientId::default();
        let stream = self.connect(&hello).await?;
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &hello).await.map_err(answered)?;
        if let Some(credentials) = &self.credentials {
            connection.auth(DEFAULT_MECHANISMS, credentials).await.map_err(answered)?;
        }
        let server = connection.server_info();
        let mut parameters = Vec::new();
        if !to.to_string().is_ascii() || !from.to_string().is_ascii() {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::last("the mail server takes no such address (it lacks SMTPUTF8)"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if server.supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        connection.command(Mail::new(Some(from.clone()), parameters)).await.map_err(answered)?;
        // It is the mailbox that is refused here, and for good by these; everything else may be put right.
        connection.command(Rcpt::new(to.clone(), Vec::new())).await.map_err(|fault| {
            let is_final = fault.status().is_some_and(|code| matches!(u16::from(code), 550 | 551 | 553));
            Failure { is_final, ..answered(fault) }
        })?;
        connection.command(Data).await.map_err(answered)?;
        connection.message(mail).await.map_err(answered)?;
        // It is taken. Whatever is said of the farewell changes nothing.
        let _ = connection.quit().await;
        Ok(())
    }

    async fn connect(&self, hello: &ClientId) -> Result<Box<dyn AsyncTokioStream>, Failure> {
        let unreached = |_| Failure::now("the mail server cannot be reached");
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreached)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let greeting = match self.security {
            MailSecurity::StartTls => begin_tls(&mut stream, hello).await?,
            MailSecurity::Tls | MailSecurity::None => Vec::new(),
        };
        let peer = stream.peer_addr().map_err(unreached)?;
        let insecure =
            |_| Failure::now("TLS to the mail server failed: see its certificate, mail.ca_file and mail.security");
        let inner = tls.connect(&self.host, stream).await.map_err(insecure)?;
        Ok(Box::new(Protected { inner, peer, greeting }))
    }
}

/// Asks for TLS; answers a greeting, which the server does not say again. Nothing is read ahead: what somebody on the way has put
/// behind the answer meets the handshake, and breaks it.
async fn begin_tls(stream: &mut TcpStream, hello: &ClientId) -> Result<Vec<u8>, Failure> {
    let broken = |_| Failure::now("the connection to the mail server broke before TLS");
    let refused = |code: &str| Failure::now(&format!("the mail server answered {code} before TLS"));
    let greeting = answer(stream).await.map_err(broken)?;
    let code = |answer: &[u8]| String::from_utf8_lossy(answer.get(..3).unwrap_or_default()).into_owned();
    if !greeting.starts_with(b"220") {
        return Err(refused(&code(&greeting)));
    }
    stream.write_all(format!("EHLO {hello}\r\n").as_bytes()).await.map_err(broken)?;
    let offered = answer(stream).await.map_err(broken)?;
    let offers = String::from_utf8_lossy(&offered).to_ascii_uppercase();
    if !offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim() == "STARTTLS")) {
        return Err(Failure::now("the mail server offers no STARTTLS"));
    }
    stream.write_all(b"STARTTLS\r\n").await.map_err(broken)?;
    let ready = answer(stream).await.map_err(broken)?;
    if !ready.starts_with(b"220") {
        return Err(refused(&code(&ready)));
    }
    Ok(b"220 ready\r\n".to_vec())
}

/// An answer of one line or several, and not a byte more.
async fn answer(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    for _ in 0..LINES {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await?);
            if line.len() > LINE_BYTES {
                return Err(io::Error::other("a line without an end"));
            }
        }
        let is_last = line.get(3) != Some(&b'-');
        all.extend_from_slice(&line);
        if is_last {
            return Ok(all);
        }
    }
    Err(io::Error::other("an answer without an end"))
}

/// What a server says itself is not kept: it likes to quote the address.
fn answered(fault: lettre::transport::smtp::Error) -> Failure {
    match fault.status() {
        Some(code) => Failure::now(&format!("the mail server answered {code}")),
        None if fault.is_client() => Failure::now("the mail server offers no way to sign in that is known"),
        None => Failure::now("the connection to the mail server broke"),
    }
}

/// A connection over TLS, before which something is read that was said before it.
struct Protected {
    inner: TlsStream,
    peer: SocketAddr,
    greeting: Vec<u8>,
}

impl fmt::Debug for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protected")
    }
}

impl AsyncTokioStream for Protected {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl AsyncRead for Protected {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        let count = self.greeting.len().min(buffer.remaining());
        let part: Vec<u8> = self.greeting.drain(..count).collect();
        buffer.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Protected {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
