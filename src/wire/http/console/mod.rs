//! The console: pages for people. A client of its own, which keeps a session in cookies and calls the same rpcs as every other, in
//! process.

mod account;
mod admin;
mod assets;
mod calls;
mod cookies;
mod fields;
mod frame;
mod headers;
mod origin;
mod pending;
mod refused;
mod routes;
mod shown;
mod step_up;
mod texts;
mod visit;

use std::{
    error::Error,
    sync::{Arc, Once},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use tonic::body::Body;
use tracing::Instrument;

use super::{
    super::{guard, peer::Peer},
    gateway::{InProcess, normal, other_methods},
    measure::Measure,
    problem::Problem,
};
use crate::clock::Clock;
use fields::Fields;
use refused::Refused;
use visit::Visit;

/// Where its pages are.
const ROOT: &str = "/console";

/// What a page answers, or why there is none.
type Answer = Result<Response<Body>, Refused>;

/// The console.
pub struct Console {
    services: InProcess,
    clock: Arc<dyn Clock>,
    is_secure: bool,
    /// Whether it was said that cookies should be for TLS alone.
    warned: Once,
}

impl Console {
    /// A console before these services. Its cookies go over TLS alone when `is_secure`.
    pub fn new(services: InProcess, is_secure: bool, clock: Arc<dyn Clock>) -> Self {
        Self { services, clock, is_secure, warned: Once::new() }
    }

    /// Whether a path is one of its own.
    pub fn serves(path: &str) -> bool {
        path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers a request.
    pub async fn answer<B>(&self, mut request: Request<B>, peer: Peer) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
        let id = HeaderValue::from_str(&guard::request_id(request.headers(), self.clock.now()));
        if let Ok(id) = &id {
            request.headers_mut().insert(guard::REQUEST_ID, id.clone());
        }
        self.must_be_for_tls(request.headers());
        let measure = Measure::begin(request.method(), ROOT, request.headers());
        let span = measure.span();
        let answering = async {
            match normal(request) {
                Ok(request) => self.try_answer(request, peer).await,
                Err(problem) => problem.into_response(),
            }
        };
        let mut response = answering.instrument(span).await;
        headers::dress(&mut response, self.is_secure);
        if let Ok(id) = id {
            response.headers_mut().insert(guard::REQUEST_ID, id);
        }
        measure.end(response.status());
        response
    }

    /// Says once, to the operator, that browsers come over TLS and are not told to keep the cookies to it.
    fn must_be_for_tls(&self, headers: &HeaderMap) {
        let is_tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        if is_tls && !self.is_secure {
            self.warned.call_once(|| {
                tracing::warn!(
                    "a proxy says that browsers reach the console over TLS, and its cookies are not for TLS alone: set                      http.secure_cookies = true"
                );
            });
        }
    }

    async fn try_answer<B>(&self, request: Request<B>, peer: Peer) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
    {
        let (head, body) = request.into_parts();
        let is_read = [Method::GET, Method::HEAD].contains(&head.method);
        if let Some(asset) = assets::find(head.uri.path()) {
            return if is_read { asset } else { other_methods(vec!["GET", "HEAD"]).into_response() };
        }
        if !is_read && head.method != Method::POST {
            return other_methods(vec!["GET", "HEAD", "POST"]).into_response();
        }
        if is_read && origin::is_led_from_elsewhere(&head.headers) {
            return origin::step_inside();
        }
        let form = if is_read { Ok(Fields::default()) } else { fields::read(body, &head.headers).await };
        let (form, is_read) = match form {
            Ok(form) => (form, Ok(())),
            Err(reason) => (Fields::default(), Err(Refused::new(reason))),
        };
        let mut visit = match Visit::new(self, &head, peer, form) {
            Ok(visit) => visit,
            Err(fault) => {
                tracing::error!(fault = format!("{fault:#}"), "the console cannot make a form token");
                return Problem::new("INTERNAL", "The service has a fault.").into_response();
            }
        };
        let answer = match is_read {
            Ok(()) => routes::answer(&mut visit).await,
            Err(refused) => Err(refused),
        };
        visit.end(answer)
    }
}

/// Leads to another page.
fn see_other(path: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let path = HeaderValue::from_str(path).unwrap_or(HeaderValue::from_static(ROOT));
    response.headers_mut().insert(http::header::LOCATION, path);
    response
}
