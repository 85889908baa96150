//! `grpc.health.v1`: which services can do their work.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::MissedTickBehavior};
use tonic::transport::Endpoint;
use tonic_health::{
    ServingStatus,
    pb::{
        HealthCheckRequest,
        health_check_response::ServingStatus as Status,
        health_client::HealthClient,
        health_server::{Health as HealthService, HealthServer},
    },
    server::HealthReporter,
};

use tower::service_fn;

use super::MESSAGE_BYTES;
use crate::{
    clock::{Clock, Timestamp},
    error::Error,
    flow::Kit,
    telemetry::meters,
    tls::ClientTls,
};

/// Asks the server at `address` whether it serves, or with `live` only whether its process turns.
pub async fn probe(address: &str, live: bool, tls: Option<ClientTls>) -> anyhow::Result<bool> {
    let ask = async {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let channel = match tls {
            None => endpoint.connect().await?,
            Some(tls) => {
                let (address, host) = (address.to_owned(), endpoint.uri().host().unwrap_or_default().to_owned());
                let host = host.trim_matches(['[', ']']).to_owned();
                let connect = service_fn(move |_| {
                    let (tls, address, host) = (tls.clone(), address.clone(), host.clone());
                    async move {
                        let stream = TcpStream::connect(&address).await?;
                        tls.connect(&host, stream).await.map(TokioIo::new)
                    }
                });
                endpoint.connect_with_connector(connect).await?
            }
        };
        let service = if live { LIVENESS.to_owned() } else { String::new() };
        let response = HealthClient::new(channel).check(HealthCheckRequest { service }).await?;
        anyhow::Ok(response.into_inner().status() == Status::Serving)
    };
    let answer = tokio::time::timeout(TIMEOUT, ask).await;
    answer.with_context(|| format!("{address} does not answer"))?.with_context(|| format!("cannot ask {address}"))
}

/// Stays SERVING while the process turns.
const LIVENESS: &str = "liveness";
/// Services that follow the database; the empty name stands for the server as a whole.
const FOLLOW_DATABASE: [&str; 3] = ["", "countersign.v1.SessionService", "countersign.v1.AdminService"];
/// Those that follow the ephemeral store too.
const FOLLOW_BOTH: [&str; 1] = ["countersign.v1.TwoFaService"];
const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// A replica whose clock is further off judges codes of other times.
const SKEW: Duration = Duration::from_secs(10);

/// Is SERVING once the service has started, whatever becomes of the stores later.
const STARTUP: &str = "startup";

/// The health of the services.
#[derive(Clone)]
pub struct Health {
    reporter: HealthReporter,
    is_ready: Arc<AtomicBool>,
    has_started: Arc<AtomicBool>,
}

/// What a look at the stores has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    database: bool,
    ephemeral: bool,
}

impl Health {
    /// Before anything is known, only the process is healthy.
    pub async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new(), is_ready: Arc::default(), has_started: Arc::default() };
        health.set(&[LIVENESS], true).await;
        health.set(&[STARTUP], false).await;
        health.drain().await;
        health
    }

    pub(in crate::wire) fn service(&self) -> HealthServer<impl HealthService + use<>> {
        let service = tonic_health::server::HealthService::from_health_reporter(self.reporter.clone());
        HealthServer::new(service).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// The service has started: what it stands on is there, and its listeners are.
    pub async fn started(&self) {
        self.has_started.store(true, Ordering::Relaxed);
        self.set(&[STARTUP], true).await;
    }

    /// Whether it has.
    pub fn has_started(&self) -> bool {
        self.has_started.load(Ordering::Relaxed)
    }

    /// Whether the service as a whole can do its work.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed)
    }

    /// Asks the stores again and again, and tells what came of it, without end.
    pub async fn follow(&self, kit: &Kit, clock: &dyn Clock) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            interval.tick().await;
            let (database, ephemeral) = tokio::join!(database_is_well(kit, clock), is_in_time(kit.ephemeral.ping()));
            // Whoever may make nothing with its keys is of no use.
            let database = database && kit.ring.fence().pass().is_ok();
            let found = Found { database, ephemeral: ephemeral.is_some() };
            meters().store("database", found.database);
            meters().store("ephemeral", found.ephemeral);
            // Those who watch are told of changes alone.
            if told.replace(found) != Some(found) {
                tell(found);
                self.is_ready.store(found.database, Ordering::Relaxed);
                self.set(&FOLLOW_DATABASE, found.database).await;
                self.set(&FOLLOW_BOTH, found.database && found.ephemeral).await;
            }
        }
    }

    /// The server is about to stop: send nothing more here.
    pub async fn drain(&self) {
        self.is_ready.store(false, Ordering::Relaxed);
        self.set(&FOLLOW_DATABASE, false).await;
        self.set(&FOLLOW_BOTH, false).await;
    }

    async fn set(&self, services: &[&str], is_well: bool) {
        let status = if is_well { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in services {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

fn tell(found: Found) {
    let Found { database, ephemeral } = found;
    if database && ephemeral {
        tracing::info!("both stores answer: SERVING");
    } else {
        tracing::warn!(database, ephemeral, "a store does not answer: NOT_SERVING; see database.url and redis.url");
    }
}

/// Whether the database answers, and its clock shows what ours does.
async fn database_is_well(kit: &Kit, clock: &dyn Clock) -> bool {
    let Some(theirs) = is_in_time(kit.store.ping()).await else {
        return false;
    };
    let ours = clock.now();
    let is_off = theirs.is_some_and(|theirs| is_off(theirs, ours));
    if is_off {
        let remedy = "remedy: set both machines' clocks by NTP";
        tracing::warn!(theirs = ?theirs, ours = ?ours, "the clocks of the database and of this machine are apart; {remedy}");
    }
    !is_off
}

fn is_off(theirs: Timestamp, ours: Timestamp) -> bool {
    ours.since(theirs).max(theirs.since(ours)) > SKEW
}

/// The answer, if it comes in time and is one.
async fn is_in_time<T>(answer: impl Future<Output = Result<T, Error>>) -> Option<T> {
    tokio::time::timeout(TIMEOUT, answer).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_seconds_apart_is_the_most() {
        let at = Timestamp::from_millis;
        assert!(!is_off(at(10_000), at(0)) && !is_off(at(0), at(10_000)));
        assert!(is_off(at(10_001), at(0)) && is_off(at(0), at(10_001)));
    }
}
