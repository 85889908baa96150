//! What runs beside the calls, again and again for as long as the service does.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::ring::reread_ring;
use crate::{
    clock::{Clock, SystemClock},
    config::{Config, Keys, RingSource},
    error::Error,
    flow::{
        self, Call, Kit, in_time,
        restore::{Seen, Standing},
    },
    model::{Channel, Origin},
    seal::RootRing,
    tls::ServerTls,
};

/// Every replica follows the policy within 5 s.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(2);
/// A round of what runs in the background takes no longer.
const ROUND: Duration = Duration::from_secs(4);
const SEAL_INTERVAL: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Every replica holds a new key within 5 s.
const KEYS_INTERVAL: Duration = Duration::from_secs(2);
/// With a command that prints the ring, a round may take longer.
const KEYS_ROUND: Duration = Duration::from_secs(14);
/// A command that prints the ring is run no more often.
const RING_PAUSE: Duration = Duration::from_secs(30);
/// A database that was set back is told within this and a round.
const EPOCH_INTERVAL: Duration = Duration::from_secs(2);
const RESEAL_PAUSE: Duration = Duration::from_millis(20);
/// What was recorded is told within two seconds to whoever is to know.
const TELL_INTERVAL: Duration = Duration::from_millis(500);
/// So many are handed over at once on a channel.
const AT_ONCE: usize = 16;

/// Starts all of it.
pub(super) fn start(
    kit: &Arc<Kit>,
    clock: &Arc<dyn Clock>,
    sealer: &Arc<flow::audit::Sealer>,
    keeper: &Arc<flow::keys::Keeper>,
    tls: Option<&Arc<ServerTls>>,
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
    if let Some(tls) = tls {
        background.spawn(follow_certificate(Arc::clone(tls)));
    }
    for channel in channels(kit) {
        background.spawn(collect_forever(own_kit(), own_clock(), channel));
    }
    background
}

/// Starts handing over what waits, until `stop` is set.
pub(super) fn tell(kit: &Arc<Kit>, clock: &Arc<dyn Clock>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut telling = JoinSet::new();
    for channel in channels(kit) {
        telling.spawn(hand_over_until(Arc::clone(kit), Arc::clone(clock), channel, stop.clone()));
    }
    telling
}

