//! Protocols: bytes on the wire to intent and back.

pub mod caller;
pub mod grpc;
pub mod guard;
pub mod http;
mod measure;
pub mod pb;
pub mod peer;
mod places;
pub mod probes;
pub mod proxies;
mod server;
pub mod services;
pub mod status;

/// The size of a request's headers: 32 for each field, as HTTP/2 counts them (RFC 9113 section 6.5.2).
fn header_bytes(headers: &::http::HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}
