//! Where a call comes from, for the audit log and the limits.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::UserId;

/// Where a call comes from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The network address of the caller.
    pub source: IpAddr,
    /// What the caller says it is; at most 256 bytes of it.
    pub user_agent: String,
    /// The id that the logs of this call carry.
    pub request_id: String,
    /// The trace that the call is a part of (W3C Trace Context): 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// The administrator who acts, where it is one who acts on another account or on the policy.
    pub admin: Option<UserId>,
}

impl Origin {
    /// The command line of this machine.
    pub fn command_line() -> Self {
        Self {
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            user_agent: "countersign command line".to_owned(),
            request_id: String::new(),
            trace_id: None,
            admin: None,
        }
    }
}
