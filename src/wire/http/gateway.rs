//! One call: finds the rpc of a path, makes its message, calls it in process through every layer that a call from outside passes,
//! and says in HTTP what it answered.

use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use prost_reflect::{DescriptorPool, DynamicMessage, prost::Message};
use tonic::{Status, body::Body, client::Grpc, metadata::MetadataMap};
use tower::util::BoxCloneSyncService;
use tracing::Instrument;

use super::super::peer::Peer;
use super::{
    codec::BytesCodec,
    cookie::{Cookie, Part},
    events, json,
    measure::{Measure, carry_trace},
    problem::{Problem, Violation},
    request,
    routes::{Found, Route, Routes},
};

use crate::{
    clock::Clock,
    wire::{guard, header_bytes, pb},
};

/// The services, called in process.
pub type InProcess = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Bytes of a body.
const BODY_BYTES: usize = 64 * 1024;
/// Bytes of a request's target, and of names and values of its headers.
const HEADER_BYTES: usize = 16 * 1024;
/// A body that takes longer to arrive is not waited for.
const BODY_TIME: Duration = Duration::from_secs(5);
/// What a call is told of a request; other headers are no business of it.
const PASSED_ON: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::USER_AGENT,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static(guard::REQUEST_ID),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];
/// What anybody may keep for a while; everything else is for its caller's eyes alone.
const PUBLIC: &str = "countersign.v1.SessionService.GetJwks";

/// The gateway.
pub struct Gateway {
    routes: Routes,
    services: InProcess,
    cookie: Cookie,
    clock: Arc<dyn Clock>,
}

impl Gateway {
    /// A gateway to the rpcs of this release.
    pub fn of_this_release(services: InProcess, cookie: Cookie, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::new(&DescriptorPool::decode(pb::DESCRIPTORS)?, services, cookie, clock)
    }

    /// A gateway to the rpcs in these descriptors.
    pub fn new(
        pool: &DescriptorPool,
        services: InProcess,
        cookie: Cookie,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        Ok(Self { routes: Routes::read(pool)?, services, cookie, clock })
    }

    /// What is routed.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Answers a request, by a page where `page` knows one.
    pub async fn answer<B, P>(&self, mut request: Request<B>, peer: Peer, page: P) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
        P: FnOnce(&Request<B>) -> Option<Response<Body>> + Send,
    {
        let id = HeaderValue::from_str(&guard::request_id(request.headers(), self.clock.now()));
        if let Ok(id) = &id {
            request.headers_mut().insert(guard::REQUEST_ID, id.clone());
        }
        let route = match self.routes.find(request.method(), request.uri().path()) {
            Found::Route(route, _) => route.template.text(),
            Found::OtherMethods(_) | Found::Nothing => "",
        };
        let measure = Measure::begin(request.method(), route, request.headers());
        let span = measure.span();
        let answering = async {
            match normal(request) {
                Ok(request) => match page(&request) {
                    Some(page) => Ok(page),
                    None => self.try_answer(request, peer).await,
                },
                Err(problem) => Err(problem),
            }
        };
        let answered = answering.instrument(span).await;
        let mut response = answered.unwrap_or_else(Problem::into_response);
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = id {
            response.headers_mut().insert(guard::REQUEST_ID, id);
        }
        measure.end(response.status());
        response
    }

    async fn try_answer<B>(&self, request: Request<B>, peer: Peer) -> Result<Response<Body>, Problem>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
        let (head, body) = request.into_parts();
        let (route, values) = match self.routes.find(&head.method, head.uri.path()) {
            Found::Route(route, values) => (route, values),
            Found::OtherMethods(methods) => return Err(other_methods(methods.into_iter().collect())),
            Found::Nothing => return Err(Problem::new("UNKNOWN_METHOD", "There is no such path. See /docs.")),
        };
        let body = read(body, &head.headers).await?;
        let query = head.uri.query().unwrap_or_default();
        let mut message = request::message(route, &values, query, &body).map_err(Problem::invalid)?;
        let part = self.cookie.apply(route.rpc.full_name(), &head.headers, &mut message)?;
        let call = Called { route, part, was_shown: head.headers.contains_key(header::AUTHORIZATION) };
        let request = grpc_request(&head.headers, peer, &message);
        if route.rpc.is_server_streaming() {
            self.stream(&call, request).await
        } else {
            self.unary(&call, request).await
        }
    }

    async fn unary(&self, call: &Called<'_>, request: tonic::Request<Bytes>) -> Result<Response<Body>, Problem> {
        let mut client = Grpc::new(self.services.clone());
        ready(&mut client).await;
        let answer = client.unary(request, call.route.grpc_path.clone(), BytesCodec).await;
        let answer = answer.map_err(|status| self.refused(call, &status))?;
        let message = DynamicMessage::decode(call.route.rpc.output(), answer.get_ref().clone());
        let message = message.map_err(|_| Problem::new("INTERNAL", "The service has answered something else."))?;
        let cookie = self.cookie.after(call.route.rpc.full_name(), call.part, &message);
        let mut response = Response::new(Body::new(Full::from(text(call.route, &message))));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let is_public = call.route.rpc.full_name() == PUBLIC;
        let cache = HeaderValue::from_static(if is_public { "public, max-age=300" } else { "no-store" });
        headers.insert(header::CACHE_CONTROL, cache);
        if let Some(cookie) = cookie {
            headers.insert(header::SET_COOKIE, cookie);
        }
        Ok(response)
    }

    async fn stream(&self, call: &Called<'_>, request: tonic::Request<Bytes>) -> Result<Response<Body>, Problem> {
        let mut client = Grpc::new(self.services.clone());
        ready(&mut client).await;
        let answer = client.server_streaming(request, call.route.grpc_path.clone(), BytesCodec).await;
        let answer = answer.map_err(|status| self.refused(call, &status))?;
        Ok(events::response(answer.into_inner(), call.route))
    }

    fn refused(&self, call: &Called<'_>, status: &Status) -> Problem {
        let problem = Problem::of(status, call.was_shown);
        let cookie = self.cookie.after_refusal(call.route.rpc.full_name(), call.part, status);
        match cookie.as_ref().and_then(|cookie| cookie.to_str().ok()) {
            Some(cookie) => problem.with(header::SET_COOKIE, cookie),
            None => problem,
        }
    }
}

