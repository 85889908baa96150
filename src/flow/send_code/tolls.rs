//! What a text message costs of the places that there are: of its challenge, its account, its number, its neighbours and the day.
//! All are paid in one transaction before it is sent, or none. An attacker who finds one full has used up none of the others.

use std::sync::atomic::{AtomicI64, Ordering};

use super::super::{Call, Kit, again::again};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    limit,
    model::{Event, EventKind, Method, Origin, PhoneNumber, SessionId, UserId},
    seal::KeyRing,
    sms::Sms,
    store::{Bucket, BucketState, Tx, Window},
    swap::Swap,
    telemetry::meters,
};

/// The places that a message takes.
pub(in crate::flow) struct Tolls {
    challenge: Bucket,
    asked: Bucket,
    unanswered: [Bucket; 2],
    account: Bucket,
    number: (Bucket, Window),
    neighbours: Bucket,
    day: Bucket,
    prefix: String,
}

/// For whom a message is paid.
#[derive(Clone, Copy)]
pub(in crate::flow) struct Payer<'a> {
    pub(in crate::flow) user: UserId,
    pub(in crate::flow) session: Option<SessionId>,
    pub(in crate::flow) challenge_end: Timestamp,
    pub(in crate::flow) origin: &'a Origin,
}

/// What was paid: enough to take it back.
pub(in crate::flow) struct Paid {
    time: Timestamp,
    user: UserId,
    session: Option<SessionId>,
    origin: Origin,
    states: Vec<BucketState>,
}

/// The end of the window in which the budget was last told to be used up: a flood of calls is no flood of words.
static TOLD: AtomicI64 = AtomicI64::new(0);

impl Tolls {
    /// The places of a message to a number: of a user who has confirmed it, or is about to.
    pub(in crate::flow) fn of(
        kit: &Kit,
        user: UserId,
        challenge: &[u8; 32],
        number: &PhoneNumber,
        is_new: bool,
    ) -> Result<Self, Error> {
        let owner = owner(&kit.ring, user)?;
        let bucket = |domain: &str, name: &[u8], owner: [u8; 32]| -> Result<Bucket, Error> {
            Ok(Bucket { hash: kit.ring.index(domain, name)?, owner })
        };
        let own = |domain: &str| bucket(domain, user.bytes(), owner);
        let number_bucket = if is_new {
            (bucket("sms new number", number.expose().as_bytes(), [0; 32])?, limit::SMS_TO_NEW_NUMBER)
        } else {
            (bucket("sms number", &[number.expose().as_bytes(), user.bytes()].concat(), owner)?, limit::SMS_TO_NUMBER)
        };
        Ok(Self {
            challenge: bucket("sms challenge", challenge, owner)?,
            asked: own("sms asked for")?,
            unanswered: [own("sms unanswered hour")?, own("sms unanswered day")?],
            account: own("sms account")?,
            number: number_bucket,
            neighbours: bucket("sms prefix", number.prefix().as_bytes(), [0; 32])?,
            day: Bucket { hash: budget_hash(&kit.ring)?, owner: [0; 32] },
            prefix: number.prefix().to_owned(),
        })
    }

