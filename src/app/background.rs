//! What runs beside the calls, again and again for as long as the service does.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::read_ring;
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, Keys, RingSource},
    error::{Error, Outage},
    flow::{self, Call, Kit},
    model::{Channel, Origin},
    seal::RootRing,
};

/// Every replica follows the policy within 5 s.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(2);
/// A round of what runs in the background takes no longer.
const ROUND: Duration = Duration::from_secs(4);
const SEAL_INTERVAL: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Every replica holds a new key within 5 s.
const KEYS_INTERVAL: Duration = Duration::from_secs(2);
/// A command that prints the ring is run no more often.
const RING_PAUSE: Duration = Duration::from_secs(30);
const RESEAL_PAUSE: Duration = Duration::from_millis(20);
/// What was recorded is told within two seconds to whoever is to know.
const TELL_INTERVAL: Duration = Duration::from_millis(500);
/// A receiver is waited for as long as its room says; a round lasts a little longer.
const TELL_ROUND: Duration = Duration::from_secs(30);

/// Starts all of it.
pub(super) fn start(
    kit: &Arc<Kit>,
    clock: &Arc<dyn Clock>,
    sealer: &Arc<flow::audit::Sealer>,
    keeper: &Arc<flow::keys::Keeper>,
    config: &Config,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    let (own_kit, own_clock) = (|| Arc::clone(kit), || Arc::clone(clock));
    background.spawn(sweep_forever(own_kit(), own_clock(), config.audit_retention));
    background.spawn(seal_forever(own_kit(), own_clock(), Arc::clone(sealer)));
    background.spawn(follow_settings(own_kit()));
    background.spawn(follow_keys(own_kit(), own_clock(), Arc::clone(keeper), config.keys.clone()));
    background.spawn(sign_forever(own_kit(), Arc::clone(sealer)));
    background.spawn(reseal_forever(own_kit()));
    if kit.webhook.is_some() {
        background.spawn(tell_forever(own_kit(), own_clock(), Channel::Webhook));
    }
    if kit.mail.is_some() {
        background.spawn(tell_forever(own_kit(), own_clock(), Channel::Mail));
    }
    background
}

/// Reads the policy again and again, so that what one replica has saved holds on every one within seconds.
async fn follow_settings(kit: Arc<Kit>) {
    let mut interval = interval(SETTINGS_INTERVAL);
    loop {
        interval.tick().await;
        match in_time(ROUND, kit.store.settings()).await {
            Ok(settings) => kit.follow(settings),
            // What was known goes on.
            Err(fault) => tracing::warn!(?fault, "the policy cannot be read; the one known last holds"),
        }
    }
}

/// Seals the audit log again and again: a record is sealed within two seconds.
async fn seal_forever(kit: Arc<Kit>, clock: Arc<dyn Clock>, sealer: Arc<flow::audit::Sealer>) {
    let mut interval = interval(SEAL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let (call, machine) = (own_call(clock.as_ref()), SystemClock.now());
        if let Err(fault) = in_time(ROUND, flow::audit::seal_audit(&kit, &sealer, &call, machine)).await {
            tracing::error!(?fault, "the audit log is not sealed");
        }
    }
}

/// Says that this replica serves, and holds the keys. First that it lives and holds none, then which: no key takes over between the
/// two that it has not seen.
pub(super) async fn announce(kit: &Kit, roots: RootRing, config: &Config) -> anyhow::Result<Arc<flow::keys::Keeper>> {
    let machine = SystemClock.now();
    let keeper = Arc::new(flow::keys::Keeper::new(roots, machine));
    let announced = async {
        kit.store.report_replica(keeper.name(), &[], machine).await?;
        flow::keys::follow_keys(kit, &keeper, |_| read_again(config), machine).await
    };
    announced.await.map_err(Error::into_anyhow)?;
    Ok(keeper)
}

/// The ring, where it is a file, which may have changed.
fn read_again(config: &Config) -> anyhow::Result<Option<RootRing>> {
    match &config.keys.source {
        RingSource::File { .. } => read_ring(&config.keys),
        RingSource::Text(_) | RingSource::Command(_) => Ok(None),
    }
}

