//! Protocols: bytes on the wire to intent and back.

pub mod caller;
pub mod grpc;
pub mod guard;
pub mod pb;
pub mod proxies;
pub mod status;
