//! Lays the sources of the configuration over each other and finds every problem at once.
//!
//! Our own, because the crates for this stop at the first problem, guess types from the text of the environment (a password of
//! digits becomes a number), and know no secrets from files.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    path::{Path, PathBuf},
};

use toml::{Table, Value};

use super::SECRETS;
use crate::file;

const DEFAULTS: &str = include_str!("default.toml");
const PREFIX: &str = "COUNTERSIGN_";
const DEFAULT_FILE: &str = "countersign.toml";

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it comes from, as an operator would say it.
    pub source: String,
}

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// Where the value comes from.
    pub source: String,
    /// What is wrong, and the remedy.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {}): {}", self.key, self.source, self.text)
    }
}

/// The sources, laid over each other.
pub struct Layers {
    settings: BTreeMap<String, Setting>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Layers {
    /// The built-in defaults, the file, the environment and `--set` flags, each over the one before.
    pub fn load(config_file: Option<&Path>, sets: &[String]) -> Self {
        let mut layers = Self::defaults();
        layers.add_file(config_file);
        layers.add_environment(environment());
        layers.add_flags(sets);
        layers
    }

    /// The built-in defaults alone.
    pub fn defaults() -> Self {
        let mut leaves = Vec::new();
        let table = DEFAULTS.parse::<Table>().unwrap_or_default();
        flatten("", &table, &mut leaves);
        let source = "the built-in default";
        let setting = |value| Setting { value, source: source.to_owned() };
        let settings = leaves.into_iter().map(|(key, value)| (key, setting(value))).collect();
        Self { settings, problems: Vec::new(), warnings: Vec::new() }
    }

    fn add_file(&mut self, named: Option<&Path>) {
        let path = named.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
        let source = path.display().to_string();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(_) if named.is_none() && !path.exists() => return,
            Err(fault) => {
                return self.problem("--config", &source, format!("cannot be read ({fault}); name a file that can"));
            }
        };
        match text.parse::<Table>() {
            // The parser's full message would quote the line, which may hold a secret.
            Err(fault) => self.problem("the whole file", &source, format!("is not TOML: {}", fault.message())),
            Ok(table) => {
                let mut leaves = Vec::new();
                flatten("", &table, &mut leaves);
                for (key, value) in leaves {
                    self.set(&key, value, &source);
                }
            }
        }
    }

    fn add_environment(&mut self, variables: Vec<(String, OsString)>) {
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !is_injected(rest)) else {
                continue;
            };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            let source = format!("the environment variable {name}");
            match text.into_string() {
                Ok(text) => self.set_text(&key, &text, &source),
                Err(_) => self.problem(&key, &source, "must be UTF-8".to_owned()),
            }
        }
    }

    fn add_flags(&mut self, sets: &[String]) {
        for set in sets {
            match set.split_once('=') {
                Some((key, text)) => self.set_text(key, text, "a flag (--set)"),
                None => self.problem(set, "a flag (--set)", "write --set KEY=VALUE".to_owned()),
            }
        }
    }

    /// Sets a key from text, which is read as what the key holds.
    fn set_text(&mut self, key: &str, text: &str, source: &str) {
        let value = match self.settings.get(key).map(|known| &known.value) {
            Some(Value::Boolean(_)) => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean),
            Some(Value::Integer(_)) => text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer),
            Some(Value::Array(_)) => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                Value::Array(words.map(|word| Value::String(word.to_owned())).collect())
            }
            Some(Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_)) | None => {
                Value::String(text.to_owned())
            }
        };
        self.set(key, value, source);
    }

    fn set(&mut self, key: &str, value: Value, source: &str) {
        let secret = key.strip_suffix("_file").filter(|key| SECRETS.contains(key));
        let (key, value, source) = match (secret, &value) {
            (Some(secret), Value::String(path)) => match file::read_given(Path::new(path)) {
                Ok(file::Given { text, warning }) => {
                    self.warnings.extend(warning);
                    let value = Value::String(text.trim_end_matches(['\n', '\r']).to_owned());
                    (secret, value, format!("{path}, named by {source}"))
                }
                Err(fault) => return self.problem(key, source, format!("{fault:#}")),
            },
            (Some(_) | None, _) => (key, value, source.to_owned()),
        };
        let Some(known) = self.settings.get_mut(key) else {
            let text = match self.nearest(key) {
                Some(nearest) => format!("there is no such key; did you mean {nearest}?"),
                None => "there is no such key; the built-in default.toml lists them all".to_owned(),
            };
            return self.problem(key, &source, text);
        };
        let expected = known.value.type_str();
        if expected != value.type_str() {
            return self.problem(key, &source, format!("must be of type {expected}, not {}", value.type_str()));
        }
        *known = Setting { value, source };
    }

    /// The key that was probably meant.
    fn nearest(&self, key: &str) -> Option<&str> {
        let distances = self.settings.keys().map(|known| (distance(known, key), known.as_str()));
        distances.filter(|(distance, _)| *distance <= 3).min().map(|(_, known)| known)
    }

    pub(super) fn problem(&mut self, key: &str, source: &str, text: String) {
        self.problems.push(Problem { key: key.to_owned(), source: source.to_owned(), text });
    }

    /// Every key with its value, masked where it is a secret, and its source.
    pub fn shown(&self) -> Vec<(String, String, String)> {
        let shown = |(key, setting): (&String, &Setting)| {
            let masked = SECRETS.contains(&key.as_str()) && !is_plain(&setting.value);
            let value = if masked { "\"***\"".to_owned() } else { setting.value.to_string() };
            (key.clone(), value, setting.source.clone())
        };
        self.settings.iter().map(shown).collect()
    }

    /// Gives a text key another default.
    pub fn set_default(&mut self, key: &str, text: &str) {
        if let Some(setting) = self.settings.get_mut(key) {
            setting.value = Value::String(text.to_owned());
        }
    }

    /// Whether a key was set by anything but the built-in defaults.
    pub fn is_set(&self, key: &str) -> bool {
        self.settings.get(key).is_some_and(|setting| setting.source != "the built-in default")
    }

    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    /// What the operator should know, although it stops nothing.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn warn(&mut self, text: String) {
        self.warnings.push(text);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(super) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }
}

