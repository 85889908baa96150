//! The audit log as it is read.

use crate::{
    clock::Timestamp,
    model::{AuditEventId, SessionId, UserId},
};

/// A record of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its id.
    pub id: AuditEventId,
    /// When it happened.
    pub create_time: Timestamp,
    /// What happened, as a word.
    pub kind: String,
    /// The reason of the refusal, when it was one.
    pub reason: Option<String>,
    /// Whose account it happened to.
    pub subject: Option<UserId>,
    /// Keyed hash of the e-mail address that was typed, where one was.
    pub identifier_hash: Option<Vec<u8>>,
    /// The session that it happened to.
    pub session: Option<SessionId>,
    /// The method that was judged, as a word.
    pub method: Option<String>,
    /// How often it happened, where one record stands for many.
    pub count: Option<i64>,
    /// The network address of the caller.
    pub source: String,
    /// What the caller says it is.
    pub user_agent: String,
    /// The id that the logs of the call carry.
    pub request_id: String,
    /// The trace that the call was a part of (W3C Trace Context).
    pub trace_id: Option<String>,
    /// The administrator who did it, where it was one.
    pub admin: Option<UserId>,
    /// Words for whoever reads it.
    pub note: Option<String>,
}

/// What stands for a record in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// What the record should be authenticated by, made of what it holds now.
    pub expected: [u8; 32],
    /// What it is authenticated by; None = it is of a release that did not.
    pub mac: Option<Vec<u8>>,
    /// Its place; None = it has none yet.
    pub position: Option<i64>,
    /// The link of the chain that it is; None = it is none yet.
    pub link: Option<Vec<u8>>,
    /// When it was given its place.
    pub seal_time: Option<Timestamp>,
}

/// A place in the chain, and the link there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPoint {
    /// The place.
    pub position: i64,
    /// The link.
    pub hash: [u8; 32],
    /// Whether a record before it was authenticated: then all that follow must be. (Said of the place that the log begins after.)
    pub is_authenticated: bool,
    /// The key that it is signed by; empty = it is the beginning.
    pub key_id: String,
    /// The signature.
    pub signature: Vec<u8>,
}