fn channels(kit: &Kit) -> Vec<Channel> {
    let is_on = |channel: &Channel| match channel {
        Channel::Webhook => kit.webhook.is_some(),
        Channel::Mail => kit.mail.is_some(),
    };
    Channel::ALL.into_iter().filter(is_on).collect()
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

/// Says that this replica serves, and which keys it holds; unless the database was restored and is not fenced.
pub(super) async fn announce(kit: &Kit, roots: RootRing) -> anyhow::Result<Arc<flow::keys::Keeper>> {
    let machine = SystemClock.now();
    flow::restore::admit(kit, machine).await.map_err(Error::into_anyhow)?;
    let keeper = Arc::new(flow::keys::Keeper::new(roots, machine));
    let announced = flow::keys::announce(kit, &keeper, machine).await.map_err(Error::into_anyhow);
    announced.context("cannot say that this replica serves")?;
    // A fence that was begun meanwhile has seen this replica, or is seen here.
    if let Err(refused) = flow::restore::admit(kit, SystemClock.now()).await {
        forget(kit, &keeper).await;
        return Err(refused.into_anyhow());
    }
    Ok(keeper)
}

/// Says that this replica serves no more.
pub(super) async fn forget(kit: &Kit, keeper: &flow::keys::Keeper) {
    if let Err(fault) = in_time(ROUND, kit.store.forget_replica(keeper.name())).await {
        tracing::warn!(?fault, "this replica counts as live for half a minute more");
    }
}

/// Goes by how far the database has come, until `stop`. It is a fault of the service when the database was set back: what was used
/// since would work again, so this process goes on with nothing.
pub(super) async fn follow_epoch(kit: Arc<Kit>, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    tokio::select! {
        () = stop => Ok(()),
        problem = until_set_back(&kit) => Err(anyhow!(problem)),
    }
}

async fn until_set_back(kit: &Kit) -> String {
    let mut interval = interval(EPOCH_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut is_known) = (Seen::default(), true);
    loop {
        interval.tick().await;
        let fault = match in_time(ROUND, flow::restore::follow_epoch(kit, &mut seen, SystemClock.now())).await {
            Ok(Standing::Unknown(fault)) | Err(fault) => Some(fault),
            Ok(standing) => match standing.problem() {
                Some(problem) => return problem,
                None => None,
            },
        };
        // Told once.
        if let Some(fault) = fault.as_ref().filter(|_| is_known) {
            tracing::warn!(fault = format!("{fault:?}"), "whether the database was set back is not known for a while");
        }
        is_known = fault.is_none();
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
        let may_change = |lacks_root: bool| match &source.source {
            RingSource::File { .. } => true,
            RingSource::Command(_) => lacks_root && may_ask,
            RingSource::Text(_) => false,
        };
        let reread = async |lacks_root: bool| {
            if !may_change(lacks_root) {
                return Ok(None);
            }
            asked = Some(machine);
            Ok(reread_ring(&source).await?.map(|(ring, _)| ring))
        };
        if let Err(fault) = in_time(KEYS_ROUND, flow::keys::follow_keys(&kit, &keeper, reread, machine)).await {
            tracing::warn!(?fault, "the keys cannot be followed; those that are held stay");
        }
        let call = own_call(clock.as_ref());
        if let Err(fault) = in_time(ROUND, flow::keys::record_damages(&kit, &damages, &call)).await {
            tracing::warn!(?fault, "values that do not open are not recorded");
        }
    }
}

/// Reads the certificate of the listeners again and again: a new one serves the connections that come from then on.
async fn follow_certificate(tls: Arc<ServerTls>) {
    let mut interval = interval(KEYS_INTERVAL);
    let mut problem = String::new();
    loop {
        interval.tick().await;
        match tls.reload() {
            Ok(true) => tracing::info!("the certificate of the listeners was changed"),
            Ok(false) => problem.clear(),
            // Between two files that change one fits the other no more; told once.
            Err(fault) => {
                let told = format!("{fault:#}");
                if told != problem {
                    tracing::warn!(
                        fault = told,
                        "the certificate of the listeners cannot be used; the one that was goes on"
                    );
                    problem = told;
                }
            }
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
        let pause = match in_time(ROUND, flow::keys::reseal(&kit, SystemClock.now())).await {
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

/// Collects what is to be told on a channel.
async fn collect_forever(kit: Arc<Kit>, clock: Arc<dyn Clock>, channel: Channel) {
    let mut interval = interval(TELL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let call = own_call(clock.as_ref());
        match channel {
            Channel::Webhook => while collected(flow::notify::collect_events(&kit, &call)).await {},
            Channel::Mail => {
                while collected(flow::notify::collect_notices(&kit, &call)).await {}
                while collected(flow::notify::collect_abandoned(&kit, &call)).await {}
            }
        }
    }
}

/// Whether there may be more at once.
async fn collected(collecting: impl Future<Output = Result<bool, Error>>) -> bool {
    in_time(ROUND, collecting).await.unwrap_or_else(|fault| {
        tracing::warn!(fault = format!("{fault:?}"), "what is to be told is not collected; the next round goes on");
        false
    })
}

/// Hands over what is due on a channel, some at once; one that takes long holds no other up. After a stop no more is begun, and what
/// is under way is waited for.
async fn hand_over_until(kit: Arc<Kit>, clock: Arc<dyn Clock>, channel: Channel, mut stop: watch::Receiver<bool>) {
    let mut interval = interval(TELL_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            // When the other half is gone, so is the service.
            _ = stop.wait_for(|stop| *stop) => break,
            _ = interval.tick() => {}
            Some(_) = under_way.join_next() => {}
        }
        let free = u64::try_from(AT_ONCE.saturating_sub(under_way.len())).unwrap_or(0);
        if free == 0 {
            continue;
        }
        let call = own_call(clock.as_ref());
        match in_time(ROUND, flow::notify::claim_due(&kit, channel, free, &call)).await {
            Ok(due) => {
                for one in due {
                    let (kit, clock) = (Arc::clone(&kit), Arc::clone(&clock));
                    under_way.spawn(async move {
                        if let Err(fault) = flow::notify::hand_over(&kit, &one, clock.as_ref()).await {
                            tracing::warn!(fault = format!("{fault:?}"), id = %one.id, "what became of it is not written down");
                        }
                    });
                }
            }
            Err(fault) => {
                tracing::warn!(fault = format!("{fault:?}"), "what is to be told waits; the next round goes on")
            }
        }
    }
    while under_way.join_next().await.is_some() {}
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

/// A call that nobody has made.
pub(super) fn own_call(clock: &dyn Clock) -> Call {
    Call { now: clock.now(), origin: Origin::command_line() }
}
