//! What is configured of the webhook.

use base64::{Engine, engine::general_purpose::STANDARD};
use url::{Host, Url};

use super::{Layers, sealed::Sealed};
use crate::secret::Secret;

/// The webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Where events are posted.
    pub url: Sealed,
    /// What they are signed with, in base64: each by each.
    pub secrets: Vec<Sealed>,
    /// Which of them are told.
    pub topics: Vec<Topic>,
    /// So many failed sign-ins in ten minutes are told.
    pub failure_threshold: u32,
}

/// What a webhook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Failed sign-ins of all accounts together, over a threshold.
    SignInFailures,
    /// Accounts that have to wait after wrong passwords or codes.
    Lockouts,
    /// Factors that come, go, or are reset.
    FactorChanges,
    /// Backup codes that are used.
    BackupCodeUse,
    /// Changes of the policy.
    PolicyChanges,
    /// Text messages of the day that run low or out.
    SmsBudget,
}

impl Topic {
    const ALL: [(&'static str, Self); 6] = [
        ("sign_in_failures", Self::SignInFailures),
        ("lockouts", Self::Lockouts),
        ("factor_changes", Self::FactorChanges),
        ("backup_code_use", Self::BackupCodeUse),
        ("policy_changes", Self::PolicyChanges),
        ("sms_budget", Self::SmsBudget),
    ];
}

impl Layers {
    /// The webhook as it is configured.
    pub(super) fn webhook(&mut self) -> Option<Webhook> {
        let failure_threshold = self.number("webhook.failure_threshold", 1, 1_000_000);
        let topics = self.topics();
        let url = Sealed::new(self.text("webhook.url"));
        if url.expose().is_empty() {
            if !self.text("webhook.secret").is_empty() {
                self.complain("webhook.secret", "needs webhook.url: set that too, or take this away");
            }
            return None;
        }
        if topics.is_empty() {
            self.complain("webhook.topics", "is empty, so nothing would ever be told; take webhook.url away instead");
        }
        match Url::parse(url.expose()).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            Some(url) if url.scheme() == "http" && !is_loopback(&url) => {
                self.warn("webhook.url is not https: whoever is on the way reads what is told there".to_owned());
            }
            Some(_) => {}
            None => self.complain("webhook.url", "must be an http or https address"),
        }
        let text = Secret::new(self.text("webhook.secret"));
        let secrets: Vec<_> = text.expose().split_whitespace().map(secret).collect();
        if secrets.is_empty() || secrets.iter().any(Option::is_none) {
            self.complain(
                "webhook.secret",
                "must be whsec_ and 24 to 64 random bytes in base64, such as echo whsec_$(openssl rand -base64 32) prints; or two of \
                 these with a space between them, while the receiver changes from one to the other",
            );
        }
        let secrets = secrets.into_iter().flatten().collect();
        Some(Webhook { url, secrets, topics, failure_threshold })
    }

    fn topics(&mut self) -> Vec<Topic> {
        let Some(setting) = self.get("webhook.topics").cloned() else {
            return Vec::new();
        };
        let mut topics = Vec::new();
        for value in setting.value.as_array().into_iter().flatten() {
            let word = value.as_str().unwrap_or_default();
            match Topic::ALL.iter().find(|(name, _)| *name == word) {
                Some((_, topic)) => topics.push(*topic),
                None => {
                    let known = Topic::ALL.map(|(name, _)| name).join(", ");
                    self.complain("webhook.topics", &format!("{value} is none of {known}"));
                }
            }
        }
        topics
    }
}

/// A secret without its prefix; None = it is none.
fn secret(text: &str) -> Option<Sealed> {
    let encoded = text.strip_prefix("whsec_")?;
    let bytes = Secret::new(STANDARD.decode(encoded).ok()?);
    (24..=64).contains(&bytes.expose().len()).then(|| Sealed::new(encoded.to_owned()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
