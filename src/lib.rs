//! Countersign: two-factor authentication as a service.
//!
//! # The map
//!
//! A room is a file or a folder with one subject. Rooms lie on floors: a room uses only floors below its own, and neighbours on
//! a floor do not know each other. `tests/architecture.rs` reads this map and holds the code to it.
//!
//! ```text
//! main
//! cli                                                     may name everything below
//! app                                                     puts the parts together
//! wire                                                    protocols: bytes ⇄ intent
//! flow                                                    verbs: intent → meaning → state
//! audit  factor  challenge  policy  limit  token          meaning: right or wrong, allowed or not
//! store  ephemeral  sms  mail  webhook                    state: what lasts, what may be lost; and what goes out
//! model                                                   plain records that rooms share
//! seal  hash  tls                                         tools that use tools
//! telemetry                                               what is told of it
//! config                                                  what the operator wants
//! clock  error  file  secret  swap                        tools
//! ```
//!
//! Bound crates: a crate in this list is named in its room alone.
//!
//! ```text
//! tonic  tonic_health  tonic_reflection                   wire
//! prost  prost_types  prost_reflect  tower                wire
//! http  tonic_types                                       telemetry  wire
//! bytes  http_body  http_body_util  hyper  hyper_util     wire
//! askama  pulldown_cmark  http_path_template              wire
//! percent_encoding  tokio_io_timeout  tokio_util          wire
//! form_urlencoded                                         sms  wire
//! reqwest                                                 sms  webhook
//! lettre                                                  config  mail
//! phonenumber                                             config  sms
//! sea_orm  migrations                                     store
//! jsonwebtoken  quick_cache                               token
//! argon2  thread_priority                                 hash
//! chacha20poly1305                                        seal
//! totp_rs  qrcode  png                                    factor
//! clap  rpassword                                         cli  main
//! rlimit                                                  cli
//! humantime                                               clock
//! tracing_subscriber  tracing_opentelemetry               telemetry
//! tracing_appender                                        telemetry
//! opentelemetry  opentelemetry_sdk  opentelemetry_otlp    telemetry
//! opentelemetry_prometheus  prometheus                    telemetry
//! toml                                                    config  seal
//! redis                                                   ephemeral
//! rustls                                                  ephemeral  tls
//! rustls_native_certs  tokio_rustls  x509_parser          tls
//! url                                                     config
//! ipnet                                                   config  wire
//! ```
//!
//! A sign-in with a code passes five doors: `wire/grpc/twofa.rs` → `flow/verify.rs`, where an attempt of the challenge is taken
//! (`flow/attempt.rs`, `challenge.rs`, `ephemeral`) → `flow/prove.rs`, where a failure is paid before the code is looked at →
//! `factor/totp.rs` (right or wrong) → `store` (one transaction). Every other code of an enrolled factor goes by `prove.rs` too.
//! Over REST a door stands before the first: `wire/http/gateway.rs` makes the message and calls the same service in process. The
//! console, `wire/http/console/`, does so too: it is a client that keeps its session in cookies, and knows nothing but the rpcs.

pub mod app;
pub mod audit;
pub mod challenge;
pub mod cli;
pub mod clock;
pub mod config;
pub mod ephemeral;
pub mod error;
pub mod factor;
pub mod file;
pub mod flow;
pub mod hash;
pub mod limit;
pub mod mail;
pub mod model;
pub mod policy;
pub mod seal;
pub mod secret;
pub mod sms;
pub mod store;
pub mod swap;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod webhook;
pub mod wire;