/// What is known of a call when it is answered.
struct Called<'a> {
    route: &'a Route,
    part: Part,
    was_shown: bool,
}

async fn ready(client: &mut Grpc<InProcess>) {
    match client.ready().await {
        Ok(()) => {}
        Err(never) => match never {},
    }
}

/// A request that is of one host and of a size that is taken, with its host among its headers.
pub fn normal<B>(mut request: Request<B>) -> Result<Request<B>, Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target + header_bytes(request.headers()) > HEADER_BYTES {
        let text = "Path, query and headers are too large: at most 16 KiB are taken.";
        return Err(Problem::new("REQUEST_TOO_LARGE", text));
    }
    // HTTP/2 says it in the address.
    if let Some(host) = request.uri().authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts != 1 && request.version() != http::Version::HTTP_10 {
        return Err(Problem::invalid(vec![Violation::new("host", "must be sent once (RFC 9112 section 3.2).")]));
    }
    Ok(request)
}

/// A path of ours that takes these methods alone.
pub fn other_methods(methods: Vec<&str>) -> Problem {
    let allowed = methods.join(", ");
    let text = format!("This path takes {allowed} only. See /docs.");
    Problem::new("UNKNOWN_METHOD", text).with_status(http::StatusCode::METHOD_NOT_ALLOWED).with(header::ALLOW, &allowed)
}

/// The body, when it is JSON by its type, not too large, and comes in time.
async fn read<B>(body: B, headers: &HeaderMap) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
{
    const TOO_LARGE: &str = "The body is too large: at most 64 KiB are taken.";
    let mut declared = headers.get_all(header::CONTENT_TYPE).iter();
    let (declared, another) = (declared.next(), declared.next());
    if declared.is_some_and(|declared| !is_json(declared)) || another.is_some() {
        return Err(not_json());
    }
    if headers.get_all(header::CONTENT_ENCODING).iter().any(|encoding| encoding != "identity") {
        return Err(Problem::new("UNSUPPORTED_MEDIA_TYPE", "Bodies are taken as they are: send no content-encoding."));
    }
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return Err(Problem::new("REQUEST_TOO_LARGE", TOO_LARGE));
    }
    let limited = Box::pin(Limited::new(body, BODY_BYTES));
    let collected = tokio::time::timeout(BODY_TIME, limited.collect());
    let late = |_| Problem::new("DEADLINE_EXCEEDED", "The body did not arrive in time. Send it at once.");
    let bytes = match collected.await.map_err(late)? {
        Ok(collected) => collected.to_bytes(),
        Err(fault) if fault.is::<LengthLimitError>() => return Err(Problem::new("REQUEST_TOO_LARGE", TOO_LARGE)),
        Err(_) => return Err(Problem::invalid(vec![Violation::new("body", "broke off.")])),
    };
    if declared.is_none() && !bytes.is_empty() { Err(not_json()) } else { Ok(bytes) }
}

fn not_json() -> Problem {
    Problem::new("UNSUPPORTED_MEDIA_TYPE", "The body must be JSON: send content-type application/json.")
}

/// JSON, in UTF-8 or without a word of it.
fn is_json(declared: &HeaderValue) -> bool {
    let mut parts = declared.to_str().unwrap_or_default().split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let parameters = parts.filter_map(|part| part.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.eq_ignore_ascii_case("charset"));
    is_json && charsets.all(|(_, value)| value.trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

fn grpc_request(headers: &HeaderMap, peer: Peer, message: &DynamicMessage) -> tonic::Request<Bytes> {
    let mut request = tonic::Request::new(Bytes::from(message.encode_to_vec()));
    let mut passed = HeaderMap::new();
    for name in PASSED_ON {
        for value in headers.get_all(&name) {
            passed.append(name.clone(), value.clone());
        }
    }
    carry_trace(&mut passed);
    *request.metadata_mut() = MetadataMap::from_headers(passed);
    request.extensions_mut().insert(peer);
    request
}

/// JSON with a line's end: people read it on a terminal.
fn text(route: &Route, message: &DynamicMessage) -> String {
    format!("{}\n", json::answer(message, route.response_body.as_ref()))
}
