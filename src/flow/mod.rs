//! What can be done, a verb a file. A verb takes what it needs from the kit, the call it serves, and its arguments.

mod add_user;
mod current_user;
mod enable;
mod end_session;
mod local_auth;
mod mint;
mod refresh_session;
mod set_password;
mod sweep;
mod two_fa_status;
mod validate_access_token;
mod verify;

use std::sync::Arc;

pub use add_user::{NewUser, add_user};
pub use current_user::current_user;
pub use enable::{EnableRequest, Enabled, enable};
pub use end_session::end_session;
pub use local_auth::{SignIn, local_auth};
pub use mint::Tokens;
pub use refresh_session::refresh_session;
pub use set_password::set_password;
pub use sweep::sweep;
pub use two_fa_status::{TwoFaStatus, two_fa_status};
pub use validate_access_token::{TokenJudgement, authenticate, validate_access_token};
pub use verify::{Verified, VerifyRequest, verify};

use crate::{
    clock::Timestamp, ephemeral::Ephemeral, hash::Hasher, model::Origin, seal::KeyRing, store::Store,
    token::access::AccessTokens,
};

/// What the verbs work with.
pub struct Kit {
    /// Durable state.
    pub store: Store,
    /// State that may be lost.
    pub ephemeral: Arc<dyn Ephemeral>,
    /// The key ring.
    pub ring: Arc<KeyRing>,
    /// The password hashing pool.
    pub hasher: Hasher,
    /// Access tokens.
    pub access: AccessTokens,
    /// The name of the service in authenticator apps.
    pub totp_issuer: String,
}

/// The call that a verb serves.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub now: Timestamp,
    /// Where it came from.
    pub origin: Origin,
}
