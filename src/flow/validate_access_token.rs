//! Tells whether an access token is good now.

use super::{Authenticated, Call, Kit, authenticate};
use crate::{error::Error, model::UserId, policy, token::access::Claims};

/// What is said of a token.
pub enum TokenJudgement {
    /// It is good.
    Authenticated(Claims),
    /// It is not.
    Unauthenticated,
    /// It is an enrolment token, or of a session of one factor where policy asks for two.
    Requires2fa(UserId),
    /// Its user is blocked.
    UserBlocked(UserId),
}

/// Judges a token by signature, claims, session and account.
pub async fn validate_access_token(kit: &Kit, token: &str, call: &Call) -> Result<TokenJudgement, Error> {
    Ok(match authenticate(kit, token, call).await? {
        None => TokenJudgement::Unauthenticated,
        Some(Authenticated::Enrollee(enrollee)) => TokenJudgement::Requires2fa(enrollee.user),
        Some(Authenticated::Session(session)) => match *session {
            (claims, live) if live.blocked => TokenJudgement::UserBlocked(claims.sub),
            (claims, live) if policy::is_short_of_a_factor(&kit.settings(), &live, call.now) => {
                TokenJudgement::Requires2fa(claims.sub)
            }
            (claims, _) => TokenJudgement::Authenticated(claims),
        },
    })
}
