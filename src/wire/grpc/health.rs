//! `grpc.health.v1`: which services can do their work.

use std::time::Duration;

use anyhow::Context;
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

use super::MESSAGE_BYTES;
use crate::store::Store;

/// Asks the server at `address` whether it serves, or with `live` only whether its process turns.
pub async fn probe(address: &str, live: bool) -> anyhow::Result<bool> {
    let ask = async {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
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
const FOLLOW_DATABASE: [&str; 3] = ["", "countersign.v1.SessionService", "countersign.v1.TwoFaService"];
const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(2);

/// The health of the services.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Before anything is known, only the process is healthy.
    pub async fn new() -> Self {
        let health = Self(HealthReporter::new());
        health.0.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health.set(ServingStatus::NotServing).await;
        health
    }

    pub(super) fn service(&self) -> HealthServer<impl HealthService + use<>> {
        let service = tonic_health::server::HealthService::from_health_reporter(self.0.clone());
        HealthServer::new(service).max_decoding_message_size(MESSAGE_BYTES)
    }

    /// Asks the database again and again, and tells what came of it, without end.
    pub async fn follow(&self, store: &Store) {
        let mut interval = tokio::time::interval(INTERVAL);
        let mut told = None;
        loop {
            interval.tick().await;
            let answers = tokio::time::timeout(TIMEOUT, store.ping()).await.is_ok_and(|answer| answer.is_ok());
            let status = if answers { ServingStatus::Serving } else { ServingStatus::NotServing };
            // Those who watch are told of changes alone.
            if told.replace(status) != Some(status) {
                self.set(status).await;
            }
        }
    }

    /// The server is about to stop: send nothing more here.
    pub async fn drain(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    async fn set(&self, status: ServingStatus) {
        for service in FOLLOW_DATABASE {
            self.0.set_service_status(service, status).await;
        }
    }
}
