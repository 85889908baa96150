//! The door that every call passes: it gives the call an id, keeps the limits, enforces the access rule, holds the deadline,
//! and sees to it that every error on its way out has a reason.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;
use tonic::{Status, body::Body};
use tower::{Layer, Service, ServiceExt};

use super::{
    caller::Rules, header_bytes, measure::Measure, peer::Peer, proxies::Proxies, services::KnownServices, status,
};
use crate::{
    clock::{Clock, Timestamp},
    error::Refusal,
    flow::{Call, Kit},
    model::{Origin, RequestId},
};

/// Bytes of names and values of a request's metadata.
const METADATA_BYTES: usize = 8 * 1024;
/// Calls that are worked on at once; more are turned away at once. Health and reflection are outside it.
const CALLS_AT_ONCE: usize = 1024;
/// Of these, calls that have a password hashed for whoever asks: a flood of them leaves the rest to those who have begun.
const PASSWORDS_AT_ONCE: usize = 512;
const PASSWORDS: [&str; 2] = ["/countersign.v1.TwoFaService/LocalAuth", "/countersign.v1.SessionService/SetPassword"];
/// Bytes of a message as it travels, with its length before it.
const BODY_BYTES: usize = 64 * 1024 + 5;
/// A call takes no longer, whatever the caller allows.
const DEADLINE: Duration = Duration::from_secs(5);
/// A caller is told a moment before it gives up, so that the answer arrives.
const HEAD_START: Duration = Duration::from_millis(5);
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Where a request has its id.
pub const REQUEST_ID: &str = "x-request-id";
/// What is told of a path that is none of ours.
const OTHER: &str = "other";
/// Services that are open to all and outlast the deadline.
const OPEN: [&str; 3] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", REFLECTION_V1ALPHA];
const REFLECTION_V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/";

/// Their methods, as they are told of.
const OPEN_METHODS: [&str; 5] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// Makes the door.
#[derive(Clone)]
pub struct Guard(Arc<Watch>);

/// Whom the door knows.
pub struct Door {
    /// The rule of each rpc.
    pub rules: Rules,
    /// Whose word is taken for where a call comes from.
    pub proxies: Proxies,
    /// Services that have an identity of their own.
    pub services: KnownServices,
}

struct Watch {
    kit: Arc<Kit>,
    clock: Arc<dyn Clock>,
    rules: Rules,
    proxies: Proxies,
    services: KnownServices,
    calls: Semaphore,
    passwords: Semaphore,
    tasks: TaskTracker,
}

/// The door before a service.
#[derive(Clone)]
pub struct Guarded<S> {
    watch: Arc<Watch>,
    inner: S,
}

impl Guard {
    /// A door with these rules.
    pub fn new(kit: Arc<Kit>, clock: Arc<dyn Clock>, door: Door) -> Self {
        let Door { rules, proxies, services } = door;
        let (calls, passwords) = (Semaphore::new(CALLS_AT_ONCE), Semaphore::new(PASSWORDS_AT_ONCE));
        Self(Arc::new(Watch { kit, clock, rules, proxies, services, calls, passwords, tasks: TaskTracker::new() }))
    }
}

impl Guard {
    /// Waits until no call is under way any more; none may come after that.
    pub fn quiet(&self) -> impl Future<Output = ()> + use<> {
        let tasks = self.0.tasks.clone();
        async move {
            tasks.close();
            tasks.wait().await;
        }
    }
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { watch: Arc::clone(&self.0), inner }
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { watch, inner } = self.clone();
        Box::pin(async move {
            let mut measure = {
                let rpc = watch.rpc(request.uri().path());
                // Probes ask again and again.
                let is_traced = watch.rules.find(request.uri().path()).is_some();
                Measure::begin(rpc, is_traced, request.headers())
            };
            let call = watch.call(&request, measure.trace_id());
            let (request_id, source, now) = (call.origin.request_id.clone(), call.origin.source, call.now);
            let trace_id = call.origin.trace_id.clone();
            let (door, patience) = (Arc::clone(&watch), patience(request.headers()));
            let work = async move { door.pass(inner, request, call).await };
            // A task of its own: a client that leaves, or waits no longer, does not end a call in the middle, with a right password
            // paid for and not judged, or a code judged and not recorded.
            let passed = watch.tasks.spawn(measure.around(&request_id, trace_id.as_deref(), work));
            let response: Response<Body> = match timeout(patience, passed).await {
                Ok(Ok(Ok(response))) => dress(response, &request_id),
                Ok(Ok(Err(refused))) => refused.into_response(),
                Ok(Err(_)) => status::panicked(&request_id).into_http(),
                Err(_) => Turned::from(Refusal::DeadlineExceeded).into_response(),
            };
            if status::is_rate_limited(response.headers()) {
                watch.kit.refusals.count(source, now);
            }
            Ok(measure.until_taken(with_request_id(response, &request_id)))
        })
    }
}

