//! What goes out by text message: who sends it, and what is done when they do not. A message or a number is never logged.

mod breaker;
mod client;
mod console;
mod gateway;
mod kannel;
mod number;
mod text;
mod twilio;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use phonenumber::country;

use self::breaker::Breaker;
use crate::{
    clock::Timestamp,
    config::{self, Provider},
    model::PhoneNumber,
    secret::Secret,
    telemetry,
};

pub use number::{Problem, parse};

/// A message is given up when nobody has taken it by then: a call has 5 s.
const PATIENCE: Duration = Duration::from_millis(3800);

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
    /// An answer with this status, after which the message may have been sent all the same.
    Doubtful(u16),
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

impl Outcome {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
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
        let asked = AtomicUsize::new(0);
        let sending = async {
            for (at, (sender, breaker)) in self.senders.iter().enumerate() {
                if !breaker.lets_through(now) {
                    tracing::warn!(
                        provider = sender.name(),
                        "the provider has failed several times; it is left alone for a while"
                    );
                    continue;
                }
                asked.store(at, Ordering::Relaxed);
                match hand_over(sender.as_ref(), to, &text).await {
                    Ok(()) => {
                        breaker.succeeded();
                        return Outcome::Taken;
                    }
                    Err(failure) => {
                        breaker.failed(failure, now);
                        tracing::warn!(provider = sender.name(), ?failure, "a text message was not handed over");
                        if matches!(failure, Failure::Doubtful(_) | Failure::Unknown) {
                            return Outcome::Unknown;
                        }
                    }
                }
            }
            Outcome::Refused
        };
        match tokio::time::timeout(PATIENCE, sending).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if let Some((sender, breaker)) = self.senders.get(asked.load(Ordering::Relaxed)) {
                    breaker.failed(Failure::Unknown, now);
                    tracing::warn!(provider = sender.name(), "a text message was not handed over in time");
                }
                Outcome::Unknown
            }
        }
    }
}

/// Once more where the provider has not seen the message.
async fn hand_over(sender: &dyn SmsSender, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
    match told(sender, to, text).await {
        Err(Failure::Unreached) => told(sender, to, text).await,
        answer => answer,
    }
}

async fn told(sender: &dyn SmsSender, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
    telemetry::provider(sender.name(), sender.send(to, text)).await
}

fn sender(provider: &Provider) -> anyhow::Result<Box<dyn SmsSender>> {
    Ok(match provider {
        Provider::Console => Box::new(console::Console),
        Provider::Twilio(twilio) => Box::new(twilio::Twilio::new(twilio)?),
        Provider::Http(gateway) => Box::new(gateway::Gateway::new(gateway)?),
        Provider::Kannel(kannel) => Box::new(kannel::Kannel::new(kannel)?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// Takes so long for each message, and then answers so.
    struct Slow(Duration, Result<(), Failure>, Arc<AtomicUsize>);

    #[async_trait]
    impl SmsSender for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        async fn send(&self, _: &PhoneNumber, _: &Secret<String>) -> Result<(), Failure> {
            self.2.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(self.0).await;
            self.1
        }
    }

    /// What comes of messages, and how often each of two providers was asked.
    async fn outcomes(first: (u64, Result<(), Failure>), messages: usize) -> Option<(Vec<Outcome>, [usize; 2])> {
        let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let slow = Slow(Duration::from_millis(first.0), first.1, Arc::clone(&counts[0]));
        let good = Slow(Duration::ZERO, Ok(()), Arc::clone(&counts[1]));
        let sms = Sms {
            senders: vec![(Box::new(slow), Breaker::default()), (Box::new(good), Breaker::default())],
            countries: Vec::new(),
            daily_budget: 1,
            words: text::Words::new("en", "Example", ""),
        };
        let (to, code) = (PhoneNumber::from_e164("+306912345678")?, Secret::new("123456".to_owned()));
        let mut outcomes = Vec::new();
        for _ in 0..messages {
            outcomes.push(sms.send_code(&to, &code, NOW).await);
        }
        Some((outcomes, counts.map(|count| count.load(Ordering::Relaxed))))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_be_reached_is_tried_twice_and_then_the_next() {
        let unreached = outcomes((600, Err(Failure::Unreached)), 6).await;
        assert_eq!(unreached, Some((vec![Outcome::Taken; 6], [10, 6])), "after five it is left alone");
        assert_eq!(outcomes((0, Err(Failure::Refused(400))), 6).await, Some((vec![Outcome::Taken; 6], [6, 6])));
        assert_eq!(outcomes((0, Err(Failure::Refused(429))), 6).await, Some((vec![Outcome::Taken; 6], [5, 6])));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_may_have_sent_it_is_the_last_that_is_asked_and_learned_from() {
        let five_and_one = [vec![Outcome::Unknown; 5], vec![Outcome::Taken]].concat();
        for (millis, answer) in [(0, Err(Failure::Unknown)), (0, Err(Failure::Doubtful(504))), (60_000, Ok(()))] {
            assert_eq!(outcomes((millis, answer), 6).await, Some((five_and_one.clone(), [5, 1])), "{answer:?}");
        }
    }
}
