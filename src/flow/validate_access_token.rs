//! Tells whether an access token is good now.

use super::{Call, Kit};
use crate::{
    error::Error,
    model::{LiveSession, UserId},
    token::access::Claims,
};

/// What is said of a token.
pub enum TokenJudgement {
    /// It is good.
    Authenticated(Claims),
    /// It is not.
    Unauthenticated,
    /// Its user is blocked.
    UserBlocked(UserId),
}

/// Judges a token by signature, claims, session and account.
pub async fn validate_access_token(kit: &Kit, token: &str, call: &Call) -> Result<TokenJudgement, Error> {
    Ok(match authenticate(kit, token, call).await? {
        None => TokenJudgement::Unauthenticated,
        Some((claims, live)) if live.blocked => TokenJudgement::UserBlocked(claims.sub),
        Some((claims, _)) => TokenJudgement::Authenticated(claims),
    })
}

/// The session that a token is of, in one read by primary key; None when the token is not good or its session has ended.
pub async fn authenticate(kit: &Kit, token: &str, call: &Call) -> Result<Option<(Claims, LiveSession)>, Error> {
    let Some(claims) = kit.access.read(token, call.now) else {
        return Ok(None);
    };
    let live = kit.store.find_live_session(claims.sid).await?;
    let live = live.filter(|live| live.session.user == claims.sub && live.session.is_alive(call.now));
    Ok(live.map(|live| (claims, live)))
}
