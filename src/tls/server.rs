//! TLS of our own listeners: the certificate is read anew when its files change, for the connections that come from then on.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context as Task, Poll},
};

use anyhow::{Context, anyhow};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

use crate::{
    config, file,
    secret::{self, Secret},
};

/// What is spoken over a connection (ALPN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 alone.
    Grpc,
    /// HTTP/2 or HTTP/1.1.
    Http,
}

/// TLS of our listeners.
pub struct ServerTls {
    files: config::Tls,
    loaded: RwLock<Arc<Loaded>>,
}

struct Loaded {
    fingerprint: [u8; 32],
    grpc: TlsAcceptor,
    http: TlsAcceptor,
}

/// The content of the files.
struct Content {
    certificates: String,
    key: Secret<String>,
    client_ca: Option<String>,
    /// Of a key that others may read.
    warning: Option<String>,
}

/// A connection of a client.
pub enum Connection {
    /// Without TLS.
    Plain(TcpStream),
    /// With it.
    Secure(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}

impl ServerTls {
    /// With the files of the configuration.
    pub fn load(files: &config::Tls) -> anyhow::Result<Self> {
        let content = Content::read(files)?;
        if let Some(warning) = &content.warning {
            tracing::warn!("{warning}");
        }
        let loaded = RwLock::new(Arc::new(Loaded::new(files, &content)?));
        Ok(Self { files: files.clone(), loaded })
    }

    /// Reads the files anew; answers whether they have changed. What cannot be used leaves everything as it is.
    pub fn reload(&self) -> anyhow::Result<bool> {
        let content = Content::read(&self.files)?;
        if content.fingerprint() == self.loaded().fingerprint {
            return Ok(false);
        }
        let loaded = Arc::new(Loaded::new(&self.files, &content)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(true)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shakes hands with a client.
    pub async fn accept(&self, stream: TcpStream, protocol: Protocol) -> io::Result<Connection> {
        let loaded = self.loaded();
        let acceptor = match protocol {
            Protocol::Grpc => &loaded.grpc,
            Protocol::Http => &loaded.http,
        };
        Ok(Connection::Secure(Box::new(acceptor.accept(stream).await?)))
    }
}

impl Content {
    fn read(files: &config::Tls) -> anyhow::Result<Self> {
        let public = |key: &str, path: &PathBuf| {
            file::read_public(path).with_context(|| format!("{key} = {} cannot be read", path.display()))
        };
        let key = file::read_given(&files.key_file)
            .with_context(|| format!("tls.key_file = {} cannot be read", files.key_file.display()))?;
        Ok(Self {
            warning: key.warning,
            certificates: public("tls.cert_file", &files.cert_file)?,
            key: Secret::new(key.text),
            client_ca: files.client_ca_file.as_ref().map(|path| public("tls.client_ca_file", path)).transpose()?,
        })
    }

    fn fingerprint(&self) -> [u8; 32] {
        let parts = [self.certificates.as_str(), self.key.expose(), self.client_ca.as_deref().unwrap_or_default()];
        let all = Secret::new(parts.join("\0"));
        secret::fingerprint(all.expose().as_bytes())
    }
}

impl Loaded {
    fn new(files: &config::Tls, content: &Content) -> anyhow::Result<Self> {
        let certificates = CertificateDer::pem_slice_iter(content.certificates.as_bytes());
        let certificates = certificates.collect::<Result<Vec<_>, _>>().context("tls.cert_file is not PEM")?;
        anyhow::ensure!(!certificates.is_empty(), "tls.cert_file holds no certificate");
        // The reader's own words could quote the key.
        let key = PrivateKeyDer::from_pem_slice(content.key.expose().as_bytes())
            .map_err(|_| anyhow!("tls.key_file holds no private key in PEM"))?;
        let provider = Arc::new(default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match &content.client_ca {
            None => builder.with_no_client_auth(),
            Some(text) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
                    roots.add(certificate.context("tls.client_ca_file is not PEM")?)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if files.client_required { verifier } else { verifier.allow_unauthenticated() };
                builder.with_client_cert_verifier(verifier.build().context("tls.client_ca_file cannot be used")?)
            }
        };
        let config = builder.with_single_cert(certificates, key);
        let mut config = config.context("tls.cert_file and tls.key_file do not fit")?;
        if content.client_ca.is_some() {
            // A handshake that goes on from an earlier one does not look at the client's certificate again: it may have ended since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let acceptor = |protocols: &[&str]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        Ok(Self { fingerprint: content.fingerprint(), grpc: acceptor(&["h2"]), http: acceptor(&["h2", "http/1.1"]) })
    }
}

impl Connection {
    /// The names in the certificate of the client (subject alternative names: DNS names and URIs); none without one.
    pub fn client_names(&self) -> Vec<String> {
        let Self::Secure(stream) = self else {
            return Vec::new();
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        certificates.first().map(|certificate| names(certificate)).unwrap_or_default()
    }
}

fn names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        if let ParsedExtension::SubjectAlternativeName(all) = extension.parsed_extension() {
            for name in &all.general_names {
                // A host has neither: what an authority gives as the name of a host is never taken for a URI.
                let is_host = |name: &str| !name.contains([':', '/']);
                if let GeneralName::URI(name) = name {
                    names.push((*name).to_owned());
                }
                if let GeneralName::DNSName(name) = name
                    && is_host(name)
                {
                    names.push((*name).to_owned());
                }
            }
        }
    }
    names
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
