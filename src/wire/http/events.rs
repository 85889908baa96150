//! A stream of messages as server-sent events: each message an event; an error that ends the stream is an event `error` with the
//! problem; a comment now and then tells proxies that the stream lives.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor};
use tonic::{Status, Streaming, body::Body};

use super::{json, problem::Problem, routes::Route};

/// The longest silence.
const SILENCE: Duration = Duration::from_secs(15);

/// The answer that such a stream is.
pub fn response(messages: Streaming<Bytes>, route: &Route) -> Response<Body> {
    let (descriptor, field) = (route.rpc.output(), route.response_body.clone());
    let events = stream::unfold(Some(messages), move |messages| {
        let (descriptor, field) = (descriptor.clone(), field.clone());
        async move {
            let mut messages = messages?;
            let (event, messages) = match tokio::time::timeout(SILENCE, messages.message()).await {
                Ok(Ok(Some(bytes))) => (message(descriptor, field.as_ref(), bytes), Some(messages)),
                Ok(Ok(None)) => return None,
                Ok(Err(status)) => (error(&status), None),
                Err(_) => (":\n\n".to_owned(), Some(messages)),
            };
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), messages))
        }
    });
    let mut response = Response::new(Body::new(StreamBody::new(events)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn message(descriptor: MessageDescriptor, field: Option<&FieldDescriptor>, bytes: Bytes) -> String {
    match DynamicMessage::decode(descriptor, bytes) {
        Ok(message) => format!("data: {}\n\n", json::answer(&message, field)),
        Err(_) => error(&Status::internal("the stream holds something else")),
    }
}

fn error(status: &Status) -> String {
    format!("event: error\ndata: {}\n\n", Problem::of(status, true).json())
}
