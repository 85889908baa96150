//! The composition root: from configuration to parts, to a bound address, to serving, to a clean stop. The only file that names
//! every concrete part.

mod background;
mod open;
mod ring;

use std::{net::SocketAddr, pin::Pin, sync::Arc, thread, time::Duration};

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, task::JoinSet, time::timeout};

use background::own_call;
pub use open::{Schema, open_store, open_with_roots, schema_status};
pub use ring::{RingDesk, read_ring, write_ring};

use crate::wire::http::{Console, Cookie, Gateway, Server};
use crate::{
    clock::{Clock, SystemClock, Timestamp},
    config::{Config, Redis, RedisAddress},
    ephemeral::{self, Ephemeral, Memory},
    error::Error,
    file,
    flow::{self, Call, Kit, Letters, NewUser, Outbox, Refusals, Sources, in_time},
    hash::{Costs, Hasher},
    mail::Mail,
    model::{Email, Origin, Role},
    seal::KeyRing,
    secret::Secret,
    sms::Sms,
    store::Store,
    tls::ServerTls,
    token::{access::AccessTokens, keys::SigningKeys},
    webhook::Webhook,
    wire::{
        caller::Rules,
        grpc::{Health, Services},
        guard::Door,
        probes::Probes,
        proxies::Proxies,
        services::KnownServices,
    },
};

/// Entries that the embedded ephemeral store holds.
const EPHEMERAL_ENTRIES: usize = 200_000;
/// Calls under way at a stop have this long. Kubernetes waits longer.
const DRAIN: Duration = Duration::from_secs(6);
/// The last words to the database take no longer each.
const CLOSE: Duration = Duration::from_secs(1);

/// The addresses that are taken, before anything else is done.
pub struct Listeners {
    grpc: TcpListener,
    http: Option<TcpListener>,
    probes: Option<TcpListener>,
    tls: Option<Arc<ServerTls>>,
}

/// Takes the addresses that the configuration names.
pub async fn listen(config: &Config) -> anyhow::Result<Listeners> {
    let tls = config.tls.as_ref().map(ServerTls::load).transpose()?.map(Arc::new);
    let http = match &config.http {
        Some(http) => {
            let remedy = "choose an address that is free, or \"off\" for no REST gateway";
            Some(bind("http.listen", http.listen, remedy).await?)
        }
        None => None,
    };
    let probes = match config.telemetry.listen {
        Some(address) => {
            let remedy = "choose an address that is free, or \"off\" for no metrics and no probes of its own";
            Some(bind("telemetry.listen", address, remedy).await?)
        }
        None => None,
    };
    let grpc = bind("grpc.listen", config.grpc.listen, "choose an address that is free").await?;
    Ok(Listeners { grpc, http, probes, tls })
}

async fn bind(key: &str, address: SocketAddr, remedy: &str) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {key} = {address}; remedy: {remedy}"))
}

/// A running service.
pub struct App {
    grpc: SocketAddr,
    http: Option<SocketAddr>,
    probes: Option<SocketAddr>,
    health: Health,
    kit: Arc<Kit>,
    clock: Arc<dyn Clock>,
    stop: watch::Sender<bool>,
    probing: JoinSet<anyhow::Result<()>>,
    servers: JoinSet<anyhow::Result<()>>,
    quiet: Pin<Box<dyn Future<Output = ()> + Send>>,
    stop_delivery: watch::Sender<bool>,
    delivery: JoinSet<()>,
    telling: JoinSet<()>,
    background: JoinSet<()>,
    sealer: Arc<flow::audit::Sealer>,
    keeper: Arc<flow::keys::Keeper>,
}