/// Goes by the keys of the database, and by the ring where it is a file that can change; and records values that do not open.
async fn follow_keys(kit: Arc<Kit>, clock: Arc<dyn Clock>, keeper: Arc<flow::keys::Keeper>, source: Keys) {
    let mut interval = interval(KEYS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (damages, mut asked) = (flow::keys::Damages::default(), None);
    loop {
        interval.tick().await;
        let machine = SystemClock.now();
        let may_ask = asked.is_none_or(|asked| machine.since(asked) > RING_PAUSE);
        let reread = |lacks_root: bool| match &source.source {
            RingSource::File { .. } => read_ring(&source),
            RingSource::Command(_) if lacks_root && may_ask => {
                asked = Some(machine);
                read_ring(&source)
            }
            RingSource::Text(_) | RingSource::Command(_) => Ok(None),
        };
        if let Err(fault) = in_time(ROUND, flow::keys::follow_keys(&kit, &keeper, reread, machine)).await {
            tracing::warn!(?fault, "the keys cannot be followed; those that are held stay");
        }
        let call = own_call(clock.as_ref());
        if let Err(fault) = in_time(ROUND, flow::keys::record_damages(&kit, &damages, &call)).await {
            tracing::warn!(?fault, "values that do not open are not recorded");
        }
    }
}

/// Signs the ends of the audit log by the active key.
async fn sign_forever(kit: Arc<Kit>, sealer: Arc<flow::audit::Sealer>) {
    let mut interval = interval(SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(fault) = in_time(ROUND, flow::audit::sign_audit_anew(&kit, &sealer, SystemClock.now())).await {
            tracing::error!(?fault, "the audit log is signed by an old key still");
        }
    }
}

/// Seals anew what is sealed by an old key, without haste.
async fn reseal_forever(kit: Arc<Kit>) {
    loop {
        let pause = match in_time(ROUND, flow::keys::reseal(&kit)).await {
            Ok(true) => RESEAL_PAUSE,
            Ok(false) => KEYS_INTERVAL,
            Err(fault) => {
                tracing::warn!(?fault, "values of old keys are not sealed anew yet; the next round goes on");
                KEYS_INTERVAL
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Collects what is to be told on a channel, and hands over what is due. A channel that hangs holds no other up.
async fn tell_forever(kit: Arc<Kit>, clock: Arc<dyn Clock>, channel: Channel) {
    let mut interval = interval(TELL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let channel_name = channel.as_str();
        if let Err(fault) = in_time(ROUND, collect(&kit, channel, clock.as_ref())).await {
            tracing::warn!(
                ?fault,
                channel = channel_name,
                "what is to be told is not collected; the next round goes on"
            );
        }
        let mut has_more = true;
        while has_more {
            let call = own_call(clock.as_ref());
            has_more = match in_time(TELL_ROUND, flow::notify::hand_over(&kit, channel, &call)).await {
                Ok(has_more) => has_more,
                Err(fault) => {
                    tracing::warn!(?fault, channel = channel_name, "what is to be told waits; the next round goes on");
                    false
                }
            };
        }
    }
}

async fn collect(kit: &Kit, channel: Channel, clock: &dyn Clock) -> Result<(), Error> {
    let call = own_call(clock);
    match channel {
        Channel::Webhook => while flow::notify::collect_events(kit, &call).await? {},
        Channel::Mail => {
            while flow::notify::collect_notices(kit, &call).await? {}
            while flow::notify::collect_abandoned(kit, &call).await? {}
        }
    }
    Ok(())
}

async fn sweep_forever(kit: Arc<Kit>, clock: Arc<dyn Clock>, retention: Option<Duration>) {
    let mut interval = interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(fault) = in_time(ROUND, flow::sweep(&kit, clock.now())).await {
            tracing::warn!(?fault, "a sweep failed; the next one goes on");
        }
        if let Err(fault) = in_time(ROUND, flow::record_refusals(&kit, clock.now())).await {
            tracing::warn!(?fault, "the counts of callers who were told to wait are not written yet");
        }
        if let Some(retention) = retention {
            let call = own_call(clock.as_ref());
            if let Err(fault) = in_time(ROUND, flow::audit::retire_audit(&kit, retention, &call)).await {
                tracing::warn!(?fault, "old records of the audit log are not dropped yet; the next round goes on");
            }
        }
    }
}

/// The answer of what no call waits for; a database that hangs does not stop it for good.
pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Err(anyhow::anyhow!("not done within {patience:?}").context(Outage).into());
    timeout(patience, work).await.unwrap_or_else(late)
}

/// A call that nobody has made.
pub(super) fn own_call(clock: &dyn Clock) -> Call {
    Call { now: clock.now(), origin: Origin::command_line() }
}
