//! Opens sessions and makes tokens: the one place where a proof becomes a token.

use super::{Call, Kit};
use crate::{
    error::Error,
    model::{NewSession, Proof, Role, Session, SessionId, UserId},
    secret::Secret,
    store::Tx,
    token::{
        access,
        refresh::{ABSOLUTE_LIFE, IDLE_LIFE, RefreshToken},
    },
};

/// What a proof gives.
pub struct Tokens {
    /// The access token.
    pub access_token: Secret<String>,
    /// The refresh token of a new session; None when the session goes on with the one that it has.
    pub refresh_token: Option<Secret<String>>,
    /// Life of the access token in seconds.
    pub expires_in: i32,
}

impl Kit {
    /// Opens a session in the transaction; its tokens count once the transaction is committed.
    pub(super) async fn open_session(
        &self,
        tx: &Tx,
        user: UserId,
        proof: Proof,
        call: &Call,
    ) -> Result<(Session, RefreshToken), Error> {
        let end_time = call.now.plus(ABSOLUTE_LIFE);
        let idle_end_time = call.now.plus(IDLE_LIFE).min(end_time);
        let session = Session { id: SessionId::new(call.now), user, proof, idle_end_time, end_time };
        let refresh = RefreshToken::first(session.id)?;
        let new =
            NewSession { session: session.clone(), family_hash: refresh.family_hash(), refresh_hash: refresh.hash() };
        tx.insert_session(&new, &call.origin, call.now).await?;
        Ok((session, refresh))
    }

    /// Makes the tokens of a session whose transaction is committed.
    pub(super) fn tokens(
        &self,
        session: &Session,
        role: Role,
        refresh_token: Option<Secret<String>>,
        call: &Call,
    ) -> Result<Tokens, Error> {
        Ok(Tokens {
            access_token: Secret::new(self.access.issue(session, role, call.now)?),
            refresh_token,
            expires_in: i32::try_from(access::LIFE.as_secs()).unwrap_or(i32::MAX),
        })
    }
}
