//! What the stores promise, run on every home that ships; and what the hash pool promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

#[path = "contract/audit_ends.rs"]
mod audit_ends;
#[path = "contract/audit_retention.rs"]
mod audit_retention;
#[path = "contract/counters.rs"]
mod counters;
#[path = "contract/deliveries.rs"]
mod deliveries;
#[path = "contract/delivery.rs"]
mod delivery;
#[path = "contract/ended_sessions.rs"]
mod ended_sessions;
#[path = "contract/ephemeral.rs"]
mod ephemeral;
#[path = "contract/guard.rs"]
mod guard;
#[path = "contract/hashing.rs"]
mod hashing;
#[path = "contract/home.rs"]
mod home;
#[path = "contract/key_faults.rs"]
mod key_faults;
#[path = "contract/keys.rs"]
mod keys;
#[path = "contract/kit.rs"]
mod kit;
#[path = "contract/lost_role.rs"]
mod lost_role;
#[path = "contract/meanwhile.rs"]
mod meanwhile;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/peek.rs"]
mod peek;
#[path = "contract/read_only.rs"]
mod read_only;
#[path = "contract/redis.rs"]
mod redis;
#[path = "contract/restore.rs"]
mod restore;
#[path = "contract/roots.rs"]
mod roots;
#[path = "contract/round_trips.rs"]
mod round_trips;
#[path = "contract/schema.rs"]
mod schema;
#[allow(dead_code, reason = "the other suites use what this one does not")]
#[path = "servers/mod.rs"]
mod servers;
#[path = "contract/short_sessions.rs"]
mod short_sessions;
#[path = "contract/small_print.rs"]
mod small_print;
#[path = "contract/sources.rs"]
mod sources;
#[path = "contract/store.rs"]
mod store;
#[path = "contract/tls.rs"]
mod tls;
#[path = "contract/told.rs"]
mod told;
