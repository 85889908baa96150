//! `SessionService`: message to verb and back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{Admitted, convert::timestamp, refuse};
use crate::{
    error::Refusal,
    flow::{self, Kit, TokenJudgement},
    secret::Secret,
    wire::{caller, pb, status},
};

/// The service.
pub struct Session {
    kit: Arc<Kit>,
}

impl Session {
    /// The service over a kit.
    pub fn new(kit: Arc<Kit>) -> Self {
        Self { kit }
    }
}

#[tonic::async_trait]
impl pb::session_service_server::SessionService for Session {
    async fn refresh_session(
        &self,
        request: Request<pb::RefreshSessionRequest>,
    ) -> Result<Response<pb::RefreshSessionResponse>, Status> {
        let bearer = caller::bearer(request.metadata().as_ref());
        let Admitted { call, message, .. } = Admitted::from_request(request)?;
        let token = match message.refresh_token {
            token if token.is_empty() => bearer.and_then(|token| token.ok_or(Refusal::Unauthenticated)),
            token => Ok(Secret::new(token)),
        };
        let token = token.map_err(|refusal| status::refused(&refusal))?;
        let tokens = flow::refresh_session(&self.kit, &token, &call).await.map_err(refuse(&call))?;
        Ok(Response::new(pb::RefreshSessionResponse {
            access_token: tokens.access_token.expose().clone(),
            refresh_token: tokens.refresh_token.map(|token| token.expose().clone()).unwrap_or_default(),
            token_type: "Bearer".to_owned(),
            expires_in: tokens.expires_in,
        }))
    }

    async fn end_session(
        &self,
        request: Request<pb::EndSessionRequest>,
    ) -> Result<Response<pb::EndSessionResponse>, Status> {
        let Admitted { call, caller, message } = Admitted::from_request(request)?;
        let principal = caller.principal().map_err(|refusal| status::refused(&refusal))?;
        flow::end_session(&self.kit, principal, message.all, &call).await.map_err(refuse(&call))?;
        Ok(Response::new(pb::EndSessionResponse {}))
    }

    async fn validate_access_token(
        &self,
        request: Request<pb::ValidateAccessTokenRequest>,
    ) -> Result<Response<pb::ValidateAccessTokenResponse>, Status> {
        let Admitted { call, message, .. } = Admitted::from_request(request)?;
        let token = Secret::new(message.access_token);
        let judgement = flow::validate_access_token(&self.kit, token.expose(), &call).await.map_err(refuse(&call))?;
        let (status, user_id, claims) = match judgement {
            TokenJudgement::Authenticated(claims) => {
                (pb::TokenStatus::Authenticated, claims.sub.to_string(), Some(claims.into()))
            }
            TokenJudgement::Unauthenticated => (pb::TokenStatus::Unauthenticated, String::new(), None),
            TokenJudgement::UserBlocked(user) => (pb::TokenStatus::UserBlocked, user.to_string(), None),
        };
        Ok(Response::new(pb::ValidateAccessTokenResponse { status: status.into(), user_id, claims }))
    }

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let keys = self.kit.access.public_keys().into_iter();
        let jwk = |key: crate::token::keys::PublicKey| pb::Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: key.x,
            kid: key.kid,
            r#use: "sig".to_owned(),
            alg: "EdDSA".to_owned(),
        };
        Ok(Response::new(pb::GetJwksResponse { keys: keys.map(jwk).collect() }))
    }

    async fn get_current_user(
        &self,
        request: Request<pb::GetCurrentUserRequest>,
    ) -> Result<Response<pb::GetCurrentUserResponse>, Status> {
        let Admitted { call, caller, .. } = Admitted::from_request(request)?;
        let principal = caller.principal().map_err(|refusal| status::refused(&refusal))?;
        let account = flow::current_user(&self.kit, principal).await.map_err(refuse(&call))?;
        Ok(Response::new(pb::GetCurrentUserResponse {
            user_id: account.id.to_string(),
            email: account.email.typed().to_owned(),
            role: pb::Role::from(account.role).into(),
            create_time: Some(timestamp(account.create_time)),
        }))
    }
}