impl App {
    /// Starts the service on these addresses, with new passwords hashed at this cost. Whatever is wrong is found before anything is
    /// written.
    pub async fn start(
        config: &Config,
        listeners: Listeners,
        clock: Arc<dyn Clock>,
        costs: impl Into<Costs>,
    ) -> anyhow::Result<Self> {
        let rules = Rules::of_this_release()?;
        let grpc = listeners.grpc.local_addr()?;
        let http = listeners.http.as_ref().map(TcpListener::local_addr).transpose()?;
        let health = Health::new().await;
        let probes = listeners.probes.as_ref().map(TcpListener::local_addr).transpose()?;
        // Before all else, so that a start that takes long can be told from one that hangs.
        let probing: JoinSet<_> =
            listeners.probes.map(|listener| Probes::new(health.clone()).serve(listener)).into_iter().collect();
        let (store, ring, roots) = open_with_roots(config, Schema::AsConfigured, clock.now()).await?;
        let (kit, letters) = kit(config, store, ring, clock.now(), costs.into()).await?;
        let keeper = background::announce(&kit, roots).await?;
        let (stop, stopped) = watch::channel(false);
        let proxies = Proxies::new(config.trusted_proxies.clone());
        let services = Services::new(
            &kit,
            Arc::clone(&clock),
            Door { rules, proxies, services: KnownServices::new(&config.services) },
            config.grpc.reflection,
            &health,
            stopped.clone(),
        )?;

        let (tls, proxies) = (listeners.tls, config.trusted_proxies.clone());
        let mut servers = JoinSet::new();
        if let (Some(http), Some(listener)) = (&config.http, listeners.http) {
            let server = http_server(&services, http.secure_cookies || tls.is_some(), &clock)?;
            servers.spawn(server.serve(listener, tls.clone(), proxies.clone(), until_set(stopped.clone())));
        }
        let quiet = Box::pin(services.quiet());
        servers.spawn(services.serve(listeners.grpc, tls.clone(), proxies, until_set(stopped.clone())));
        servers.spawn(background::follow_epoch(Arc::clone(&kit), until_set(stopped)));
        let (stop_delivery, stopped_delivery) = watch::channel(false);
        let mut delivery = JoinSet::new();
        let telling = background::tell(&kit, &clock, &stopped_delivery);
        delivery.spawn(flow::deliver(Arc::clone(&kit), letters, Arc::clone(&clock), until_set(stopped_delivery)));
        let sealer = Arc::new(flow::audit::Sealer::new(&own_call(clock.as_ref())));
        let mut background = background::start(&kit, &clock, &sealer, &keeper, tls.as_ref(), config);
        let (follower, followed) = (health.clone(), Arc::clone(&kit));
        background.spawn(async move { follower.follow(&followed, &SystemClock).await });
        health.started().await;
        Ok(Self {
            grpc,
            http,
            probes,
            health,
            kit,
            clock,
            stop,
            probing,
            servers,
            quiet,
            stop_delivery,
            delivery,
            telling,
            background,
            sealer,
            keeper,
        })
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc
    }

    /// Where REST is served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where metrics and probes are served.
    pub fn probes_address(&self) -> Option<SocketAddr> {
        self.probes
    }

    /// Waits until a server fails; without a fault none does.
    pub async fn fault(&mut self) -> anyhow::Error {
        let fault = match self.servers.join_next().await {
            Some(Ok(Err(fault))) => fault,
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("a server has ended"),
            Some(Err(fault)) => anyhow::Error::new(fault).context("a server panicked"),
        };
        // What says again and again that this replica serves ends first.
        self.background.shutdown().await;
        background::forget(&self.kit, &self.keeper).await;
        fault
    }

    /// Stops: tells so by health, and goes on for as long as it takes to hear of it; then takes no new connection, lets calls under
    /// way end, and closes the database.
    pub async fn stop(mut self, linger: Duration) -> anyhow::Result<()> {
        self.background.shutdown().await;
        self.health.drain().await;
        tokio::time::sleep(linger).await;
        self.stop.send_replace(true);
        let drained = timeout(DRAIN, async {
            while self.servers.join_next().await.is_some() {}
            // And those whose clients have left, and the messages that they have left behind.
            self.quiet.await;
            self.stop_delivery.send_replace(true);
            while self.delivery.join_next().await.is_some() {}
            while self.telling.join_next().await.is_some() {}
        });
        let drained = drained.await;
        if drained.is_err() {
            tracing::warn!(seconds = DRAIN.as_secs(), "calls were still under way; they are cut off");
            self.servers.shutdown().await;
            // What has not begun to be sent is taken back.
            self.stop_delivery.send_replace(true);
            let _ = timeout(CLOSE, async { while self.delivery.join_next().await.is_some() {} }).await;
            self.delivery.shutdown().await;
            self.telling.shutdown().await;
        }
        // Everything that was counted, the present minute included.
        let end = self.clock.now().plus(Duration::from_secs(60));
        if let Err(fault) = in_time(CLOSE, flow::record_refusals(&self.kit, end)).await {
            tracing::warn!(?fault, "the counts of callers who were told to wait are lost");
        }
        let call = own_call(self.clock.as_ref());
        let sealing = flow::audit::seal_audit(&self.kit, &self.sealer, &call, SystemClock.now());
        if let Err(fault) = in_time(CLOSE, sealing).await {
            tracing::warn!(?fault, "the last records of the audit log are sealed by the next start");
        }
        if let Err(fault) = in_time(CLOSE, self.kit.store.forget_replica(self.keeper.name())).await {
            tracing::warn!(?fault, "this replica counts as live for half a minute more");
        }
        self.probing.shutdown().await;
        let Ok(closed) = timeout(CLOSE, self.kit.store.clone().close()).await else {
            tracing::warn!("the database does not answer; its connections are left to it");
            return Ok(());
        };
        closed
    }
}

