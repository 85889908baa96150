//! Redis.

/// The URL of a server for all tests of the process.
pub fn shared_url() -> String {
    "embedded".to_owned()
}
