//! HTTP to a provider: no redirects, certificates checked, and not for long. What comes back is told by its status; a body is not
//! waited for.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Client, RequestBuilder, redirect::Policy};

use super::Failure;
use crate::telemetry;

/// Twice this and the answer of the next provider fit into the patience of a message.
const CONNECT: Duration = Duration::from_millis(600);
const ANSWER: Duration = Duration::from_millis(2500);

/// A client.
pub(super) fn client() -> anyhow::Result<Client> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .no_proxy()
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    builder.build().context("cannot prepare for a provider of text messages")
}

/// Sends a request; fine is what the provider says to be fine.
pub(super) async fn send(request: RequestBuilder) -> Result<(), Failure> {
    // The trace that this is a part of, for a gateway that goes on with it.
    let request = match telemetry::traceparent() {
        Some(trace) => request.header("traceparent", trace),
        None => request,
    };
    match request.send().await {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(response) => Err(match response.status().as_u16() {
            // It was not in time, or something between us and the provider did not wait: the provider may have the message.
            status @ (408 | 425 | 500 | 502 | 504..) => Failure::Doubtful(status),
            status => Failure::Refused(status),
        }),
        // The fault itself may name the address with what stands in it.
        Err(fault) if fault.is_connect() || fault.is_builder() => Err(Failure::Unreached),
        Err(_) => Err(Failure::Unknown),
    }
}

/// A form as it travels.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
