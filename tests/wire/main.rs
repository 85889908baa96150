//! Everything that a client can see, over gRPC. Each test has its own whole world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod access;
mod enrolment;
mod login;
mod races;
mod sessions;
mod tokens;
mod transport;
mod world;
