//! Follows the audit log: each record is an event with a line of the table, and the event's id is where to go on after it. Browsers
//! send that id themselves when they come again.

use std::{convert::Infallible, time::Duration};

use askama::Template;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use tonic::{Streaming, body::Body};

use super::{
    super::{Answer, calls::rpc, refused::Refused, texts::ENGLISH, visit::Visit},
    audit::{Filter, Row, RowPage},
};
use crate::wire::pb;

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(15);

/// The stream. It ends with the session; a browser is told so, and does not come again.
pub async fn stream(visit: &mut Visit<'_>) -> Answer {
    let after = match visit.last_event_id() {
        Some(id) => id,
        None => visit.query.trimmed("after"),
    };
    let request = Filter::read(&visit.query).watch(after);
    let events = match rpc!(visit, admin.watch_audit_events(request)) {
        Ok(records) => events(records),
        Err(refused) => return Ok(over(&refused)),
    };
    Ok(response(events))
}

/// A stream that says why there is none. Browsers come again by themselves unless they are told so in a stream.
pub fn over(refused: &Refused) -> Response<Body> {
    response(Body::new(http_body_util::Full::from(ended(refused))))
}

fn events(records: Streaming<pb::WatchAuditEventsResponse>) -> Body {
    let events = stream::unfold(Some(records), |records| async move {
        let mut records = records?;
        let (event, records) = match tokio::time::timeout(SILENCE, records.message()).await {
            Ok(Ok(Some(record))) => (event(record), Some(records)),
            // The service stops: the browser comes again, and finds another one.
            Ok(Ok(None)) => return None,
            Ok(Err(status)) => (ended(&Refused::from(status)), None),
            Err(_) => (":\n\n".to_owned(), Some(records)),
        };
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), records))
    });
    Body::new(StreamBody::new(events))
}

fn event(record: pb::WatchAuditEventsResponse) -> String {
    let row = Row::from(record.audit_event.unwrap_or_default());
    let line = RowPage { t: &ENGLISH, row }.render().unwrap_or_default();
    let data: Vec<_> = line.lines().map(|line| format!("data: {line}\n")).collect();
    format!("id: {}\n{}\n", record.resume_token, data.concat())
}

/// What has ended it; waiting may help, or signing in.
fn ended(refused: &Refused) -> String {
    let name = if refused.is("RATE_LIMITED") || refused.is("STORE_UNAVAILABLE") { "busy" } else { "ended" };
    format!("event: {name}\ndata: {}\n\n", refused.text)
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies hold events back to send many at once, unless they are told not to.
    response.headers_mut().insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
