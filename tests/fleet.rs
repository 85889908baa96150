//! Replicas as they ship, several on the stores of production, and what happens to those: many at once, losses, cuts, kills.
//!
//! `FLEET_ROUNDS` says how often each race is run; without it, 3 times.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

#[path = "fleet/admins.rs"]
mod admins;
#[path = "fleet/audit.rs"]
mod audit;
#[path = "fleet/canary.rs"]
mod canary;
#[path = "fleet/collector.rs"]
mod collector;
#[path = "fleet/cuts.rs"]
mod cuts;
#[path = "fleet/floods.rs"]
mod floods;
#[path = "fleet/kills.rs"]
mod kills;
#[path = "fleet/losses.rs"]
mod losses;
#[path = "fleet/observed.rs"]
mod observed;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/peek.rs"]
mod peek;
#[path = "fleet/policy.rs"]
mod policy;
#[path = "fleet/probed.rs"]
mod probed;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "wire/provider.rs"]
mod provider;
#[path = "fleet/races.rs"]
mod races;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "wire/receiver.rs"]
mod receiver;
#[path = "fleet/replica.rs"]
mod replica;
#[path = "fleet/restart.rs"]
mod restart;
#[path = "fleet/restore.rs"]
mod restore;
#[path = "fleet/rotation.rs"]
mod rotation;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/mod.rs"]
mod servers;
#[path = "fleet/stories.rs"]
mod stories;
#[path = "fleet/texts.rs"]
mod texts;
#[path = "fleet/told.rs"]
mod told;
#[path = "fleet/upgrade.rs"]
mod upgrade;
