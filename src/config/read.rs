//! Reads the configuration out of its layers, and judges every value.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use toml::Value;

use super::{
    Bootstrap, Config, Database, DatabaseAddress, Grpc, Http, Keys, Layers, PasswordCost, Problem, Redis, RedisAddress,
    RingSource, Sealed, Token, address,
};

/// The languages that people are written to in.
const LOCALES: [&str; 6] = ["de", "el", "en", "es", "fr", "it"];

/// What is told from the audit log is told within three days.
const LEAST_RETENTION: Duration = Duration::from_secs(4 * 24 * 60 * 60);

impl Config {
    /// The configuration that the layers make, or everything that is wrong with them.
    pub fn read(mut layers: Layers) -> Result<Self, Vec<Problem>> {
        let data_dir = PathBuf::from(layers.filled("data_dir"));
        let tls = layers.tls();
        let services = layers.services(tls.as_ref());
        let config = Self {
            grpc: Grpc {
                listen: layers.parsed("grpc.listen", ([127, 0, 0, 1], 0).into(), |text| {
                    text.parse().map_err(|_| "must be an address and port such as 127.0.0.1:50051".to_owned())
                }),
                reflection: layers.flag("grpc.reflection"),
            },
            http: {
                let secure_cookies = layers.flag("http.secure_cookies");
                let listen = layers.parsed("http.listen", None, http_listen);
                listen.map(|listen| Http { listen, secure_cookies })
            },
            tls,
            services,
            database: Database {
                address: layers.parsed("database.url", DatabaseAddress::Sqlite(PathBuf::new()), |text| {
                    address::database(text, &data_dir)
                }),
                max_connections: layers.number("database.max_connections", 2, 1000),
                auto_migrate: layers.flag("database.auto_migrate"),
            },
            redis: Redis {
                address: layers.parsed("redis.url", RedisAddress::Embedded, address::redis),
                key_prefix: layers.parsed("redis.key_prefix", String::new(), key_prefix),
                ca_file: Some(layers.text("redis.ca_file")).filter(|path| !path.is_empty()).map(PathBuf::from),
                client: layers.redis_client(),
            },
            source_failures: Some(layers.number("limits.source_failures", 0, 1_000_000)).filter(|count| *count > 0),
            trusted_proxies: layers.networks("trusted_proxies"),
            keys: Keys { source: layers.ring(&data_dir) },
            bootstrap: layers.bootstrap(),
            token: Token { issuer: layers.filled("token.issuer"), audience: layers.filled("token.audience") },
            totp_issuer: layers.parsed("totp.issuer", String::new(), totp_issuer),
            password: PasswordCost {
                memory: layers.number("password.memory_kib", 19_456, 1_048_576),
                passes: layers.number("password.passes", 2, 64),
            },
            audit_retention: Some(layers.number("audit.retention_days", 0, 36_500))
                .filter(|days| *days > 0)
                .map(|days| Duration::from_secs(u64::from(days) * 24 * 60 * 60)),
            sms: layers.sms(),
            webhook: layers.webhook(),
            mail: layers.mail(),
            telemetry: layers.telemetry(),
            warnings: Vec::new(),
            data_dir,
        };
        layers.judge(&config);
        // The last of all: reading and judging the others may have made some.
        let config = Self { warnings: layers.warnings().to_vec(), ..config };
        if layers.has_problems() { Err(layers.into_problems()) } else { Ok(config) }
    }
}

impl Layers {
    /// What does not go together.
    fn judge(&mut self, config: &Config) {
        if !matches!(config.database.address, DatabaseAddress::Sqlite(_)) && !self.is_set("redis.url") {
            let problem = "must be set beside a database server: redis://…, or \"embedded\" in so many words when there is \
                           one replica alone";
            self.problem("redis.url", "the built-in default", problem.to_owned());
        }
        let listens =
            [("grpc.listen", Some(config.grpc.listen)), ("http.listen", config.http.as_ref().map(|http| http.listen))];
        for (key, listen) in listens {
            let is_open = listen.is_some_and(|listen| !listen.ip().is_loopback());
            if is_open && config.tls.is_none() && !self.flag("tls.allow_plaintext") {
                self.complain(key, "is not a loopback address, so it needs tls.cert_file and tls.key_file; or, behind a mesh or a proxy that speaks TLS, tls.allow_plaintext = true");
            }
        }
        if config.telemetry.listen.is_some_and(|listen| !listen.ip().is_loopback())
            && !self.flag("telemetry.allow_plaintext")
        {
            self.complain("telemetry.listen", "is not a loopback address, and probes and metrics are served in clear there; inside a cluster, say telemetry.allow_plaintext = true");
        }
        let asks_all = config.tls.as_ref().is_some_and(|tls| tls.client_required);
        if asks_all && config.telemetry.listen.is_none() {
            let problem =
                "probes show no certificate, and are turned away; remedy: set telemetry.listen, where they need none";
            self.warn(format!("tls.client_required: {problem}"));
        }
        let is_read = config.webhook.is_some() || config.mail.is_some();
        if is_read && config.audit_retention.is_some_and(|kept| kept < LEAST_RETENTION) {
            self.complain(
                "audit.retention_days",
                "must be 0 or at least 4 beside a webhook or mail: they are told from the audit log",
            );
        }
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.get(key).and_then(|setting| setting.value.as_str()).unwrap_or_default().to_owned()
    }