    fn windows(&self, sms: &Sms, now: Timestamp) -> [(&'static str, &Bucket, Window); 7] {
        let [hour, day] = limit::SMS_UNANSWERED;
        // From what few share to what all share: the last is held for the shortest time.
        [
            ("asked", &self.asked, limit::SMS_ASKED_FOR),
            ("unanswered", &self.unanswered[0], hour),
            ("unanswered", &self.unanswered[1], day),
            ("account", &self.account, limit::SMS_OF_ACCOUNT),
            ("number", &self.number.0, self.number.1),
            ("prefix", &self.neighbours, limit::SMS_TO_PREFIX),
            ("budget", &self.day, limit::sms_budget(sms.daily_budget(), now)),
        ]
    }

    /// Pays them all and records the message, or refuses and pays none.
    pub(in crate::flow) async fn pay(
        &self,
        kit: &Kit,
        sms: &Sms,
        payer: Payer<'_>,
        call: &Call,
    ) -> Result<Paid, Error> {
        let tx = kit.store.begin().await?;
        let rungs = limit::resend_rungs(call.now, payer.challenge_end);
        if tx.pay_ladder(&self.challenge, &rungs, limit::RESEND_QUIET, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            meters().message_refused("challenge");
            return Err(self.must_wait(kit, &self.challenge, call).await?);
        }
        let windows = self.windows(sms, call.now);
        for (limit, bucket, window) in windows {
            if tx.pay_window(bucket, window, call.now).await? == Swap::Stale {
                tx.roll_back().await?;
                meters().message_refused(limit);
                return Err(self.must_wait(kit, bucket, call).await?);
            }
        }
        if tx.pay_prefix(&self.prefix, limit::SMS_COLLAPSE, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            meters().message_refused("collapse");
            let end_time = kit.store.sms_prefix_end(&self.prefix).await?;
            return Err(
                Refusal::RateLimited { retry_after: end_time.and_then(|end| limit::wait(end, call.now)) }.into()
            );
        }
        let all: Vec<_> = windows.iter().map(|(_, bucket, _)| bucket.hash).chain([self.challenge.hash]).collect();
        let states = tx.bucket_states(&all).await?;
        let event = Event::of(EventKind::CodeSent, payer.user, payer.origin).method(Method::Phone);
        tx.record(&Event { session: payer.session, ..event }, call.now).await?;
        let Payer { user, session, .. } = payer;
        let paid = Paid { time: call.now, user, session, origin: payer.origin.clone(), states };
        let sent = paid.state(&self.day).map_or(0, |state| state.count);
        tell_budget(&tx, sent, sms.daily_budget(), call).await?;
        tx.commit().await?;
        meters().sent_today(sent, i64::from(sms.daily_budget()));
        Ok(paid)
    }

    /// When the next message of the challenge can be asked for; None = this was the last.
    pub(in crate::flow) fn next(&self, paid: &Paid, challenge_end: Timestamp) -> Option<Timestamp> {
        paid.state(&self.challenge).map(|state| state.locked_until).filter(|until| *until < challenge_end)
    }

    /// When the windows end in which the message counts as not answered.
    pub(in crate::flow) fn unanswered_windows(&self, paid: &Paid) -> [Timestamp; 2] {
        let end = |bucket| paid.state(bucket).map_or(paid.time, |state| state.end_time);
        [end(&self.unanswered[0]), end(&self.unanswered[1])]
    }

    /// A message that nobody has taken costs nothing, and the next one need not wait for it. That it was asked for counts on: a
    /// provider is not to be asked without end.
    pub(in crate::flow) async fn refund(&self, kit: &Kit, paid: &Paid) -> Result<(), Error> {
        again(|| self.refund_once(kit, paid)).await
    }

    async fn refund_once(&self, kit: &Kit, paid: &Paid) -> Result<(), Error> {
        let tx = kit.store.begin().await?;
        tx.refund_bucket(&self.challenge.hash).await?;
        let [hour, day] = &self.unanswered;
        for bucket in [hour, day, &self.account, &self.number.0, &self.neighbours, &self.day] {
            if let Some(state) = paid.state(bucket) {
                tx.refund_window(&bucket.hash, state.end_time).await?;
            }
        }
        tx.refund_prefix(&self.prefix, limit::SMS_COLLAPSE.span, paid.time).await?;
        let event = Event::of(EventKind::CodeNotSent, paid.user, &paid.origin).method(Method::Phone);
        let event = Event { session: paid.session, ..event.reason("SMS_DELIVERY_FAILED") };
        tx.record(&event, paid.time).await?;
        tx.commit().await
    }

    /// A code has come back: its message is answered.
    pub(in crate::flow) async fn answered(&self, tx: &Tx, windows: [Timestamp; 2]) -> Result<(), Error> {
        for (bucket, end_time) in self.unanswered.iter().zip(windows) {
            tx.refund_window(&bucket.hash, end_time).await?;
        }
        tx.verify_prefix(&self.prefix).await
    }

    async fn must_wait(&self, kit: &Kit, full: &Bucket, call: &Call) -> Result<Error, Error> {
        let waits = kit.store.bucket_waits(&full.hash).await?;
        let is_challenge = full.hash == self.challenge.hash;
        let until = waits.map(|(locked_until, end_time)| if is_challenge { locked_until } else { end_time });
        if full.hash == self.day.hash {
            tell_once(until);
        }
        Ok(Refusal::RateLimited { retry_after: until.and_then(|until| limit::wait(until, call.now)) }.into())
    }
}

impl Paid {
    fn state(&self, bucket: &Bucket) -> Option<&BucketState> {
        self.states.iter().find(|state| state.hash == bucket.hash)
    }
}

/// Tells of the message that crosses a line of the day's budget. Behind the row's lock each has seen its own count: one of them is
/// the one.
async fn tell_budget(tx: &Tx, sent: i64, budget: u32, call: &Call) -> Result<(), Error> {
    let is_alarming = |sent| limit::is_alarming(sent, budget);
    if is_alarming(sent) && !is_alarming(sent - 1) {
        tracing::warn!(sent, budget, "four fifths of the text messages of the day are sent (sms.daily_budget)");
        let event = Event::about_nobody(EventKind::SmsBudgetAlarm, &call.origin);
        tx.record(&Event { count: Some(sent), ..event }, call.now).await?;
    }
    if sent == i64::from(budget) {
        let event = Event::about_nobody(EventKind::SmsBudgetExhausted, &call.origin);
        tx.record(&Event { count: Some(sent), ..event }, call.now).await?;
    }
    Ok(())
}

/// Tells, once in a window, that the budget is used up.
fn tell_once(end_time: Option<Timestamp>) {
    let end = end_time.map_or(0, Timestamp::millis);
    if TOLD.swap(end, Ordering::Relaxed) != end {
        tracing::error!(
            "the text messages of the day are used up (sms.daily_budget); no more are sent until midnight UTC"
        );
    }
}

/// Whose buckets of messages are a user's own.
pub(in crate::flow) fn owner(ring: &KeyRing, user: UserId) -> anyhow::Result<[u8; 32]> {
    ring.index("sms owner", user.bytes())
}

/// The bucket of the day's budget.
pub(in crate::flow) fn budget_hash(ring: &KeyRing) -> anyhow::Result<[u8; 32]> {
    ring.index("sms budget", b"")
}
