//! Wrong passwords are counted per account and network, and for networks that never signed in to the account together, before a
//! password is looked at. A name that has no account is counted as one that has.

use crate::{
    clock::Timestamp,
    error::{Error, Refusal},
    flow::{Call, Kit},
    limit,
    model::Email,
    seal::KeyRing,
    store::{Bucket, Tx},
    swap::Swap,
};

/// What a try has paid.
pub(super) struct Ladder {
    own: Bucket,
    strangers: Option<Bucket>,
    network: [u8; 32],
    /// Until when that one is known; None = it is a stranger's.
    known_until: Option<Timestamp>,
}

impl Ladder {
    /// Pays for a try; refuses while there is to be waited.
    pub(super) async fn pay(kit: &Kit, email: &Email, call: &Call) -> Result<Self, Error> {
        let name = email.canonical().as_bytes();
        let mut place = name.to_vec();
        place.push(0);
        place.extend_from_slice(&limit::network(call.origin.source));
        let network = kit.ring.index("known network", &place)?;
        let owner = owner(&kit.ring, email)?;
        let own = Bucket { hash: kit.ring.index("password ladder", &place)?, owner };
        let strangers = Bucket { hash: kit.ring.index("password strangers", name)?, owner };

        let tx = kit.store.begin().await?;
        let known_until = tx.known_until(&network, call.now).await?;
        let strangers = known_until.is_none().then_some(strangers);
        let rungs = limit::password_rungs(call.now);
        if tx.pay_ladder(&own, &rungs, limit::PASSWORD_QUIET, call.now).await? == Swap::Stale {
            tx.roll_back().await?;
            let waits = kit.store.bucket_waits(&own.hash).await?;
            let retry_after = waits.and_then(|(locked_until, _)| limit::wait(locked_until, call.now));
            return Err(Refusal::RateLimited { retry_after }.into());
        }
        if let Some(strangers) = &strangers
            && tx.pay_window(strangers, limit::STRANGERS, call.now).await? == Swap::Stale
        {
            tx.roll_back().await?;
            let waits = kit.store.bucket_waits(&strangers.hash).await?;
            let retry_after = waits.and_then(|(_, end_time)| limit::wait(end_time, call.now));
            return Err(Refusal::RateLimited { retry_after }.into());
        }
        tx.commit().await?;
        Ok(Self { own, strangers, network, known_until })
    }

    /// The password was not looked at.
    pub(super) async fn refund(&self, kit: &Kit) -> Result<(), Error> {
        let tx = kit.store.begin().await?;
        tx.refund_bucket(&self.own.hash).await?;
        if let Some(strangers) = &self.strangers {
            tx.refund_bucket(&strangers.hash).await?;
        }
        tx.commit().await
    }

    /// How often in a row it was wrong, when there is a wait for it now. A name that has no account is asked about like one that has.
    pub(super) async fn lock(&self, tx: &Tx, call: &Call) -> Result<Option<i64>, Error> {
        let states = tx.bucket_states(&[self.own.hash]).await?;
        Ok(states.first().filter(|state| state.locked_until > call.now).map(|state| state.count))
    }

    /// The password was right.
    pub(super) async fn clear(&self, tx: &Tx) -> Result<(), Error> {
        tx.clear_bucket(&self.own.hash).await?;
        if let Some(strangers) = &self.strangers {
            tx.refund_bucket(&strangers.hash).await?;
        }
        Ok(())
    }

    /// Whether no sign-in had come from the network.
    pub(super) fn is_new_network(&self) -> bool {
        self.known_until.is_none()
    }

    /// The network is no stranger from now on. What is known for long enough is not written again at every sign-in.
    pub(super) async fn remember(&self, tx: &Tx, call: &Call) -> Result<(), Error> {
        if self.known_until.is_some_and(|until| call.now.plus(limit::NETWORK_MEMORY - limit::NETWORK_SLACK) < until) {
            return Ok(());
        }
        tx.remember_network(&self.network, &self.own.owner, call.now.plus(limit::NETWORK_MEMORY)).await
    }
}

/// The owner of every bucket of a name.
pub(in crate::flow) fn owner(ring: &KeyRing, email: &Email) -> anyhow::Result<[u8; 32]> {
    ring.index("password owner", email.canonical().as_bytes())
}
