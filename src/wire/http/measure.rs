//! What is told of a request: a span of its trace, and how long it took by route and status.

use std::time::Instant;

use http::{HeaderMap, Method, StatusCode};
use tracing::Span;

use super::super::measure::continue_trace;
use crate::{
    clock::steady_now,
    telemetry::{self, meters},
};

/// A request that is under way.
pub struct Measure {
    method: &'static str,
    route: String,
    span: Span,
    begun: Instant,
}

impl Measure {
    /// A request begins.
    pub fn begin(method: &Method, headers: &HeaderMap) -> Self {
        let method = word(method);
        let span = telemetry::request(method);
        continue_trace(&span, headers);
        Self { method, route: String::new(), span, begun: steady_now() }
    }

    /// Its span.
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// It is of this route, which is one of ours.
    pub fn has_route(&mut self, route: &str) {
        route.clone_into(&mut self.route);
    }

    /// It is answered.
    pub fn end(self, status: StatusCode) {
        telemetry::requested(&self.span, self.method, &self.route, status.as_u16());
        meters().requested(self.method, &self.route, status.as_u16(), self.begun.elapsed());
    }
}

/// A method that is known; a word for all that are made up.
fn word(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    known.into_iter().find(|known| method.as_str() == *known).unwrap_or("_OTHER")
}