/// A call that did not get through the door.
enum Turned {
    Away(Status),
    NotGrpc,
}

impl Turned {
    fn into_response(self) -> Response<Body> {
        match self {
            Self::Away(status) => status.into_http(),
            Self::NotGrpc => {
                let mut response: Response<Body> = status::not_grpc().into_http();
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                response
            }
        }
    }
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self::Away(status::refused(&refusal))
    }
}

impl Watch {
    /// The rpc that a path names, as it is told: nothing that a caller has made up.
    fn rpc<'a>(&self, path: &'a str) -> &'a str {
        match open_method(path) {
            Some(method) => method,
            None if self.rules.find(path).is_some() => path.trim_start_matches('/'),
            None => OTHER,
        }
    }

    fn call<B>(&self, request: &Request<B>, trace: Option<String>) -> Call {
        let now = self.clock.now();
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>().and_then(|peer| peer.address);
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let origin = Origin {
            source: self.proxies.source(peer.map_or(NOBODY, |peer| peer.ip()), headers),
            // A header value is ASCII here, so a byte is a character.
            user_agent: user_agent.chars().take(256).collect(),
            request_id: request_id(headers, now),
            trace_id: trace.or_else(|| trace_id(headers)),
            admin: None,
        };
        Call { now, origin }
    }

    async fn pass<S>(&self, inner: S, request: Request<Body>, mut call: Call) -> Result<Response<Body>, Turned>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Send,
        S::Future: Send,
    {
        if header_bytes(request.headers()) > METADATA_BYTES {
            return Err(Refusal::RequestTooLarge.into());
        }
        if !is_grpc(request.headers()) {
            return Err(Turned::NotGrpc);
        }
        let path = request.uri().path();
        if OPEN.iter().any(|service| path.starts_with(service)) {
            return Ok(inner.oneshot(request).await.unwrap_or_else(|never| match never {}));
        }
        let rule = self.rules.find(path).ok_or(Refusal::UnknownMethod)?;
        let is_password = PASSWORDS.contains(&path);
        if rule.is_for_services() {
            let names = request.extensions().get::<Peer>().map(|peer| Arc::clone(&peer.names)).unwrap_or_default();
            self.services.admit(&names, request.headers())?;
        }
        let answer = async {
            let mut request = whole(request).await?;
            let busy = |_| Refusal::RateLimited { retry_after: Some(Duration::from_secs(1)) };
            let _of_passwords = is_password.then(|| self.passwords.try_acquire()).transpose().map_err(busy)?;
            let _place = self.calls.try_acquire().map_err(busy)?;
            let admitted = rule.admit(&self.kit, request.headers(), &call).await;
            let caller = admitted.map_err(|error| Turned::Away(status::of(error, &call.origin.request_id)))?;
            if rule.is_for_administrators() {
                // Whatever such a call records, it records by whom.
                call.origin.admin = caller.user();
            }
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(call);
            Ok(inner.oneshot(request).await.unwrap_or_else(|never| match never {}))
        };
        timeout(DEADLINE, answer).await.map_err(|_| Refusal::DeadlineExceeded)?
    }
}

