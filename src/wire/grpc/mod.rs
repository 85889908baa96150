//! The gRPC server: its services, and what its clients may do.

mod admin;
mod convert;
mod health;
mod session;
mod twofa;

use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};

use anyhow::Context;
use hyper::body::Incoming;
use ipnet::IpNet;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::TaskTracker;
use tonic::{Request, Status, body::Body, service::Routes};
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

pub use health::{Health, probe};

use super::{
    guard::{Door, Guard, Guarded},
    pb::{
        self, admin_service_server::AdminServiceServer, session_service_server::SessionServiceServer,
        two_fa_service_server::TwoFaServiceServer,
    },
    peer::Peer,
    server::{self, Answers, Bounds},
    status,
};
use crate::{
    clock::Clock,
    error::{Error, Refusal},
    flow::{Call, Kit},
    model::{Caller, Principal},
    tls::{Protocol, ServerTls},
};

/// Bytes of a message.
const MESSAGE_BYTES: usize = 64 * 1024;
/// Callers keep a channel open for as long as they live, and some ask rarely. Health and the audit log are followed by streams, which
/// are quiet for as long as nothing happens.
const BOUNDS: Bounds = Bounds {
    name: "grpc",
    protocol: Protocol::Grpc,
    connections: 4096,
    of_peer: 1024,
    first_request: Duration::from_secs(60),
    first_request_in_need: Duration::from_secs(1),
    next_request: Duration::from_secs(15 * 60),
    streams: true,
};

/// What the server serves.
pub struct Services {
    guard: Guard,
    routes: Routes,
    following: TaskTracker,
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
        let following = TaskTracker::new();
        let admin = admin::Admin::new(Arc::clone(kit), Arc::clone(&clock), stopped, following.clone());
        let admin = AdminServiceServer::new(admin);
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
        Ok(Self { guard: Guard::new(Arc::clone(kit), clock, door), routes: routes.routes(), following })
    }

    /// The same services for calls from within the process: through every layer, without a connection.
    pub fn in_process(&self) -> BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible> {
        BoxCloneSyncService::new(self.guard.layer(self.routes.clone()))
    }

    /// Waits until no call is under way any more, also none whose client has left, and nobody follows anything.
    pub fn quiet(&self) -> impl Future<Output = ()> + use<> {
        let (calls, following) = (self.guard.quiet(), self.following.clone());
        async move {
            calls.await;
            following.close();
            following.wait().await;
        }
    }

    /// Serves until `stop` resolves, and then until the calls that are under way are done.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        proxies: Vec<IpNet>,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        server::serve(Listener(self.guard.layer(self.routes)), listener, tls, proxies, BOUNDS, stop).await
    }
}

/// The gRPC listener.
struct Listener(Guarded<Routes>);

impl Answers for Listener {
    async fn answer(&self, request: http::Request<Incoming>, peer: Peer) -> http::Response<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        self.0.clone().oneshot(request).await.unwrap_or_else(|never| match never {})
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
