//! What `build.rs` has made of `proto/`.

use std::fmt;

pub use generated::*;

#[allow(
    missing_docs,
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "generated code; its documentation stands in proto/"
)]
mod generated {
    tonic::include_proto!("countersign.v1");
}

/// The descriptors of every file with all their options.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptor.bin"));

/// Messages with secrets have no derived `Debug` (`build.rs`); this one tells their name alone.
macro_rules! unprintable {
    ($($message:ident),+ $(,)?) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($message))
            }
        })+
    };
}

unprintable!(
    LocalAuthRequest,
    LocalAuthResponse,
    EnableRequest,
    EnableResponse,
    VerifyRequest,
    VerifyResponse,
    RefreshSessionRequest,
    RefreshSessionResponse,
    ValidateAccessTokenRequest,
    GenerateBackupCodesRequest,
    GenerateBackupCodesResponse,
    DisableRequest,
    CreateChallengeResponse,
    SendCodeRequest,
    ChangePasswordRequest,
    SetPasswordRequest,
    SetPasswordResponse,
    CreateUserRequest,
    CreateUserResponse,
    IssuePasswordResetResponse,
    User,
);
