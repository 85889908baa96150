//! What is configured of TLS, and of services that have an identity of their own.

use std::path::PathBuf;

use super::{Layers, sealed::Sealed};
use crate::secret::Secret;

/// TLS of both listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate with those that vouch for it (PEM).
    pub cert_file: PathBuf,
    /// Its private key (PEM).
    pub key_file: PathBuf,
    /// The certificates that those of clients must come from (PEM); None = clients are not asked for any.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without one is turned away.
    pub client_required: bool,
}

/// Services that have an identity of their own.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Names in client certificates that are services.
    pub identities: Vec<String>,
    /// Tokens of those that have no certificate: the name, and the token.
    pub tokens: Vec<(String, Sealed)>,
    /// Whether a service alone may ask what a token is worth.
    pub required_for_validation: bool,
}

/// A token has at least so many characters.
const TOKEN_CHARACTERS: usize = 32;

impl Layers {
    /// TLS as it is configured; None = there is none.
    pub(super) fn tls(&mut self) -> Option<Tls> {
        let path = |text: String| Some(text).filter(|text| !text.is_empty()).map(PathBuf::from);
        let (cert, key) = (path(self.text("tls.cert_file")), path(self.text("tls.key_file")));
        let client_ca_file = path(self.text("tls.client_ca_file"));
        let client_required = self.flag("tls.client_required");
        if client_required && client_ca_file.is_none() {
            self.complain("tls.client_required", "needs tls.client_ca_file: whose certificates are good?");
        }
        match (cert, key) {
            (Some(cert_file), Some(key_file)) => Some(Tls { cert_file, key_file, client_ca_file, client_required }),
            (None, None) => {
                if client_ca_file.is_some() {
                    self.complain("tls.client_ca_file", "needs tls.cert_file and tls.key_file");
                }
                None
            }
            (is_there, _) => {
                let key = if is_there.is_some() { "tls.key_file" } else { "tls.cert_file" };
                self.complain(key, "must be set too: a certificate needs its key");
                None
            }
        }
    }

    /// Services as they are configured.
    pub(super) fn services(&mut self, tls: Option<&Tls>) -> Services {
        let identities: Vec<String> = match self.get("services.identities") {
            Some(setting) => setting
                .value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str())
                .map(str::to_owned)
                .collect(),
            None => Vec::new(),
        };
        if !identities.is_empty() && tls.is_none_or(|tls| tls.client_ca_file.is_none()) {
            self.complain("services.identities", "needs tls.client_ca_file: whose certificates are good?");
        }
        let text = Secret::new(self.text("services.tokens"));
        let mut tokens = Vec::new();
        for line in text.expose().lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.split_once(' ').map(|(name, token)| (name, token.trim())) {
                Some((name, token))
                    if token.len() >= TOKEN_CHARACTERS && token.bytes().all(|byte| byte.is_ascii_graphic()) =>
                {
                    tokens.push((name.to_owned(), Sealed::new(token.to_owned())));
                }
                Some(_) | None => self.complain(
                    "services.tokens",
                    "must be lines of a name, a space and a token of at least 32 characters, such as echo svt_$(openssl rand -hex 32) prints",
                ),
            }
        }
        let required_for_validation = self.flag("services.required_for_validation");
        if required_for_validation && identities.is_empty() && tokens.is_empty() {
            self.complain(
                "services.required_for_validation",
                "needs services.identities or services.tokens: else nobody could validate a token",
            );
        }
        Services { identities, tokens, required_for_validation }
    }
}
