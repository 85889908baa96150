//! Kannel's smsbox (sendsms interface).

use async_trait::async_trait;
use reqwest::Client;

use super::{Failure, SmsSender, client};
use crate::{config, model::PhoneNumber, secret::Secret};

pub(super) struct Kannel {
    client: Client,
    config: config::Kannel,
}

impl Kannel {
    pub(super) fn new(config: &config::Kannel) -> anyhow::Result<Self> {
        Ok(Self { client: client::client()?, config: config.clone() })
    }
}

#[async_trait]
impl SmsSender for Kannel {
    fn name(&self) -> &'static str {
        "kannel"
    }

    async fn send(&self, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
        // What is not in the alphabet of GSM goes as UCS-2.
        let coding = if text.expose().is_ascii() { "0" } else { "2" };
        let query = client::form(&[
            ("username", &self.config.user),
            ("password", self.config.password.expose()),
            ("from", &self.config.from),
            ("to", to.expose()),
            ("text", text.expose()),
            ("coding", coding),
            ("charset", "UTF-8"),
        ]);
        client::send(self.client.get(format!("{}/cgi-bin/sendsms?{query}", self.config.base_url))).await
    }
}
