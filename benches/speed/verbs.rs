//! The calls that are measured.

use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum;
use countersign::wire::pb;
use tonic::Response;

use crate::{
    crowd::{Challenge, Crowd, ended, from, words},
    limits::Limit,
    load::Answer,
    seed::Part,
};

/// A call, or several that make up one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Verb {
    LocalAuth,
    WeakLocalAuth,
    SignIn,
    VerifyTotp,
    VerifyBackup,
    Refresh,
    Validate,
    Status,
    Mix,
}

impl Verb {
    pub const ALL: [Self; 9] = [
        Self::LocalAuth,
        Self::WeakLocalAuth,
        Self::SignIn,
        Self::VerifyTotp,
        Self::VerifyBackup,
        Self::Refresh,
        Self::Validate,
        Self::Status,
        Self::Mix,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::LocalAuth => "LocalAuth, from a network that is known",
            Self::WeakLocalAuth => "LocalAuth with a weak hash, from a new network",
            Self::SignIn => "full sign-in (LocalAuth, Verify by TOTP)",
            Self::VerifyTotp => "Verify by TOTP",
            Self::VerifyBackup => "Verify by backup code",
            Self::Refresh => "RefreshSession",
            Self::Validate => "ValidateAccessToken",
            Self::Status => "GetTwoFaStatus",
            Self::Mix => "mix: 90 % validate, 6 % refresh, 2 % status, 1 % LocalAuth, 1 % full sign-in",
        }
    }

    /// Whether it hashes with every call.
    pub fn hashes(self) -> bool {
        matches!(self, Self::LocalAuth | Self::SignIn | Self::VerifyBackup)
    }

    /// What bounds it, and the word for that.
    pub fn limit(self) -> (&'static [Limit], &'static str) {
        match self {
            Self::LocalAuth | Self::SignIn | Self::VerifyBackup => (&[Limit::Argon2], "Argon2"),
            Self::VerifyTotp => (&[Limit::VerifyStatements], "its statements"),
            Self::Refresh => (&[Limit::Transaction], "transaction"),
            Self::Validate | Self::Status => {
                (&[Limit::EmptyCall, Limit::Eddsa, Limit::KeyRead], "empty call + EdDSA + read")
            }
            Self::WeakLocalAuth | Self::Mix => (&[], ""),
        }
    }

    /// Whose authenticators it takes codes of.
    pub fn uses_codes_of(self) -> Option<Part> {
        match self {
            Self::SignIn | Self::Mix => Some(Part::Enrolled),
            Self::VerifyTotp | Self::VerifyBackup => Some(Part::EnrolledWeak),
            Self::LocalAuth | Self::WeakLocalAuth | Self::Refresh | Self::Validate | Self::Status => None,
        }
    }

    /// Makes the call once.
    pub async fn call(self, crowd: &Crowd) -> Answer {
        match self {
            Self::LocalAuth => ended(crowd.local_auth(crowd.next_regular()).await),
            Self::WeakLocalAuth => ended(crowd.local_auth(crowd.next(Part::PlainWeak)).await),
            Self::SignIn => sign_in(crowd).await,
            Self::VerifyTotp => {
                let challenge = challenge(crowd)?;
                let code = crowd.code(challenge.user);
                ended(crowd.verify(challenge, code).await)
            }
            Self::VerifyBackup => {
                let challenge = challenge(crowd)?;
                let code = crowd.backup_code(challenge.user).to_owned();
                ended(crowd.verify(challenge, code).await)
            }
            Self::Refresh => refresh(crowd).await,
            Self::Validate => validate(crowd).await,
            Self::Status => status(crowd).await,
            Self::Mix => mix(crowd).await,
        }
    }
}

async fn sign_in(crowd: &Crowd) -> Answer {
    let user = crowd.next_with_code(Part::Enrolled).ok_or("every code is used up")?;
    let code = crowd.code(user);
    let opened = words(crowd.local_auth(user).await)?;
    ended(crowd.verify(Challenge { user, id: opened.challenge_id }, code).await)
}

fn challenge(crowd: &Crowd) -> Result<Challenge, String> {
    Ok(crowd.challenges.lock().unwrap().pop().ok_or("no challenge is left")?)
}

async fn refresh(crowd: &Crowd) -> Answer {
    let mut session = crowd.sessions.lock().unwrap().pop_front().ok_or("no session is left")?;
    let request = pb::RefreshSessionRequest { refresh_token: session.refresh_token.clone() };
    let answer = crowd.client().sessions.refresh_session(from(request, 0)).await.map(Response::into_inner);
    let renewed = words(answer)?;
    session.access_token = renewed.access_token;
    session.refresh_token = renewed.refresh_token;
    crowd.sessions.lock().unwrap().push_back(session);
    Ok(())
}

/// One of the sessions after the other.
fn access_token(crowd: &Crowd) -> Result<String, String> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let sessions = crowd.sessions.lock().unwrap();
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let session = sessions.get(turn % sessions.len().max(1)).ok_or("no session is left")?;
    Ok(session.access_token.clone())
}

async fn validate(crowd: &Crowd) -> Answer {
    let request = pb::ValidateAccessTokenRequest { access_token: access_token(crowd)? };
    let answer = words(crowd.client().sessions.validate_access_token(from(request, 0)).await)?.into_inner();
    if answer.status() == pb::TokenStatus::Authenticated { Ok(()) } else { Err("a good token is not taken".to_owned()) }
}

async fn status(crowd: &Crowd) -> Answer {
    let mut request = from(pb::GetTwoFaStatusRequest {}, 0);
    let token = format!("Bearer {}", access_token(crowd)?);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    ended(crowd.client().twofa.get_two_fa_status(request).await)
}

async fn mix(crowd: &Crowd) -> Answer {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    match TURN.fetch_add(1, Ordering::Relaxed) * 37 % 100 {
        0..90 => validate(crowd).await,
        90..96 => refresh(crowd).await,
        96..98 => status(crowd).await,
        98 => ended(crowd.local_auth(crowd.next_regular()).await),
        _ => sign_in(crowd).await,
    }
}
