//! The connection to Redis: one server, the master that sentinels name, or a cluster. Made when it is first needed, and made anew
//! when it was lost.

use std::{future::Future, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisError, RedisResult,
    ScriptInvocation, TlsCertificates, TlsMode,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use anyhow::{Context, anyhow};
use tokio::sync::{Mutex, RwLock};

use crate::{
    config::{self, RedisAddress, SecretUrl},
    error::{Error, Outage},
    file,
};

const CONNECT: Duration = Duration::from_millis(500);
const RESPONSE: Duration = Duration::from_millis(700);
/// Connecting, asking and hearing the answer take no longer together.
const OVERALL: Duration = Duration::from_millis(1200);

/// The connection, or how to get one.
pub(super) struct Link {
    door: Door,
    /// Its number, and the connection, which all calls share.
    live: RwLock<(u64, Option<Live>)>,
}

enum Door {
    Single(Client),
    Sentinel(Mutex<SentinelClient>),
    Cluster(ClusterClient),
}

#[derive(Clone)]
enum Live {
    One(MultiplexedConnection),
    Many(ClusterConnection),
}

impl Link {
    /// Reads where Redis is; connects to nothing.
    pub(super) fn new(config: &config::Redis) -> anyhow::Result<Self> {
        let ca = config.ca_file.as_ref().map(|path| file::read_given(path).context("redis.ca_file")).transpose()?;
        let certificates =
            ca.map(|given| TlsCertificates { client_tls: None, root_cert: Some(given.text.into_bytes()) });
        // For TLS. Another part of the process may have chosen the same before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let door = Door::new(&config.address, certificates);
        Ok(Self { door: door.map_err(unusable)?, live: RwLock::default() })
    }

    /// Runs a script. An answer that was lost is not asked for again: the script may have run.
    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Error> {
        self.within(async |live| match live {
            Live::One(mut connection) => script.invoke_async(&mut connection).await,
            Live::Many(mut connection) => script.invoke_async(&mut connection).await,
        })
        .await
    }

    /// Whether Redis answers.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let ping = ::redis::cmd("PING");
        self.within(async |live| match live {
            Live::One(mut connection) => ping.query_async(&mut connection).await,
            Live::Many(mut connection) => ping.query_async(&mut connection).await,
        })
        .await
    }

    async fn within<T>(&self, work: impl AsyncFnOnce(Live) -> RedisResult<T>) -> Result<T, Error> {
        let whole = async {
            let (number, live) = self.connection().await?;
            let answer = bounded(RESPONSE, work(live)).await;
            if answer.is_err() {
                self.forget(number).await;
            }
            answer
        };
        // Boxed: what a command awaits is deep, and the compiler has a limit to that.
        bounded(OVERALL, Box::pin(whole)).await.map_err(outage)
    }

    async fn connection(&self) -> RedisResult<(u64, Live)> {
        let seen = {
            let live = self.live.read().await;
            if let (number, Some(connection)) = &*live {
                return Ok((*number, connection.clone()));
            }
            live.0
        };
        let mut live = self.live.write().await;
        match &*live {
            (number, Some(connection)) => return Ok((*number, connection.clone())),
            // Whoever was waited for has found nobody; so would this call.
            (number, None) if *number != seen => return Err(late()),
            (_, None) => {}
        }
        live.0 += 1;
        let connection = bounded(CONNECT, self.door.connect()).await?;
        live.1 = Some(connection.clone());
        Ok((live.0, connection))
    }

    /// The next call connects anew, unless another has done so meanwhile.
    async fn forget(&self, number: u64) {
        let mut live = self.live.write().await;
        if live.0 == number {
            live.1 = None;
        }
    }
}

impl Door {
    fn new(address: &RedisAddress, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        match address {
            RedisAddress::Embedded => Err((::redis::ErrorKind::InvalidClientConfig, "no server is named").into()),
            RedisAddress::Single(url) => client(url, certificates).map(Self::Single),
            RedisAddress::Cluster(urls) => {
                let nodes =
                    urls.iter().map(|url| url.expose().into_connection_info()).collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClientBuilder::new(nodes)
                    .connection_timeout(CONNECT)
                    .response_timeout(RESPONSE)
                    // For nodes that have moved.
                    .retries(2)
                    .max_retry_wait(50);
                if let Some(certificates) = certificates {
                    builder = builder.certs(certificates);
                }
                builder.build().map(Self::Cluster)
            }
            RedisAddress::Sentinel(sentinel) => sentinel_client(sentinel, certificates),
        }
    }

    async fn connect(&self) -> RedisResult<Live> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(RESPONSE));
        match self {
            Self::Single(client) => client.get_multiplexed_async_connection_with_config(&config).await.map(Live::One),
            // Asks the sentinels anew who is the master.
            Self::Sentinel(client) => {
                let mut client = client.lock().await;
                client.get_async_connection_with_config(&config).await.map(Live::One)
            }
            Self::Cluster(client) => client.get_async_connection().await.map(Live::Many),
        }
    }
}

fn client(url: &SecretUrl, certificates: Option<TlsCertificates>) -> RedisResult<Client> {
    match certificates.filter(|_| url.expose().starts_with("rediss:")) {
        Some(certificates) => Client::build_with_tls(url.expose(), certificates),
        None => Client::open(url.expose()),
    }
}

fn sentinel_client(sentinel: &config::Sentinel, certificates: Option<TlsCertificates>) -> RedisResult<Door> {
    let scheme = if sentinel.tls { "rediss" } else { "redis" };
    let mut addresses: Vec<ConnectionAddr> = Vec::new();
    for host in &sentinel.sentinels {
        addresses.push(format!("{scheme}://{host}").into_connection_info()?.addr().clone());
    }
    let login = format!("{scheme}://{}localhost", sentinel.login.expose()).into_connection_info()?;
    let mut builder = SentinelClientBuilder::new(addresses, &sentinel.master, SentinelServerType::Master)?;
    if let Some(user) = login.redis_settings().username() {
        builder = builder.set_client_to_redis_username(user);
    }
    if let Some(password) = login.redis_settings().password() {
        builder = builder.set_client_to_redis_password(password);
    }
    if sentinel.tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates.filter(|_| sentinel.tls) {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    Ok(Door::Sentinel(Mutex::new(builder.build()?)))
}

async fn bounded<T>(span: Duration, answer: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    tokio::time::timeout(span, answer).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "Redis does not answer").into()
}

fn outage(fault: RedisError) -> Error {
    Error::Broken(anyhow::Error::new(fault).context(Outage))
}

fn unusable(fault: RedisError) -> anyhow::Error {
    // The driver's own words may quote the URL, and with it the password.
    anyhow!("redis.url cannot be used ({:?}); remedy: write it as default.toml says", fault.kind())
}
