//! What is told of a call: a span of its trace, how long it took by status and reason, and in the log whose lines they are.

use std::time::Instant;

use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::{Code, Status, body::Body};
use tracing::{Instrument, Span, instrument::Instrumented};

use super::status;
use crate::{
    clock::steady_now,
    telemetry::{self, UnderWay, meters},
};

const STATE_BYTES: usize = 512;

/// A call that is under way until its answer has been taken.
pub struct Measure {
    rpc: String,
    span: Span,
    lines: Span,
    begun: Instant,
    has_ended: bool,
    _under_way: UnderWay,
}

impl Measure {
    /// A call begins, of an rpc that is one of ours, or of a word for all others.
    pub fn begin(rpc: &str, is_traced: bool, headers: &HeaderMap) -> Self {
        let span = if is_traced { telemetry::call(rpc) } else { Span::none() };
        continue_trace(&span, headers);
        Self {
            rpc: rpc.to_owned(),
            span,
            lines: Span::none(),
            begun: steady_now(),
            has_ended: false,
            _under_way: meters().call(),
        }
    }

    /// The trace that it is a part of; None = none is exported.
    pub fn trace_id(&self) -> Option<String> {
        telemetry::trace_id(&self.span)
    }

    /// The work of the call, in its span, and with its ids on each line of the log.
    pub fn around<F>(&mut self, request_id: &str, trace_id: Option<&str>, work: F) -> Instrumented<Instrumented<F>> {
        self.lines = telemetry::lines(&self.span, request_id, trace_id);
        work.instrument(self.lines.clone()).instrument(self.span.clone())
    }

    /// The answer, which ends the call when it is taken, or left.
    pub fn until_taken(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.end(status.code(), status::reason(&status));
            return response;
        }
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    self.end(status.code(), status::reason(&status));
                }
                frame
            }))
        })
    }

    fn end(&mut self, code: Code, reason: Option<String>) {
        self.has_ended = true;
        let name = status::name(code);
        let millis = self.begun.elapsed().as_millis();
        self.lines.in_scope(|| tracing::debug!(rpc = self.rpc, status = name, reason, millis, "answered"));
        telemetry::called(&self.span, name, reason.as_deref(), status::is_fault(code));
        meters().called(&self.rpc, name, reason, self.begun.elapsed());
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Code::Cancelled, None);
        }
    }
}

/// Makes a span a part of the trace that a caller has begun (W3C Trace Context).
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    // As much of it as must be passed on; more would be its caller's hold on our memory, and on the collector's.
    let state = text("tracestate").filter(|state| state.len() <= STATE_BYTES);
    telemetry::continue_trace(span, text("traceparent"), state);
}
