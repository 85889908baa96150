//! Traces from process to process (W3C Trace Context), and their names in the log.

use std::collections::HashMap;

use opentelemetry::{
    global,
    trace::{SpanContext, TraceContextExt},
};
use tracing::{Instrument, Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::meters;
use crate::clock::steady_now;

/// Makes a span a part of the trace that a caller has begun, where the caller says so.
pub fn continue_trace(span: &Span, traceparent: Option<&str>, tracestate: Option<&str>) {
    let Some(traceparent) = traceparent.filter(|_| !span.is_disabled()) else {
        return;
    };
    let mut carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    carrier.extend(tracestate.map(|state| ("tracestate".to_owned(), state.to_owned())));
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&carrier));
    // A span that has begun cannot become another's; then it stays a trace of its own.
    let _ = span.set_parent(context);
}

/// The trace that a span is a part of; None = it is exported nowhere.
pub fn trace_id(span: &Span) -> Option<String> {
    known(span).map(|context| context.trace_id().to_string())
}

/// What a call of ours to another service says of the trace that it is a part of; None = it is part of none.
pub fn traceparent() -> Option<String> {
    let context = known(&Span::current())?;
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    Some(format!("00-{trace}-{span}-{flags:02x}"))
}

/// A call of an rpc.
pub fn call(rpc: &str) -> Span {
    tracing::info_span!(
        target: "countersign::span",
        "call",
        otel.name = rpc,
        otel.kind = "server",
        rpc.system.name = "grpc",
        rpc.method = rpc,
        rpc.response.status_code = Empty,
        error.type = Empty,
        otel.status_code = Empty,
    )
}

/// What a call was answered.
pub fn called(span: &Span, status: &str, reason: Option<&str>, is_fault: bool) {
    span.record("rpc.response.status_code", status);
    if let Some(reason) = reason {
        span.record("error.type", reason);
    }
    if is_fault {
        span.record("otel.status_code", "ERROR");
    }
}

/// A request over REST, of a route; of none of them = an empty one.
pub fn request(method: &str, route: &str) -> Span {
    tracing::info_span!(
        target: "countersign::span",
        "request",
        otel.name = format!("{method} {route}").trim_end(),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        otel.status_code = Empty,
    )
}

/// What a request was answered.
pub fn requested(span: &Span, status: u16) {
    span.record("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.record("otel.status_code", "ERROR");
    }
}

/// What each line of the log says that is written for a call, within its span.
pub fn lines(call: &Span, request_id: &str, trace_id: Option<&str>) -> Span {
    // Of the highest level, so that it is there at every level that is logged.
    tracing::error_span!(target: "countersign::call", parent: call, "call", request_id, trace_id)
}

/// A statement or script under way: which, of what, never with a value. `what` is asked only where the span goes anywhere.
pub fn statement(system: &'static str, operation: &'static str, what: impl FnOnce() -> String) -> Span {
    if Span::current().is_none() {
        // What asks again and again in the background is measured, and no trace of its own.
        return Span::none();
    }
    let span = tracing::info_span!(
        target: "countersign::span",
        "statement",
        otel.name = Empty,
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
        db.query.summary = Empty,
        otel.status_code = Empty,
    );
    if !span.is_disabled() {
        let summary = what();
        span.record("otel.name", &summary);
        span.record("db.query.summary", &summary);
    }
    span
}

/// A call to a provider, measured and traced: who it is, never what is said to it.
pub async fn provider<T, E>(name: &'static str, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let span = tracing::info_span!(
        target: "countersign::span",
        "provider",
        otel.name = name,
        otel.kind = "client",
        otel.status_code = Empty,
    );
    let begun = steady_now();
    let answer = call.instrument(span.clone()).await;
    if answer.is_err() {
        span.record("otel.status_code", "ERROR");
    }
    meters().provider(name, answer.is_ok(), begun.elapsed());
    answer
}

fn known(span: &Span) -> Option<SpanContext> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then_some(context)
}