/// What the verbs work with, and the other end of the outbox. Makes the first administrator where there is to be one.
async fn kit(
    config: &Config,
    store: Store,
    ring: Arc<KeyRing>,
    now: Timestamp,
    costs: Costs,
) -> anyhow::Result<(Arc<Kit>, Letters)> {
    let signing = SigningKeys::from_ring(&ring)?;
    let hasher = Hasher::with_cost(thread::available_parallelism()?.get(), costs)?;
    bootstrap(config, &store, &hasher, now).await?;
    let settings = store.settings().await.map_err(Error::into_anyhow)?;
    let (outbox, letters) = Outbox::new();
    let kit = Arc::new(Kit {
        store,
        ephemeral: open_ephemeral(&config.redis)?,
        ring,
        hasher,
        access: AccessTokens::new(config.token.issuer.clone(), config.token.audience.clone(), signing),
        service_name: config.totp_issuer.clone(),
        sources: Sources::new(config.source_failures),
        refusals: Refusals::default(),
        sms: config.sms.as_ref().map(|sms| Sms::new(sms, &config.totp_issuer)).transpose()?,
        webhook: config.webhook.as_ref().map(Webhook::new).transpose()?,
        mail: config.mail.as_ref().map(|mail| Mail::new(mail, &config.totp_issuer)).transpose()?,
        outbox,
        settings: watch::Sender::new(settings),
    });
    Ok((kit, letters))
}

/// What is served over HTTP: calls, the pages about them, and the console.
fn http_server(services: &Services, is_secure: bool, clock: &Arc<dyn Clock>) -> anyhow::Result<Server> {
    let gateway = Gateway::of_this_release(services.in_process(), Cookie { is_secure }, Arc::clone(clock))?;
    Server::new(gateway, Console::new(services.in_process(), is_secure, Arc::clone(clock)))
}

/// The ephemeral store that is configured.
pub fn open_ephemeral(config: &Redis) -> anyhow::Result<Arc<dyn Ephemeral>> {
    match &config.address {
        RedisAddress::Embedded => Ok(Arc::new(Memory::new(EPHEMERAL_ENTRIES))),
        RedisAddress::Single(_) | RedisAddress::Cluster(_) | RedisAddress::Sentinel(_) => {
            Ok(Arc::new(ephemeral::Redis::new(config)?))
        }
    }
}

async fn until_set(mut flag: watch::Receiver<bool>) {
    // When the other half is gone, so is the service.
    let _ = flag.wait_for(|set| *set).await;
}

/// Makes the first administrator, where one is configured and there is none.
async fn bootstrap(config: &Config, store: &Store, hasher: &Hasher, now: Timestamp) -> anyhow::Result<()> {
    let Some(bootstrap) = &config.bootstrap else {
        return Ok(());
    };
    if store.has_admin().await.map_err(Error::into_anyhow)? {
        return Ok(());
    }
    let email =
        Email::parse(&bootstrap.admin_email).map_err(|problem| anyhow::anyhow!("bootstrap.admin_email {problem}"))?;
    let given = file::read_given(&bootstrap.admin_password_file).context("bootstrap.admin_password_file")?;
    if let Some(warning) = given.warning {
        tracing::warn!("{warning}");
    }
    let text = Secret::new(given.text);
    let password = Secret::new(text.expose().lines().next().unwrap_or_default().to_owned());
    let call = Call { now, origin: Origin::command_line() };
    let new = NewUser {
        service: &config.totp_issuer,
        email,
        password: &password,
        role: Role::Admin,
        phone: None,
        notice_email: None,
    };
    let made = flow::add_user(store, hasher, new, &call).await.map_err(Error::into_anyhow);
    let id = made.context("the first administrator cannot be made (bootstrap.admin_email)")?;
    tracing::info!(%id, "made the first administrator");
    Ok(())
}