#[allow(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment() -> Vec<(String, OsString)> {
    let all = std::env::vars_os().filter_map(|(name, text)| Some((name.into_string().ok()?, text)));
    all.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// Variables that Kubernetes sets for a Service named countersign.
fn is_injected(rest: &str) -> bool {
    let numbered = || {
        let after = rest.strip_prefix("PORT_")?;
        let number = after.split('_').next()?;
        Some(!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    rest.starts_with("SERVICE_") || rest == "PORT" || numbered() == Some(true)
}

/// Values of secret keys that hold no secret.
fn is_plain(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.is_empty() || text == "embedded" || text.starts_with("sqlite:"))
}

fn flatten(path: &str, table: &Table, leaves: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, leaves),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => leaves.push((key, value.clone())),
        }
    }
}

/// How many letters must change to make one word of the other (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(variables: &[(&str, &str)]) -> Vec<String> {
        let mut layers = Layers::defaults();
        layers.add_environment(variables.iter().map(|(n, t)| ((*n).to_owned(), OsString::from(t))).collect());
        layers.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_kubernetes_injects_is_passed_over() {
        let injected = [
            ("COUNTERSIGN_SERVICE_HOST", "10.0.0.1"),
            ("COUNTERSIGN_SERVICE_PORT_GRPC", "50051"),
            ("COUNTERSIGN_PORT", "tcp://10.0.0.1:50051"),
            ("COUNTERSIGN_PORT_50051_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(problems(&injected), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_source_and_the_nearest_key() {
        assert_eq!(
            problems(&[("COUNTERSIGN_GRPC__LISTN", "x"), ("COUNTERSIGN_PORT_X", "y"), ("COUNTERSIGN_PORT__X", "z")]),
            [
                "grpc.listn (from the environment variable COUNTERSIGN_GRPC__LISTN): there is no such key; did you mean \
                 grpc.listen?",
                "port_x (from the environment variable COUNTERSIGN_PORT_X): there is no such key; the built-in default.toml \
                 lists them all",
                "port.x (from the environment variable COUNTERSIGN_PORT__X): there is no such key; the built-in default.toml \
                 lists them all",
            ]
        );
    }

    #[test]
    fn a_value_of_another_type_is_refused() {
        let problems = problems(&[("COUNTERSIGN_GRPC__REFLECTION", "yes")]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].ends_with("must be of type boolean, not string"), "{problems:?}");
    }

    #[test]
    fn text_of_the_environment_is_read_as_what_the_key_holds() {
        assert_eq!(problems(&[("COUNTERSIGN_TOKEN__AUDIENCE", "12345")]), Vec::<String>::new());
    }
}
