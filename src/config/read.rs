//! Reads the configuration out of its layers, and judges every value.

use std::path::{Path, PathBuf};

use toml::Value;

use super::{
    Bootstrap, Config, Database, DatabaseAddress, Grpc, Keys, Layers, LogFormat, LogLevel, Problem, Telemetry, Token,
};

impl Config {
    /// The configuration that the layers make, or everything that is wrong with them.
    pub fn read(mut layers: Layers) -> Result<Self, Vec<Problem>> {
        let data_dir = PathBuf::from(layers.filled("data_dir"));
        let ring_file = layers.text("keys.ring_file");
        let config = Self {
            grpc: Grpc {
                listen: layers.parsed("grpc.listen", ([127, 0, 0, 1], 0).into(), |text| {
                    text.parse().map_err(|_| "must be an address and port such as 127.0.0.1:50051".to_owned())
                }),
                reflection: layers.flag("grpc.reflection"),
            },
            database: Database {
                address: layers.parsed("database.url", DatabaseAddress::Sqlite(PathBuf::new()), |text| {
                    database_address(text, &data_dir)
                }),
                auto_migrate: layers.flag("database.auto_migrate"),
            },
            keys: Keys {
                given: !ring_file.is_empty(),
                ring_file: if ring_file.is_empty() { data_dir.join("keys.toml") } else { PathBuf::from(ring_file) },
            },
            bootstrap: layers.bootstrap(),
            token: Token { issuer: layers.filled("token.issuer"), audience: layers.filled("token.audience") },
            totp_issuer: layers.parsed("totp.issuer", String::new(), totp_issuer),
            telemetry: Telemetry {
                log_level: layers.parsed("telemetry.log_level", LogLevel::Info, log_level),
                log_format: layers.parsed("telemetry.log_format", LogFormat::Pretty, log_format),
            },
            warnings: layers.warnings().to_vec(),
            data_dir,
        };
        layers.parsed("redis.url", (), redis_url);
        if layers.has_problems() { Err(layers.into_problems()) } else { Ok(config) }
    }
}

impl Layers {
    fn text(&self, key: &str) -> String {
        self.get(key).and_then(|setting| setting.value.as_str()).unwrap_or_default().to_owned()
    }

    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(|setting| setting.value.as_bool()).unwrap_or_default()
    }

    fn bootstrap(&mut self) -> Option<Bootstrap> {
        let (admin_email, password_file) =
            (self.text("bootstrap.admin_email"), self.text("bootstrap.admin_password_file"));
        match (admin_email.is_empty(), password_file.is_empty()) {
            (true, true) => None,
            (false, false) => Some(Bootstrap { admin_email, admin_password_file: PathBuf::from(password_file) }),
            (is_missing, _) => {
                let key = if is_missing { "bootstrap.admin_email" } else { "bootstrap.admin_password_file" };
                let source = self.get(key).map(|setting| setting.source.clone()).unwrap_or_default();
                self.problem(key, &source, "must be set too: the first administrator needs both".to_owned());
                None
            }
        }
    }

    fn filled(&mut self, key: &str) -> String {
        self.parsed(key, String::new(), |text| {
            if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
        })
    }

    /// Parses a text; a problem is kept, and `stand_in` takes the value's place until all are found.
    fn parsed<T>(&mut self, key: &str, stand_in: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
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

fn database_address(url: &str, data_dir: &Path) -> Result<DatabaseAddress, String> {
    if url.is_empty() {
        return Ok(DatabaseAddress::Sqlite(data_dir.join("countersign.db")));
    }
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err("has no scheme; write sqlite:path/to/file.db".to_owned());
    };
    if scheme != "sqlite" {
        return Err(format!("the scheme {scheme:?} is not known; write sqlite:path/to/file.db"));
    }
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.contains('?') {
        return Err("takes no parameters; write sqlite:path/to/file.db".to_owned());
    }
    if path.is_empty() || path == ":memory:" {
        return Err(
            "must name a file, so that nothing is lost with the process; write sqlite:path/to/file.db".to_owned()
        );
    }
    Ok(DatabaseAddress::Sqlite(PathBuf::from(path)))
}

fn redis_url(url: &str) -> Result<(), String> {
    match url.split_once(':') {
        None if url == "embedded" => Ok(()),
        None => Err("must be embedded".to_owned()),
        Some((scheme, _)) => Err(format!("the scheme {scheme:?} is not known; this release has embedded only")),
    }
}

fn totp_issuer(name: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&name.chars().count()) && !name.contains(|c: char| c.is_control() || c == ':');
    if fits { Ok(name.to_owned()) } else { Err("must have 1 to 64 characters, and no colon among them".to_owned()) }
}

fn log_level(word: &str) -> Result<LogLevel, String> {
    match word {
        "error" => Ok(LogLevel::Error),
        "warn" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("must be error, warn, info, debug or trace".to_owned()),
    }
}

fn log_format(word: &str) -> Result<LogFormat, String> {
    match word {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json".to_owned()),
    }
}
