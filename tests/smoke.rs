//! The shipped binary, and tools that people really use: grpcurl, curl, oathtool, an independent QR reader.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

#[path = "smoke/accounts.rs"]
mod accounts;
#[path = "smoke/admin.rs"]
mod admin;
#[path = "smoke/clients.rs"]
mod clients;
#[path = "smoke/configuration.rs"]
mod configuration;
#[path = "smoke/console.rs"]
mod console;
#[path = "smoke/cookbook.rs"]
mod cookbook;
#[path = "smoke/deploy.rs"]
mod deploy;
#[path = "smoke/mail.rs"]
mod mail;
#[path = "smoke/page.rs"]
mod page;
#[path = "smoke/process.rs"]
mod process;
#[path = "smoke/secrets.rs"]
mod secrets;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/mod.rs"]
mod servers;
#[path = "smoke/telemetry.rs"]
mod telemetry;
#[path = "smoke/tls.rs"]
mod tls;
#[path = "smoke/tour.rs"]
mod tour;
