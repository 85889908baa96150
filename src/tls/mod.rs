//! TLS by rustls, with one crypto library and certificates from files.

mod client;
mod server;

pub use client::{ClientTls, TlsStream};
pub use server::{Connection, Protocol, ServerTls};
