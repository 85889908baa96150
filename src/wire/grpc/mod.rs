//! The gRPC server: its services and the limits of its transport.

mod admin;
mod convert;
mod health;
mod session;
mod twofa;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use anyhow::Context;
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Status, body::Body, service::Routes, transport::Server};
use tower::{Layer, util::BoxCloneSyncService};

pub use health::{Health, probe};

use super::{
    guard::{Door, Guard},
    pb::{
        self, admin_service_server::AdminServiceServer, session_service_server::SessionServiceServer,
        two_fa_service_server::TwoFaServiceServer,
    },
    peer, status,
};
use crate::{
    clock::Clock,
    error::{Error, Refusal},
    flow::{Call, Kit},
    model::{Caller, Principal},
    tls::ServerTls,
};

/// Bytes of a message.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Bytes of a header list that the transport reads at all. The guard refuses far below, and says why.
const HEADER_BYTES: u32 = 64 * 1024;
const STREAMS_PER_CONNECTION: u32 = 100;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections are renewed, so that load spreads over new replicas: the client is told to go elsewhere, and calls under way end
/// in peace. (With tonic's grace set as well, they would be cut off.)
const CONNECTION_AGE: Duration = Duration::from_secs(30 * 60);
/// Streams that a client has reset and the server has not yet forgotten (CVE-2023-44487), and the reverse.
const PENDING_RESETS: usize = 20;
const LOCAL_RESETS: usize = 100;

/// What the server serves.
pub struct Services {
    guard: Guard,
    routes: Routes,
}

impl Services {
    /// Puts the services together; their streams end when `stopped` is set.
    pub fn new(
        kit: &Arc<Kit>,
        clock: Arc<dyn Clock>,
        door: Door,
        reflection: bool,
        health: &Health,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let twofa = TwoFaServiceServer::new(twofa::TwoFa::new(Arc::clone(kit)));
        let session = SessionServiceServer::new(session::Session::new(Arc::clone(kit)));
        let admin = AdminServiceServer::new(admin::Admin::new(Arc::clone(kit), Arc::clone(&clock), stopped));
        let mut routes = Routes::builder();
        routes
            .add_service(twofa.max_decoding_message_size(MESSAGE_BYTES))
            .add_service(session.max_decoding_message_size(MESSAGE_BYTES))
            .add_service(admin.max_decoding_message_size(MESSAGE_BYTES))
            .add_service(health.service());
        if reflection {
            // Old clients ask for v1alpha, new ones for v1; each lists itself only.
            let v1 = reflection_builder().build_v1().context("reflection failed")?;
            let v1alpha = reflection_builder().build_v1alpha().context("reflection failed")?;
            routes
                .add_service(v1.max_decoding_message_size(MESSAGE_BYTES))
                .add_service(v1alpha.max_decoding_message_size(MESSAGE_BYTES));
        }
        Ok(Self { guard: Guard::new(Arc::clone(kit), clock, door), routes: routes.routes() })
    }

    /// The same services for calls from within the process: through every layer, without a connection.
    pub fn in_process(&self) -> BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible> {
        BoxCloneSyncService::new(self.guard.layer(self.routes.clone()))
    }

    /// Waits until no call is under way any more, also none whose client has left.
    pub fn quiet(&self) -> impl Future<Output = ()> + use<> {
        self.guard.quiet()
    }

    /// Serves until `stop` resolves, and then until the calls that are under way are done.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        proxies: Vec<IpNet>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        Server::builder()
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            .http2_max_header_list_size(HEADER_BYTES)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS))
            .http2_max_local_error_reset_streams(Some(LOCAL_RESETS))
            .max_connection_age(CONNECTION_AGE)
            .layer(self.guard)
            .add_routes(self.routes)
            .serve_with_incoming_shutdown(peer::incoming(listener, tls, proxies), stop)
            .await
            .context("the gRPC server failed")
    }
}

fn reflection_builder() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// What the guard has found out about a call, and its message.
struct Admitted<T> {
    call: Call,
    caller: Caller,
    message: T,
}

impl<T> Admitted<T> {
    /// Takes a request apart. One that has not passed the guard is refused.
    fn from_request(mut request: Request<T>) -> Result<Self, Status> {
        let call = request.extensions_mut().remove::<Call>();
        let caller = request.extensions_mut().remove::<Caller>();
        match (call, caller) {
            (Some(call), Some(caller)) => Ok(Self { call, caller, message: request.into_inner() }),
            (_, _) => Err(status::of(Error::Broken(anyhow::anyhow!("a call has not passed the guard")), "")),
        }
    }
}

impl<T> Admitted<T> {
    /// The user who calls.
    fn principal(&self) -> Result<&Principal, Status> {
        match &self.caller {
            Caller::User(principal) => Ok(principal),
            Caller::Anonymous | Caller::Enrollee(_) => Err(status::refused(&Refusal::Unauthenticated)),
        }
    }

    /// The administrator who calls; the guard has seen that it is one.
    fn admin(&self) -> Result<&Principal, Refusal> {
        match &self.caller {
            Caller::User(principal) => Ok(principal),
            Caller::Anonymous | Caller::Enrollee(_) => Err(Refusal::Unauthenticated),
        }
    }

    /// The status of an error that ends this call.
    fn refuse(&self, error: impl Into<Error>) -> Status {
        status::of(error.into(), &self.call.origin.request_id)
    }
}
