//! The configuration. `default.toml` is the manual and the schema: what does not stand there does not exist.

mod address;
mod layers;
mod mail;
mod read;
mod sealed;
mod sms;
mod telemetry;
mod tls;
mod webhook;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;

pub use address::{DatabaseAddress, RedisAddress, SecretUrl, Sentinel};
pub use layers::{Layers, Problem, Setting};
pub use mail::{Mail, MailSecurity};
pub use sealed::Sealed;
pub use sms::{HttpGateway, Kannel, Provider, Sms, Twilio};
pub use telemetry::{LevelSource, LogFormat, LogLevel, Otlp, Telemetry};
pub use tls::{Services, Tls};
pub use webhook::{Topic, Webhook};

/// What the service is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the service keeps what it makes itself.
    pub data_dir: PathBuf,
    /// The gRPC server.
    pub grpc: Grpc,
    /// The REST gateway; None = there is none.
    pub http: Option<Http>,
    /// TLS of both; None = there is none.
    pub tls: Option<Tls>,
    /// Services that have an identity of their own.
    pub services: Services,
    /// The database.
    pub database: Database,
    /// The ephemeral store.
    pub redis: Redis,
    /// The key ring.
    pub keys: Keys,
    /// How many wrong passwords a source may send in 10 minutes; None = as many as it likes.
    pub source_failures: Option<u32>,
    /// Whose word is taken for where a call comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// The first administrator, where one is to be made.
    pub bootstrap: Option<Bootstrap>,
    /// Access tokens.
    pub token: Token,
    /// The name of the service in authenticator apps, which passwords must not be made of.
    pub totp_issuer: String,
    /// What hashes of passwords cost: memory in KiB, and passes over it.
    pub password: PasswordCost,
    /// How long the audit log is kept; None = for ever.
    pub audit_retention: Option<Duration>,
    /// Text messages; None = none are sent.
    pub sms: Option<Sms>,
    /// The webhook; None = there is none.
    pub webhook: Option<Webhook>,
    /// Mail to users; None = none is sent.
    pub mail: Option<Mail>,
    /// Logs.
    pub telemetry: Telemetry,
    /// What the operator should know, although it stops nothing.
    pub warnings: Vec<String>,
}

/// What hashes of passwords cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes over it.
    pub passes: u32,
}

/// The gRPC server.
#[derive(Clone, Debug)]
pub struct Grpc {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether it can be asked what it serves.
    pub reflection: bool,
}

/// The REST gateway.
#[derive(Clone, Debug)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whether browsers are told to send its cookie over TLS alone.
    pub secure_cookies: bool,
}

/// The database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Where it is.
    pub address: DatabaseAddress,
    /// How many connections this process opens at most; a server's alone.
    pub max_connections: u32,
    /// Whether `serve` brings the schema up to date.
    pub auto_migrate: bool,
}

/// The ephemeral store.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Where it is.
    pub address: RedisAddress,
    /// What every key begins with.
    pub key_prefix: String,
    /// A file with the certificates (PEM) that its certificate must come from; None = those of the system.
    pub ca_file: Option<PathBuf>,
    /// Files (PEM) with the certificate that this service shows there, and its private key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The key ring.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Where it comes from.
    pub source: RingSource,
}

/// Where the key ring comes from.
#[derive(Clone, Debug)]
pub enum RingSource {
    /// A file.
    File {
        /// Its path.
        path: PathBuf,
        /// Whether the operator has given the file; else it is of our own making.
        given: bool,
    },
    /// The configuration itself.
    Text(Sealed),
    /// A command that prints it.
    Command(String),
}

impl Keys {
    /// The file that the ring is in.
    pub fn file(&self) -> anyhow::Result<&Path> {
        match &self.source {
            RingSource::File { path, .. } => Ok(path),
            RingSource::Text(_) | RingSource::Command(_) => {
                anyhow::bail!(
                    "the key ring is not in a file, so it is not written; put the key where keys.ring_text or keys.ring_command has it from"
                )
            }
        }
    }

    /// Whether it is a file of our own making.
    pub fn is_own(&self) -> bool {
        matches!(self.source, RingSource::File { given: false, .. })
    }
}

impl fmt::Display for RingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Text(_) => f.write_str("of keys.ring_text"),
            Self::Command(_) => f.write_str("that keys.ring_command prints"),
        }
    }
}

/// The first administrator.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// The e-mail address.
    pub admin_email: String,
    /// The file with the password.
    pub admin_password_file: PathBuf,
}

/// Access tokens.
#[derive(Clone, Debug)]
pub struct Token {
    /// The `iss` claim.
    pub issuer: String,
    /// The `aud` claim.
    pub audience: String,
}

/// The keys whose values are never shown and may come from a file.
pub const SECRETS: [&str; 13] = [
    "database.url",
    "redis.url",
    "keys.ring_text",
    "sms.twilio.auth_token",
    "sms.http.url",
    "sms.http.headers",
    "sms.http.body",
    "sms.kannel.password",
    "webhook.url",
    "webhook.secret",
    "mail.password",
    "services.tokens",
    "telemetry.otlp_headers",
];