    pub(super) fn number(&mut self, key: &str, least: u32, most: u32) -> u32 {
        let setting = self.get(key).cloned();
        let value = setting.as_ref().and_then(|setting| setting.value.as_integer()).unwrap_or_default();
        match u32::try_from(value).ok().filter(|value| (least..=most).contains(value)) {
            Some(value) => value,
            None => {
                let source = setting.map(|setting| setting.source).unwrap_or_default();
                self.problem(key, &source, format!("must be a number from {least} to {most}"));
                least
            }
        }
    }

    fn networks(&mut self, key: &str) -> Vec<IpNet> {
        let Some(setting) = self.get(key).cloned() else {
            return Vec::new();
        };
        let mut networks = Vec::new();
        for value in setting.value.as_array().into_iter().flatten() {
            match value.as_str().map_or_else(|| Err("must be a list of texts".to_owned()), network) {
                Ok(network) => networks.push(network),
                Err(problem) => self.problem(key, &setting.source, problem),
            }
        }
        networks
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(|setting| setting.value.as_bool()).unwrap_or_default()
    }

    fn redis_client(&mut self) -> Option<(PathBuf, PathBuf)> {
        let (cert, key) = (self.text("redis.cert_file"), self.text("redis.key_file"));
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => None,
            (false, false) => Some((PathBuf::from(cert), PathBuf::from(key))),
            (is_missing, _) => {
                let key = if is_missing { "redis.cert_file" } else { "redis.key_file" };
                self.complain(key, "must be set too: a certificate needs its key");
                None
            }
        }
    }

    fn ring(&mut self, data_dir: &Path) -> RingSource {
        let (file, command) = (self.text("keys.ring_file"), self.text("keys.ring_command"));
        let text = Sealed::new(self.text("keys.ring_text"));
        let given = [!file.is_empty(), !text.expose().is_empty(), !command.is_empty()];
        if given.into_iter().filter(|given| *given).count() > 1 {
            let key = if file.is_empty() { "keys.ring_text" } else { "keys.ring_file" };
            self.complain(key, "there is one key ring: set one of keys.ring_file, keys.ring_text, keys.ring_command");
        }
        match given {
            [true, _, _] => RingSource::File { path: PathBuf::from(file), given: true },
            [_, true, _] => RingSource::Text(text),
            [_, _, true] => RingSource::Command(command),
            [..] => RingSource::File { path: data_dir.join("keys.toml"), given: false },
        }
    }

    fn bootstrap(&mut self) -> Option<Bootstrap> {
        let (admin_email, password_file) =
            (self.text("bootstrap.admin_email"), self.text("bootstrap.admin_password_file"));
        match (admin_email.is_empty(), password_file.is_empty()) {
            (true, true) => None,
            (false, false) => Some(Bootstrap { admin_email, admin_password_file: PathBuf::from(password_file) }),
            (is_missing, _) => {
                let key = if is_missing { "bootstrap.admin_email" } else { "bootstrap.admin_password_file" };
                self.complain(key, "must be set too: the first administrator needs both");
                None
            }
        }
    }

    pub(super) fn locale(&mut self, key: &str) -> String {
        self.parsed(key, String::new(), |text| {
            if LOCALES.contains(&text) {
                Ok(text.to_owned())
            } else {
                Err(format!("must be one of {}", LOCALES.join(", ")))
            }
        })
    }

    /// Keeps a problem of a key.
    pub(super) fn complain(&mut self, key: &str, problem: &str) {
        let source = self.get(key).map(|setting| setting.source.clone()).unwrap_or_default();
        self.problem(key, &source, problem.to_owned());
    }

    pub(super) fn filled(&mut self, key: &str) -> String {
        self.parsed(key, String::new(), |text| {
            if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
        })
    }

    /// Parses a text; a problem is kept, and `stand_in` takes the value's place until all are found.
    pub(super) fn parsed<T>(&mut self, key: &str, stand_in: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        let setting = self.get(key).cloned();
        let text = setting.as_ref().and_then(|setting| match &setting.value {
            Value::String(text) => Some(text.as_str()),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => None,
        });
        match parse(text.unwrap_or_default()) {
            Ok(value) => value,
            Err(problem) => {
                let source = setting.map(|setting| setting.source).unwrap_or_default();
                self.problem(key, &source, problem);
                stand_in
            }
        }
    }
}

pub(super) fn http_listen(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        address => address
            .parse()
            .map(Some)
            .map_err(|_| "must be an address and port such as 127.0.0.1:3000, or off".to_owned()),
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    let parsed = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    parsed.map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
}

fn key_prefix(text: &str) -> Result<String, String> {
    // A brace would decide which node of a cluster a key lies on.
    let fits = text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'{' && b != b'}');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must have at most 64 visible ASCII characters, and no braces".to_owned())
    }
}

fn totp_issuer(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.chars().count()) && !name.contains(|c: char| c.is_control() || c == ':');
    if fits { Ok(name.to_owned()) } else { Err("must have 1 to 64 characters, and no colon among them".to_owned()) }
}
