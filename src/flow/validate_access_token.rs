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
#[tracing::instrument(target = "countersign::span", skip_all)]
pub async fn validate_access_token(kit: &Kit, token: &str, call: &Call) -> Result<TokenJudgement, Error> {
    Ok(match authenticate(kit, token, call).await? {
        None => without_session(kit, token, call).await?,
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

/// Blocking an account ends its sessions; whoever holds a token of one is told why it is no good.
async fn without_session(kit: &Kit, token: &str, call: &Call) -> Result<TokenJudgement, Error> {
    let Some(claims) = kit.access.read(token, call.now) else {
        return Ok(TokenJudgement::Unauthenticated);
    };
    let account = kit.store.find_account(claims.sub).await?;
    let is_blocked = account.is_some_and(|account| account.blocked);
    Ok(if is_blocked { TokenJudgement::UserBlocked(claims.sub) } else { TokenJudgement::Unauthenticated })
}
