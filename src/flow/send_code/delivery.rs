//! Messages on their way: handed over in the background, so that whoever waits for one may go.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tracing::{Instrument, Span};

use super::{
    super::{Kit, in_time},
    tolls::{Paid, Tolls},
};
use crate::{
    clock::Clock,
    model::PhoneNumber,
    secret::Secret,
    sms::{Outcome, Sms},
    telemetry::meters,
};

/// Messages that wait for their turn; more are refused.
const WAITING: usize = 256;
/// Messages that are handed over at once.
const AT_ONCE: usize = 64;

/// A code on its way to a number.
pub(super) struct Letter {
    pub(super) to: PhoneNumber,
    pub(super) code: Secret<String>,
    pub(super) tolls: Tolls,
    pub(super) paid: Paid,
    pub(super) answer: oneshot::Sender<Outcome>,
    /// The call that has sent it off, and its part of a trace.
    pub(super) request_id: String,
    pub(super) span: Span,
}

/// To write down that one was not taken.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where messages are put.
pub struct Outbox(mpsc::Sender<Letter>);

/// Where they come out.
pub struct Letters(mpsc::Receiver<Letter>);

impl Outbox {
    /// An outbox, and its other end.
    pub fn new() -> (Self, Letters) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), Letters(receiver))
    }

    /// Whether no more messages are taken: the service stops.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Takes a message, or gives it back when there are too many.
    pub(super) fn put(&self, letter: Letter) -> Result<(), Box<Letter>> {
        self.0.try_send(letter).map_err(|full| Box::new(full.into_inner()))
    }
}

impl Letters {
    /// How many messages wait for their turn.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }
}

/// Hands over what is put into the outbox, until `stop` resolves. What has not begun by then is not sent, and costs nothing.
pub async fn deliver(kit: Arc<Kit>, letters: Letters, clock: Arc<dyn Clock>, stop: impl Future<Output = ()>) {
    let Letters(mut letters) = letters;
    let mut under_way = JoinSet::new();
    let (mut stop, mut is_stopping) = (pin!(stop), false);
    loop {
        tokio::select! {
            // A stop comes first: no more than has begun is sent.
            biased;
            () = &mut stop, if !is_stopping => {
                is_stopping = true;
                letters.close();
            }
            letter = letters.recv(), if under_way.len() < AT_ONCE => match letter {
                Some(letter) => {
                    let span = letter.span.clone();
                    let handed = hand_over(Arc::clone(&kit), letter, Arc::clone(&clock), is_stopping);
                    under_way.spawn(handed.instrument(span));
                }
                None => break,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn hand_over(kit: Arc<Kit>, letter: Letter, clock: Arc<dyn Clock>, is_stopping: bool) {
    let Letter { to, code, tolls, paid, answer, request_id, span: _ } = letter;
    let outcome = match kit.sms.as_ref().filter(|_| !is_stopping) {
        Some(sms) => Sms::send_code(sms, &to, &code, clock.now()).await,
        None => Outcome::Refused,
    };
    if outcome == Outcome::Refused
        && let Err(fault) = in_time(PATIENCE, tolls.refund(&kit, &paid)).await
    {
        tracing::warn!(?fault, "a text message that was not sent keeps its places until they are free by themselves");
    }
    meters().message(outcome.as_str());
    tracing::info!(request_id, ?outcome, "a text message");
    // Whoever has asked may have gone.
    let _ = answer.send(outcome);
}
