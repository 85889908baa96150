//! Twilio's Messages API (2010-04-01).

use async_trait::async_trait;
use reqwest::{Client, header};

use super::{Failure, SmsSender, client};
use crate::{config, model::PhoneNumber, secret::Secret};

pub(super) struct Twilio {
    client: Client,
    config: config::Twilio,
    url: String,
}

impl Twilio {
    pub(super) fn new(config: &config::Twilio) -> anyhow::Result<Self> {
        let url = format!("{}/2010-04-01/Accounts/{}/Messages.json", config.base_url, config.account_sid);
        Ok(Self { client: client::client()?, config: config.clone(), url })
    }
}

#[async_trait]
impl SmsSender for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    async fn send(&self, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
        let sender = if self.config.from.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let body = client::form(&[("To", to.expose()), (sender, &self.config.from), ("Body", text.expose())]);
        let request = self
            .client
            .post(&self.url)
            .basic_auth(&self.config.account_sid, Some(self.config.auth_token.expose()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        client::send(request).await
    }
}
