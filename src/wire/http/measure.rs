//! What is told of a request: a span of its trace, and how long it took by route and status.

use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tracing::Span;

use super::super::measure::continue_trace;
use crate::{
    clock::steady_now,
    telemetry::{self, meters},
};

/// What proxies write of a client that has left before its answer.
const LEFT: u16 = 499;

/// A request that is under way.
pub struct Measure<'a> {
    method: &'static str,
    route: &'a str,
    span: Span,
    begun: Instant,
    status: u16,
}

impl<'a> Measure<'a> {
    /// A request begins, of one of our routes; of none of them = an empty one.
    pub fn begin(method: &Method, route: &'a str, headers: &HeaderMap) -> Self {
        let method = word(method);
        let span = telemetry::request(method, route);
        continue_trace(&span, headers);
        Self { method, route, span, begun: steady_now(), status: LEFT }
    }

    /// Its span.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// It is answered.
    pub fn end(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        telemetry::requested(&self.span, self.status);
        meters().requested(self.method, self.route, self.status, self.begun.elapsed());
    }
}

/// Lets what is called for a request be a part of the same trace.
pub fn carry_trace(headers: &mut HeaderMap) {
    if let Some(Ok(trace)) = telemetry::traceparent().map(HeaderValue::try_from) {
        headers.insert("traceparent", trace);
    }
}

/// A method that is known; a word for all that are made up.
fn word(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or("_OTHER")
}
