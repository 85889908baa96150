//! Services that call with an identity of their own: a name in a certificate, or a token.

use http::HeaderMap;

use super::caller::bearer;
use crate::{config, error::Refusal, secret};

/// The services that are known.
pub struct KnownServices {
    identities: Vec<String>,
    /// Hashes: what is compared tells nothing of what is kept.
    tokens: Vec<[u8; 32]>,
    is_required: bool,
}

impl KnownServices {
    /// Those of the configuration.
    pub fn new(config: &config::Services) -> Self {
        let hash = |(_, token): &(String, config::Sealed)| secret::fingerprint(token.expose().as_bytes());
        Self {
            identities: config.identities.clone(),
            tokens: config.tokens.iter().map(hash).collect(),
            is_required: config.required_for_validation,
        }
    }

    /// Refuses whoever is none of them, where one must call.
    pub(super) fn admit(&self, names: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.is_required || names.iter().any(|name| self.identities.contains(name)) {
            return Ok(());
        }
        match bearer(headers)? {
            Some(token) => {
                let shown = secret::fingerprint(token.expose().as_bytes());
                let is_known = self.tokens.iter().any(|known| secret::same(known, &shown));
                if is_known { Ok(()) } else { Err(Refusal::Unauthenticated) }
            }
            None if names.is_empty() => Err(Refusal::Unauthenticated),
            None => Err(Refusal::PermissionDenied),
        }
    }
}
