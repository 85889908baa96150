//! TLS by rustls, with one crypto library and certificates from files.

mod client;

pub use client::{ClientTls, TlsStream};
