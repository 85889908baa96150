//! What goes out by text message: who sends it, and what is done when they do not. A message or a number is never logged.

mod breaker;
mod client;
mod console;
mod gateway;
mod kannel;
mod number;
mod text;
mod twilio;

use std::time::Duration;

use async_trait::async_trait;
use phonenumber::country;

use self::breaker::Breaker;
use crate::{
    clock::Timestamp,
    config::{self, Provider},
    model::PhoneNumber,
    secret::Secret,
};

pub use number::{Problem, parse};

/// A message is given up when nobody has taken it by then: a call has 5 s.
const PATIENCE: Duration = Duration::from_secs(4);

/// Who sends text messages. A new provider is a file with this, and its lines in `sender` and in the configuration.
#[async_trait]
pub trait SmsSender: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// Hands a message over.
    async fn send(&self, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure>;
}

/// Why a message was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider was not reached: it has not seen the message.
    Unreached,
    /// The provider has refused it, with this status.
    Refused(u16),
    /// The provider has not answered in time: it may have sent the message.
    Unknown,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A provider has taken it.
    Taken,
    /// Nobody has taken it; it costs nothing.
    Refused,
    /// Nobody knows: it may arrive, and may cost.
    Unknown,
}

/// What is needed to send text messages.
pub struct Sms {
    senders: Vec<(Box<dyn SmsSender>, Breaker)>,
    countries: Vec<country::Id>,
    daily_budget: u32,
    words: text::Words,
}

impl Sms {
    /// What is configured, in the name of a service.
    pub fn new(config: &config::Sms, service: &str) -> anyhow::Result<Self> {
        let mut senders = vec![(sender(&config.provider)?, Breaker::default())];
        if let Some(fallback) = &config.fallback {
            senders.push((sender(fallback)?, Breaker::default()));
        }
        Ok(Self {
            senders,
            countries: config.countries.clone(),
            daily_budget: config.daily_budget,
            words: text::Words::new(&config.locale, service, &config.origin_host),
        })
    }

    /// How many messages are sent in a day.
    pub fn daily_budget(&self) -> u32 {
        self.daily_budget
    }

    /// Reads a number, and refuses one that is not served.
    pub fn parse(&self, text: &str) -> Result<PhoneNumber, Problem> {
        let (number, country) = parse(text)?;
        if self.serves(country) { Ok(number) } else { Err(Problem::NotServed) }
    }

    /// Whether a number is served still.
    pub fn serves_number(&self, number: &PhoneNumber) -> bool {
        parse(number.expose()).is_ok_and(|(_, country)| self.serves(country))
    }

    fn serves(&self, country: country::Id) -> bool {
        self.countries.is_empty() || self.countries.contains(&country)
    }

    /// Sends a code. The next provider is asked after a refusal, and never after a silence: the first may have sent it.
    pub async fn send_code(&self, to: &PhoneNumber, code: &Secret<String>, now: Timestamp) -> Outcome {
        let text = self.words.code(code);
        let sending = async {
            for (sender, breaker) in &self.senders {
                if !breaker.lets_through(now) {
                    tracing::warn!(
                        provider = sender.name(),
                        "the provider has failed several times; it is left alone for a while"
                    );
                    continue;
                }
                match hand_over(sender.as_ref(), to, &text).await {
                    Ok(()) => {
                        breaker.succeeded();
                        return Outcome::Taken;
                    }
                    Err(failure) => {
                        breaker.failed(failure, now);
                        tracing::warn!(provider = sender.name(), ?failure, "a text message was not handed over");
                        if failure == Failure::Unknown {
                            return Outcome::Unknown;
                        }
                    }
                }
            }
            Outcome::Refused
        };
        tokio::time::timeout(PATIENCE, sending).await.unwrap_or(Outcome::Unknown)
    }
}

/// Once more where the provider has not seen the message.
async fn hand_over(sender: &dyn SmsSender, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
    match sender.send(to, text).await {
        Err(Failure::Unreached) => sender.send(to, text).await,
        answer => answer,
    }
}

fn sender(provider: &Provider) -> anyhow::Result<Box<dyn SmsSender>> {
    Ok(match provider {
        Provider::Console => Box::new(console::Console),
        Provider::Twilio(twilio) => Box::new(twilio::Twilio::new(twilio)?),
        Provider::Http(gateway) => Box::new(gateway::Gateway::new(gateway)?),
        Provider::Kannel(kannel) => Box::new(kannel::Kannel::new(kannel)?),
    })
}