/// The method of a service that is open to all; of one that is not known, the service.
fn open_method(path: &str) -> Option<&'static str> {
    let service = OPEN.into_iter().find(|service| path.starts_with(service))?;
    let method = OPEN_METHODS.into_iter().find(|method| *method == path);
    Some(method.unwrap_or(service).trim_matches('/'))
}

/// The request once its message is there: one that does not come takes nobody's place. Every call of ours begins with one message.
async fn whole(request: Request<Body>) -> Result<Request<Body>, Turned> {
    let (head, body) = request.into_parts();
    match Limited::new(body, BODY_BYTES).collect().await {
        Ok(body) => Ok(Request::from_parts(head, Body::new(Full::new(body.to_bytes())))),
        Err(fault) if fault.is::<LengthLimitError>() => Err(Refusal::RequestTooLarge.into()),
        // The client has left.
        Err(_) => Err(Refusal::DeadlineExceeded.into()),
    }
}

/// How long the caller waits; as long as it takes, where nothing is said.
fn patience(headers: &HeaderMap) -> Duration {
    let caller = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(duration);
    caller.map_or(Duration::MAX, |caller| caller.saturating_sub(HEAD_START))
}

/// Reads the value of `grpc-timeout`: at most eight digits and a unit.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The caller's id for the request when it is a plain one, else one of ours.
pub fn request_id(headers: &HeaderMap, now: Timestamp) -> String {
    let is_plain = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_plain);
    given.map_or_else(|| RequestId::new(now).to_string(), str::to_owned)
}

/// The trace that the request is a part of, as `traceparent` says (W3C Trace Context).
fn trace_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    let is_hex =
        |text: &str, length| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_one = is_hex(version, 2) && version != "ff" && is_hex(id, 32) && id.bytes().any(|b| b != b'0');
    is_one.then(|| id.to_owned())
}

/// Puts words and a reason on an error that has none: one that tonic has made.
fn dress(response: Response<Body>, request_id: &str) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(bare) if is_bare(&bare) => status::dressed(&bare, request_id).into_http(),
        Some(_) => response,
        None => response.map(|body| {
            let request_id = request_id.to_owned();
            Body::new(body.map_frame(move |frame| dress_trailers(frame, &request_id)))
        }),
    }
}

/// The same for an error that ends a stream.
fn dress_trailers(frame: Frame<Bytes>, request_id: &str) -> Frame<Bytes> {
    let Some(bare) = frame.trailers_ref().and_then(Status::from_header_map).filter(is_bare) else {
        return frame;
    };
    let mut trailers = HeaderMap::new();
    match status::dressed(&bare, request_id).add_header(&mut trailers) {
        Ok(()) => Frame::trailers(trailers),
        Err(_) => frame,
    }
}

fn is_bare(status: &Status) -> bool {
    status.code() != tonic::Code::Ok && status.details().is_empty()
}

fn with_request_id(mut response: Response<Body>, request_id: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_named_by_its_id_and_by_nothing_else() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", HeaderValue::from_str(text).ok()?);
            trace_id(&headers)
        };
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(of(&format!("00-{id}-00f067aa0ba902b7-01")).as_deref(), Some(id));
        for text in ["", id, "00-", &format!("ff-{id}-00f067aa0ba902b7-01"), &format!("00-{}-0-01", "0".repeat(32))] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of(&format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase())), None);
    }

    #[test]
    fn what_a_caller_has_made_up_is_no_name_of_a_method() {
        assert_eq!(open_method("/grpc.health.v1.Health/Watch"), Some("grpc.health.v1.Health/Watch"));
        for path in ["/grpc.health.v1.Health/", "/grpc.health.v1.Health/x", "/grpc.health.v1.Health/x/Health/Check"] {
            assert_eq!(open_method(path), Some("grpc.health.v1.Health"), "{path}");
        }
        assert_eq!(open_method("/grpc.health.v1.Healthy/Check"), None);
    }

    #[test]
    fn a_timeout_is_at_most_eight_digits_and_a_unit() {
        assert_eq!(duration("5S"), Some(Duration::from_secs(5)));
        assert_eq!(duration("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "S", "5", "+5S", "-5S", "999999999S", "5s", "5 S", "5é"] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }
}
