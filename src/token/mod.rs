//! What callers are given: access tokens, refresh tokens, and the keys that the former are signed with.

pub mod access;
pub mod keys;
pub mod refresh;
