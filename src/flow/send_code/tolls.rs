//! What a text message costs of the places that there are: of its challenge, its account, its number, its neighbours and the day.
//! All are paid in one transaction before it is sent, or none. An attacker who finds one full has used up none of the others.

use super::super::{Call, Kit};
use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    limit,
    model::{Event, EventKind, Method, PhoneNumber, SessionId, UserId},
    sms::Sms,
    store::{Bucket, Tx, Window},
    swap::Swap,
};

/// The places that a message takes.
pub(in crate::flow) struct Tolls {
    challenge: Bucket,
    unanswered: [Bucket; 2],
    account: Bucket,
    number: Bucket,
    neighbours: Bucket,
    day: Bucket,
    prefix: String,
}

impl Tolls {
    pub(in crate::flow) fn of(
        kit: &Kit,
        user: UserId,
        challenge: &[u8; 32],
        number: &PhoneNumber,
    ) -> Result<Self, Error> {
        let owner = kit.ring.index("sms owner", user.bytes())?;
        let bucket = |domain: &str, name: &[u8]| -> Result<Bucket, Error> {
            Ok(Bucket { hash: kit.ring.index(domain, name)?, owner })
        };
        let shared = |domain: &str, name: &[u8]| -> Result<Bucket, Error> {
            Ok(Bucket { hash: kit.ring.index(domain, name)?, owner: [0; 32] })
        };
        Ok(Self {
            challenge: bucket("sms challenge", challenge)?,
            unanswered: [bucket("sms unanswered hour", user.bytes())?, bucket("sms unanswered day", user.bytes())?],
            account: bucket("sms account", user.bytes())?,
            number: shared("sms number", number.expose().as_bytes())?,
            neighbours: shared("sms prefix", number.prefix().as_bytes())?,
            day: Self::day(kit)?,
            prefix: number.prefix().to_owned(),
        })
    }

    fn day(kit: &Kit) -> Result<Bucket, Error> {
        Ok(Bucket { hash: budget_hash(&kit.ring)?, owner: [0; 32] })
    }

    fn windows(&self, sms: &Sms, now: Timestamp) -> [(&Bucket, Window); 6] {
        let [hour, day] = limit::SMS_UNANSWERED;
        // From what few share to what all share: the last is held for the shortest time.
        [
            (&self.unanswered[0], hour),
            (&self.unanswered[1], day),
            (&self.account, limit::SMS_OF_ACCOUNT),
            (&self.number, limit::SMS_TO_NUMBER),
            (&self.neighbours, limit::SMS_TO_PREFIX),
            (&self.day, limit::sms_budget(sms.daily_budget(), now)),
        ]
    }

    /// Pays them all and records the message, or refuses and pays none.
    pub(in crate::flow) async fn pay(&self, kit: &Kit, sms: &Sms, payer: Payer, call: &Call) -> Result<(), Error> {
        let tx = kit.store.begin().await?;
        let rungs = limit::resend_rungs(call.now, payer.challenge_end);
        if tx.pay_ladder(&self.challenge, &rungs, limit::RESEND_QUIET, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            return Err(self.must_wait(kit, &self.challenge, call).await?);
        }
        for (bucket, window) in self.windows(sms, call.now) {
            if tx.pay_window(bucket, window, call.now).await? == Swap::Stale {
                tx.roll_back().await?;
                return Err(self.must_wait(kit, bucket, call).await?);
            }
        }
        if tx.pay_prefix(&self.prefix, limit::SMS_COLLAPSE, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            tracing::warn!(
                prefix = self.prefix,
                "hardly a code comes back from numbers that begin so: no more are sent there for a while"
            );
            let end_time = kit.store.sms_prefix_end(&self.prefix).await?;
            return Err(
                Refusal::RateLimited { retry_after: end_time.and_then(|end| limit::wait(end, call.now)) }.into()
            );
        }
        let event = Event::of(EventKind::CodeSent, payer.user, &call.origin).method(Method::Phone);
        tx.record(&Event { session: payer.session, ..event }, call.now).await?;
        tx.commit().await?;
        self.tell(kit, sms).await
    }

    /// When the next message of the challenge can be asked for; None = this was the last.
    pub(in crate::flow) async fn next(&self, kit: &Kit, challenge_end: Timestamp) -> Result<Option<Timestamp>, Error> {
        let waits = kit.store.bucket_waits(&self.challenge.hash).await?;
        Ok(waits.map(|(locked_until, _)| locked_until).filter(|until| *until < challenge_end))
    }

    /// A message that nobody has taken costs nothing, and the next one need not wait for it.
    pub(in crate::flow) async fn refund(&self, kit: &Kit) -> Result<(), Error> {
        let tx = kit.store.begin().await?;
        tx.refund_bucket(&self.challenge.hash).await?;
        let all = [&self.unanswered[0], &self.unanswered[1], &self.account, &self.number, &self.neighbours, &self.day];
        for bucket in all {
            tx.refund_bucket(&bucket.hash).await?;
        }
        tx.refund_prefix(&self.prefix).await?;
        tx.commit().await
    }

    /// A code has come back: its message is answered.
    pub(in crate::flow) async fn answered(&self, tx: &Tx) -> Result<(), Error> {
        for bucket in &self.unanswered {
            tx.refund_bucket(&bucket.hash).await?;
        }
        tx.verify_prefix(&self.prefix).await
    }

    async fn must_wait(&self, kit: &Kit, full: &Bucket, call: &Call) -> Result<Error, Error> {
        let waits = kit.store.bucket_waits(&full.hash).await?;
        let until = waits
            .map(|(locked_until, end_time)| if full.hash == self.challenge.hash { locked_until } else { end_time });
        if full.hash == self.day.hash {
            tracing::error!(
                "the text messages of the day are used up (sms.daily_budget); no more are sent until midnight UTC"
            );
        }
        Ok(Refusal::RateLimited { retry_after: until.and_then(|until| limit::wait(until, call.now)) }.into())
    }

    /// Tells an operator when the day's budget runs low.
    async fn tell(&self, kit: &Kit, sms: &Sms) -> Result<(), Error> {
        let sent = kit.store.bucket_count(&self.day.hash).await?.map_or(0, |(count, _)| count);
        let is_alarming = |sent| limit::is_alarming(sent, sms.daily_budget());
        if is_alarming(sent) && !is_alarming(sent - 1) {
            tracing::warn!(
                sent,
                budget = sms.daily_budget(),
                "four fifths of the text messages of the day are sent (sms.daily_budget)"
            );
        }
        Ok(())
    }
}

/// For whom a message is paid.
pub(in crate::flow) struct Payer {
    pub(in crate::flow) user: UserId,
    pub(in crate::flow) session: Option<SessionId>,
    pub(in crate::flow) challenge_end: Timestamp,
}

/// The bucket of the day's budget.
pub(in crate::flow) fn budget_hash(ring: &crate::seal::KeyRing) -> anyhow::Result<[u8; 32]> {
    ring.index("sms budget", b"")
}
