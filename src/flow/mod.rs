//! What can be done, a verb a file. A verb takes what it needs from the kit, the call it serves, and its arguments.

mod add_user;
pub mod admin;
mod again;
mod attempt;
pub mod audit;
mod authenticate;
mod change_password;
mod create_challenge;
mod current_user;
mod delete_session;
mod disable;
mod enable;
mod end_session;
mod generate_backup_codes;
mod in_time;
mod issue_password_token;
pub mod keys;
mod list_security_events;
mod list_sessions;
mod list_users;
mod local_auth;
mod mint;
pub mod notify;
mod paging;
mod prove;
mod record_refusals;
mod refresh_session;
mod reset_second_factor;
pub mod restore;
mod send_code;
mod set_password;
mod sms_status;
mod sweep;
mod two_fa_status;
mod unlock_user;
mod validate_access_token;
mod verify;

use std::sync::Arc;

use tokio::sync::watch;

pub use add_user::{NewUser, add_user};
pub use attempt::OpenChallenge;
pub use authenticate::{Authenticated, authenticate};
pub use change_password::{ChangePasswordRequest, change_password};
pub use create_challenge::create_challenge;
pub use current_user::current_user;
pub use delete_session::delete_session;
pub use disable::{DisableRequest, What, disable};
pub use enable::{EnableRequest, Enabled, Shown, enable};
pub use end_session::{end_enrolment_token, end_session};
pub use generate_backup_codes::generate_backup_codes;
pub use in_time::in_time;
pub use issue_password_token::{LIFE as PASSWORD_TOKEN_LIFE, issue_password_token};
pub use list_security_events::{EventPage, list_security_events};
pub use list_sessions::{SessionPage, list_sessions};
pub use list_users::{ListedUser, UserPage, list_users};
pub use local_auth::{SignIn, Sources, local_auth};
pub use mint::Tokens;
pub use paging::Page;
pub use prove::InCall;
pub use record_refusals::{Refusals, record_refusals};
pub use refresh_session::refresh_session;
pub use reset_second_factor::reset_second_factor;
pub use send_code::{Letters, Outbox, Sent, deliver, send_code};
pub use set_password::{PasswordSet, SetPasswordRequest, replace_password, set_password};
pub use sms_status::{SmsStatus, sms_status};
pub use sweep::sweep;
pub use two_fa_status::{ListedFactor, TwoFaStatus, two_fa_status};
pub use unlock_user::unlock_user;
pub use validate_access_token::{TokenJudgement, validate_access_token};
pub use verify::{Verified, VerifyRequest, verify};

use crate::{
    clock::Timestamp,
    ephemeral::Ephemeral,
    error::Error,
    factor,
    hash::Hasher,
    mail::Mail,
    model::{EnrolledFactor, Offer, Origin, Settings},
    seal::KeyRing,
    sms::Sms,
    store::Store,
    token::access::AccessTokens,
    webhook::Webhook,
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
    pub service_name: String,
    /// How often a source may be wrong.
    pub sources: Sources,
    /// Callers who were told to wait, not yet written to the audit log.
    pub refusals: Refusals,
    /// What sends text messages; None = nothing does.
    pub sms: Option<Sms>,
    /// What tells the operator's webhook; None = there is none.
    pub webhook: Option<Webhook>,
    /// What sends mail to users; None = nothing does.
    pub mail: Option<Mail>,
    /// Text messages on their way.
    pub outbox: Outbox,
    /// The policy, as it was read last.
    pub settings: watch::Sender<Settings>,
}

impl Kit {
    /// The policy.
    pub fn settings(&self) -> Settings {
        self.settings.borrow().clone()
    }

    /// Goes by another policy from now on, unless it is an older one: what was read before a change is of no use after it.
    pub fn follow(&self, settings: Settings) {
        self.settings.send_if_modified(|known| {
            let is_newer = settings.version >= known.version && settings != *known;
            if is_newer {
                *known = settings;
            }
            is_newer
        });
    }

    /// What can be asked of a user with these factors, what policy prefers first.
    fn offers(&self, factors: &[EnrolledFactor]) -> Result<Vec<Offer>, Error> {
        factor::offers(factors, self.settings.borrow().preferred_method)
    }
}

/// The call that a verb serves.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub now: Timestamp,
    /// Where it came from.
    pub origin: Origin,
}
