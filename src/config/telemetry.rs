//! What is configured of logs, metrics and traces.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use url::Url;

use super::{Layers, read::http_listen, sealed::Sealed};
use crate::secret::Secret;

/// What is told of what the service does.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The least level that is logged.
    pub log_level: LogLevel,
    /// For whom.
    pub log_format: LogFormat,
    /// Where metrics and probes are served, in clear; None = nowhere.
    pub listen: Option<SocketAddr>,
    /// Where traces and metrics are sent; None = nowhere.
    pub otlp: Option<Otlp>,
}

/// A collector that speaks OTLP over gRPC.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// Its address.
    pub endpoint: String,
    /// What is sent along, such as an API key.
    pub headers: Vec<(String, Sealed)>,
    /// The authority that vouches for it; None = those of the system.
    pub ca_file: Option<PathBuf>,
    /// So many traces of a hundred are sent, where nobody has decided before.
    pub trace_percent: u32,
    /// Metrics are sent so often.
    pub metrics_interval: Duration,
}

/// Where the level of the log is read anew.
#[derive(Clone, Debug)]
pub struct LevelSource {
    /// The file that was named, if one was.
    pub file: Option<PathBuf>,
    /// What was set by flags.
    pub sets: Vec<String>,
}

impl LevelSource {
    /// The level that is configured now; None = what is there cannot be read.
    pub fn read(&self) -> Option<LogLevel> {
        let layers = Layers::load(self.file.as_deref(), &self.sets);
        if layers.has_problems() {
            return None;
        }
        log_level(&layers.text("telemetry.log_level")).ok()
    }
}

/// The least level that is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Faults.
    Error,
    /// And what may become one.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And what a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

/// For whom logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: a JSON object a line.
    Json,
}

impl Layers {
    /// Telemetry as it is configured.
    pub(super) fn telemetry(&mut self) -> Telemetry {
        Telemetry {
            log_level: self.parsed("telemetry.log_level", LogLevel::Info, log_level),
            log_format: self.parsed("telemetry.log_format", LogFormat::Pretty, log_format),
            listen: self.parsed("telemetry.listen", None, http_listen),
            otlp: self.otlp(),
        }
    }

    fn otlp(&mut self) -> Option<Otlp> {
        let endpoint = self.text("telemetry.otlp_endpoint");
        let trace_percent = self.number("telemetry.trace_percent", 0, 100);
        let seconds = self.number("telemetry.otlp_metrics_seconds", 1, 3600);
        let text = Secret::new(self.text("telemetry.otlp_headers"));
        let mut headers = Vec::new();
        for line in text.expose().lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())) {
                Some((name, value)) if is_header(&name) && value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                    headers.push((name, Sealed::new(value.to_owned())));
                }
                Some(_) | None => self.complain("telemetry.otlp_headers", "must be lines of `name: value`"),
            }
        }
        if endpoint.is_empty() {
            return None;
        }
        let is_address = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !Url::parse(&endpoint).is_ok_and(|url| is_address(&url)) {
            self.complain("telemetry.otlp_endpoint", "must be an address such as http://127.0.0.1:4317");
        }
        let ca_file = Some(self.text("telemetry.otlp_ca_file")).filter(|path| !path.is_empty()).map(PathBuf::from);
        let metrics_interval = Duration::from_secs(seconds.into());
        Some(Otlp { endpoint, headers, ca_file, trace_percent, metrics_interval })
    }
}

fn is_header(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
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
