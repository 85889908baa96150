//! Tells the operator's webhook, after Standard Webhooks: each event has an id, the time of the try, and a signature over both and
//! the body, so that a receiver knows whom it comes from, and that it is no older try of somebody else's.

use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, Response, header, redirect::Policy};

use crate::{
    clock::Timestamp,
    config::{self, Topic},
    secret::Secret,
    telemetry,
};

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(10);
const GONE: u16 = 410;

/// What is needed to tell a webhook.
pub struct Webhook {
    client: Client,
    config: config::Webhook,
    keys: Vec<hmac::Key>,
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In words that name no address.
    pub text: String,
    /// Whether it is not to be tried again.
    pub is_final: bool,
}

impl Webhook {
    /// What is configured.
    pub fn new(config: &config::Webhook) -> anyhow::Result<Self> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .no_proxy()
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        let key = |secret: &config::Sealed| {
            let bytes = Secret::new(STANDARD.decode(secret.expose()).context("webhook.secret is not base64")?);
            Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()))
        };
        let keys = config.secrets.iter().map(key).collect::<anyhow::Result<_>>()?;
        let client = builder.build().context("cannot prepare for the webhook")?;
        Ok(Self { client, config: config.clone(), keys })
    }

    /// Whether it is told of this.
    pub fn wants(&self, topic: Topic) -> bool {
        self.config.topics.contains(&topic)
    }

    /// So many failed sign-ins are told.
    pub fn failure_threshold(&self) -> i64 {
        i64::from(self.config.failure_threshold)
    }

    /// Posts an event; its id is the same at every try.
    pub async fn send(&self, id: &str, body: &[u8], now: Timestamp) -> Result<(), Failure> {
        let time = now.seconds();
        let request = self
            .client
            .post(self.config.url.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", time)
            .header("webhook-signature", signatures(&self.keys, id, time, body))
            .body(body.to_vec());
        telemetry::provider("webhook", async {
            // The trace that this is a part of: the receiver may go on with it.
            let request = match telemetry::traceparent() {
                Some(trace) => request.header("traceparent", trace),
                None => request,
            };
            taken(request.send().await)
        })
        .await
    }
}

/// What an answer says.
fn taken(answer: reqwest::Result<Response>) -> Result<(), Failure> {
    match answer {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => {
            let status = response.status().as_u16();
            Err(Failure { text: format!("it answered {status}"), is_final: status == GONE })
        }
        // The fault itself may name the address with what stands in it.
        Err(fault) => {
            let text = match fault {
                fault if fault.is_timeout() => "it did not answer in time",
                fault if fault.is_connect() => "it cannot be reached",
                _ => "the connection broke",
            };
            Err(Failure { text: text.to_owned(), is_final: false })
        }
    }
}

/// The signature by each key, with spaces between them.
fn signatures(keys: &[hmac::Key], id: &str, time: i64, body: &[u8]) -> String {
    let signature = |key: &hmac::Key| {
        let mut context = hmac::Context::with_key(key);
        context.update(format!("{id}.{time}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    keys.iter().map(signature).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_signed_as_the_specification_has_it() -> Result<(), base64::DecodeError> {
        // The example of the specification's libraries.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
        let keys = [hmac::Key::new(hmac::HMAC_SHA256, &key)];
        let signed = signatures(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        Ok(())
    }
}
