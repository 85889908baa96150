//! Everything that a client can see, over gRPC and over REST. Each test has its own whole world.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod access;
mod activity;
mod admin;
mod admin_help;
mod admin_settings;
mod admin_users;
mod audit;
mod audit_damage;
mod audit_watch;
mod backup_codes;
mod browser;
mod console;
mod console_admin;
mod console_deeds;
mod console_forms;
mod console_live;
mod console_settings;
mod console_sign_in;
mod console_step_up;
mod cookie;
mod damage;
mod disable;
mod enrolment;
mod gateway;
mod grace;
mod login;
mod notices;
mod openapi;
mod passwords;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "../servers/peek.rs"]
mod peek;
mod phone;
mod plain;
mod postbox;
mod provider;
mod providers;
mod races;
mod receiver;
mod required;
mod rest;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "../servers/mod.rs"]
mod servers;
mod sessions;
mod small_print;
mod sms_cost;
mod sources;
mod stack;
mod step_up;
mod tokens;
mod transcoding;
mod transport;
mod user_sessions;
mod webhooks;
mod world;
