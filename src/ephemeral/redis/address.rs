//! Where Redis is: clients for one server, for a cluster, and for sentinels, made from the configuration without a connection.

use std::{path::Path, time::Duration};

use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo,
    TlsCertificates, cluster::ClusterClient,
};
use anyhow::{Context, bail, ensure};
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, pem::PemObject},
};

use super::link::{CONNECT, RESPONSE};
use crate::{
    config::{self, RedisAddress, SecretUrl},
    file,
};

/// Where Redis is.
pub(super) enum Address {
    Single(Client),
    Cluster(Box<ClusterClient>),
    Sentinel(Sentinels),
}

/// Sentinels, and how the server is spoken to that they name.
pub(super) struct Sentinels {
    pub(super) sentinels: Vec<Client>,
    pub(super) master: String,
    login: RedisConnectionInfo,
    tls: Tls,
}

/// Whether TLS is spoken, and whose certificates are taken.
#[derive(Clone)]
enum Tls {
    Off,
    /// With the certificates of the system, or those of a file.
    On(Option<TlsCertificates>),
}

impl Address {
    /// Reads the configuration; it fails on what no start of Redis can heal.
    pub(super) fn read(config: &config::Redis) -> anyhow::Result<Self> {
        let tls = match &config.address {
            RedisAddress::Embedded => bail!("redis.url is embedded: there is no Redis to be used"),
            RedisAddress::Single(url) => url.expose().starts_with("rediss:"),
            RedisAddress::Cluster(urls) => urls.iter().any(|url| url.expose().starts_with("rediss:")),
            RedisAddress::Sentinel(sentinel) => sentinel.tls,
        };
        let tls = Tls::read(tls, config)?;
        match &config.address {
            RedisAddress::Embedded => bail!("redis.url is embedded: there is no Redis to be used"),
            RedisAddress::Single(url) => Ok(Self::Single(tls.client(server(url)?)?)),
            RedisAddress::Cluster(urls) => Ok(Self::Cluster(Box::new(cluster(urls, tls)?))),
            RedisAddress::Sentinel(sentinel) => Sentinels::read(sentinel, tls).map(Self::Sentinel),
        }
    }
}

impl Sentinels {
    fn read(sentinel: &config::Sentinel, tls: Tls) -> anyhow::Result<Self> {
        let scheme = if sentinel.tls { "rediss" } else { "redis" };
        let one = |host: &String| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let port = if has_port { "" } else { ":26379" };
            tls.client(server(&SecretUrl::new(format!("{scheme}://{host}{port}")))?)
        };
        let sentinels = sentinel.sentinels.iter().map(one).collect::<anyhow::Result<_>>()?;
        // The login is read as part of a URL, so that it means what it means in one.
        let login = server(&SecretUrl::new(format!("redis://{}server", sentinel.login.expose())))?;
        Ok(Self { sentinels, master: sentinel.master.clone(), login: login.redis_settings().clone(), tls })
    }

    /// A client for a server that a sentinel has named.
    pub(super) fn server(&self, host: String, port: u16) -> anyhow::Result<Client> {
        let address = match &self.tls {
            Tls::Off => ConnectionAddr::Tcp(host, port),
            Tls::On(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
        };
        let address =
            address.into_connection_info().map_err(|_| anyhow::anyhow!("a sentinel's answer is no address"))?;
        self.tls.client(address.set_redis_settings(self.login.clone()))
    }
}

impl Tls {
    fn read(on: bool, config: &config::Redis) -> anyhow::Result<Self> {
        if !on {
            ensure!(
                config.ca_file.is_none() && config.client.is_none(),
                "redis.ca_file or redis.cert_file is set, but redis.url does not ask for TLS; write rediss:// or rediss+sentinel://, \
                 or leave them empty"
            );
            return Ok(Self::Off);
        }
        if CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, with the same one.
            let _ = aws_lc_rs::default_provider().install_default();
        }
        let root_cert = config.ca_file.as_deref().map(|path| certificates("redis.ca_file", path)).transpose()?;
        let client_tls = match &config.client {
            None => None,
            Some((cert, key)) => {
                let given = file::read_given(key).context("redis.key_file; name a file with a private key (PEM)")?;
                if let Some(warning) = given.warning {
                    tracing::warn!("{warning}");
                }
                let client_cert = certificates("redis.cert_file", cert)?;
                Some(ClientTlsConfig { client_cert, client_key: given.text.into_bytes() })
            }
        };
        Ok(Self::On((root_cert.is_some() || client_tls.is_some()).then_some(TlsCertificates { client_tls, root_cert })))
    }

    fn client(&self, server: ConnectionInfo) -> anyhow::Result<Client> {
        let client = match self {
            Self::On(Some(certificates)) => Client::build_with_tls(server, certificates.clone()),
            Self::Off | Self::On(None) => Client::open(server),
        };
        client.map_err(malformed)
    }
}

/// The content of a file with certificates.
fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    let pem =
        file::read_public(path).with_context(|| format!("{key}; name a file with certificates (PEM)"))?.into_bytes();
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let shown = path.display();
    ensure!(!certificates.is_empty(), "{key}: {shown} has no certificate in it; name a file with certificates (PEM)");
    Ok(pem)
}

fn cluster(urls: &[SecretUrl], tls: Tls) -> anyhow::Result<ClusterClient> {
    let nodes = urls.iter().map(server).collect::<anyhow::Result<Vec<_>>>()?;
    let mut builder = ClusterClient::builder(nodes)
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(CONNECT)
        .response_timeout(RESPONSE)
        .overall_response_timeout(Some(RESPONSE + Duration::from_millis(100)))
        // It would also send again what may have been done already.
        .retries(0);
    if let Tls::On(Some(certificates)) = tls {
        builder = builder.certs(certificates);
    }
    builder.build().map_err(malformed)
}

/// A server by its URL. Protocol 3 says when a connection has ended, before something is sent over it.
fn server(url: &SecretUrl) -> anyhow::Result<ConnectionInfo> {
    let server = url.expose().into_connection_info().map_err(malformed)?;
    // A user who may do nothing but what is needed may not name the library.
    let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
    Ok(server.set_redis_settings(settings))
}

/// What a client says of a URL is its kind of fault alone: no part of the URL.
#[allow(clippy::needless_pass_by_value, reason = "it is mapped over")]
fn malformed(fault: ::redis::RedisError) -> anyhow::Error {
    anyhow::anyhow!(
        "redis.url cannot be used ({}); write redis://user:password@host:6379/0 with percent-encoded user and password, and the \
         same user and password for each node of a cluster",
        fault.category()
    )
}
