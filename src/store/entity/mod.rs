//! The rows, as sea-orm sees them. They never leave `store`.

pub mod audit_chain;
pub mod audit_event;
pub mod bucket;
pub mod create_request;
pub mod data_key;
pub mod delivery;
pub mod delivery_cursor;
pub mod factor;
pub mod factor_failure;
pub mod key_check;
pub mod known_network;
pub mod password_token;
pub mod replica;
pub mod reseal;
pub mod restore_fence;
pub mod session;
pub mod setting;
pub mod settings_version;
pub mod sms_prefix;
pub mod spent_challenge;
pub mod user;
