//! `SessionService`: message to verb and back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Admitted,
    convert::{id, methods, timestamp},
};
use crate::{
    error::Refusal,
    flow::{self, InCall, Kit, Page, PasswordSet, TokenJudgement},
    model::{AuditRecord, Caller, SessionDetails, SessionId},
    secret::Secret,
    token::keys::PublicKey,
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
        let mut admitted = Admitted::from_request(request)?;
        let token = match std::mem::take(&mut admitted.message.refresh_token) {
            token if token.is_empty() => bearer.and_then(|token| token.ok_or(Refusal::Unauthenticated)),
            token => Ok(Secret::new(token)),
        };
        let token = token.map_err(|refusal| status::refused(&refusal))?;
        let tokens = flow::refresh_session(&self.kit, &token, &admitted.call).await;
        let tokens = tokens.map_err(|error| admitted.refuse(error))?;
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
        let admitted = Admitted::from_request(request)?;
        let ended = match &admitted.caller {
            Caller::Enrollee(enrollee) => flow::end_enrolment_token(&self.kit, enrollee, &admitted.call).await,
            Caller::User(principal) => {
                flow::end_session(&self.kit, principal, admitted.message.all, &admitted.call).await
            }
            Caller::Anonymous => Err(Refusal::Unauthenticated.into()),
        };
        ended.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::EndSessionResponse {}))
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let principal = admitted.principal()?;
        let page = Page::of(admitted.message.page_size, &admitted.message.page_token);
        let page = page.map_err(|refusal| admitted.refuse(refusal))?;
        let page = flow::list_sessions(&self.kit, principal, page, &admitted.call).await;
        let page = page.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::ListSessionsResponse {
            sessions: page.sessions.into_iter().map(|details| shown(details, principal.session)).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    async fn delete_session(
        &self,
        request: Request<pb::DeleteSessionRequest>,
    ) -> Result<Response<pb::DeleteSessionResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let session = id("session_id", &admitted.message.session_id).and_then(|session| {
            session.ok_or_else(|| Refusal::field("session_id", "must name a session of ListSessions."))
        });
        let session = session.map_err(|refusal| admitted.refuse(refusal))?;
        let ended = flow::delete_session(&self.kit, admitted.principal()?, session, &admitted.call).await;
        ended.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::DeleteSessionResponse {}))
    }

    async fn validate_access_token(
        &self,
        request: Request<pb::ValidateAccessTokenRequest>,
    ) -> Result<Response<pb::ValidateAccessTokenResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let token = Secret::new(std::mem::take(&mut admitted.message.access_token));
        let judgement = flow::validate_access_token(&self.kit, token.expose(), &admitted.call).await;
        let (status, user_id, claims) = match judgement.map_err(|error| admitted.refuse(error))? {
            TokenJudgement::Authenticated(claims) => {
                (pb::TokenStatus::Authenticated, claims.sub.to_string(), Some(claims.into()))
            }
            TokenJudgement::Unauthenticated => (pb::TokenStatus::Unauthenticated, String::new(), None),
            TokenJudgement::Requires2fa(user) => (pb::TokenStatus::Requires2fa, user.to_string(), None),
            TokenJudgement::UserBlocked(user) => (pb::TokenStatus::UserBlocked, user.to_string(), None),
        };
        Ok(Response::new(pb::ValidateAccessTokenResponse { status: status.into(), user_id, claims }))
    }

    async fn get_jwks(&self, _: Request<pb::GetJwksRequest>) -> Result<Response<pb::GetJwksResponse>, Status> {
        let jwk = |key: PublicKey| pb::Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: key.x,
            kid: key.kid,
            r#use: "sig".to_owned(),
            alg: "EdDSA".to_owned(),
        };
        let keys = self.kit.access.public_keys().into_iter().map(jwk).collect();
        Ok(Response::new(pb::GetJwksResponse { keys }))
    }

    async fn get_current_user(
        &self,
        request: Request<pb::GetCurrentUserRequest>,
    ) -> Result<Response<pb::GetCurrentUserResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let account = flow::current_user(&self.kit, admitted.principal()?).await;
        let account = account.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::GetCurrentUserResponse {
            user_id: account.id.to_string(),
            email: account.email.typed().to_owned(),
            role: pb::Role::from(account.role).into(),
            create_time: Some(timestamp(account.create_time)),
            notice_email: account.notice_email.as_ref().map(|email| email.typed().to_owned()).unwrap_or_default(),
        }))
    }

    async fn list_security_events(
        &self,
        request: Request<pb::ListSecurityEventsRequest>,
    ) -> Result<Response<pb::ListSecurityEventsResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let principal = admitted.principal()?;
        let page = Page::of(admitted.message.page_size, &admitted.message.page_token);
        let page = page.map_err(|refusal| admitted.refuse(refusal))?;
        let page = flow::list_security_events(&self.kit, principal, page).await;
        let page = page.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::ListSecurityEventsResponse {
            security_events: page.records.into_iter().map(event).collect(),
            next_page_token: page.next.map(|position| position.to_string()).unwrap_or_default(),
        }))
    }

    async fn change_password(
        &self,
        request: Request<pb::ChangePasswordRequest>,
    ) -> Result<Response<pb::ChangePasswordResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let message = std::mem::take(&mut admitted.message);
        let wanted = flow::ChangePasswordRequest {
            current_password: Secret::new(message.current_password),
            new_password: Secret::new(message.new_password),
            proof: InCall { code: message.code, challenge_id: message.challenge_id },
        };
        let changed = flow::change_password(&self.kit, admitted.principal()?, &wanted, &admitted.call).await;
        changed.map_err(|error| admitted.refuse(error))?;
        let text = "The password is changed. Every other session of the account has ended.";
        Ok(Response::new(pb::ChangePasswordResponse { message: text.to_owned() }))
    }

    async fn set_password(
        &self,
        request: Request<pb::SetPasswordRequest>,
    ) -> Result<Response<pb::SetPasswordResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let message = std::mem::take(&mut admitted.message);
        let wanted = flow::SetPasswordRequest {
            token: Secret::new(message.token),
            new_password: Secret::new(message.new_password),
            code: message.code,
            challenge_id: message.challenge_id,
        };
        let set = flow::set_password(&self.kit, &wanted, &admitted.call).await;
        Ok(Response::new(match set.map_err(|error| admitted.refuse(error))? {
            PasswordSet::Done => pb::SetPasswordResponse {
                message: "The password is set. Sign in with it.".to_owned(),
                ..Default::default()
            },
            PasswordSet::Challenge(challenge) => pb::SetPasswordResponse {
                message: "2FA required".to_owned(),
                two_fa_required: true,
                challenge_id: challenge.handle.to_text(),
                methods: methods(challenge.methods),
                expire_time: Some(timestamp(challenge.end_time)),
            },
        }))
    }
}

/// A record as the owner of the account sees it: of an administrator they see what was done, and not from where.
fn event(record: AuditRecord) -> pb::SecurityEvent {
    let by_admin = record.admin.is_some_and(|admin| Some(admin) != record.subject);
    let own = |text: String| if by_admin { String::new() } else { text };
    pb::SecurityEvent {
        create_time: Some(timestamp(record.create_time)),
        kind: record.kind,
        method: record.method.unwrap_or_default(),
        by_admin,
        source: own(record.source),
        user_agent: own(record.user_agent),
        session_id: record.session.map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// A session, as those see it who may; `current` is that of the call.
pub fn shown(details: SessionDetails, current: SessionId) -> pb::Session {
    let proof = &details.session.proof;
    pb::Session {
        session_id: details.session.id.to_string(),
        current: details.session.id == current,
        create_time: Some(timestamp(details.create_time)),
        refresh_time: details.refresh_time.map(timestamp),
        expire_time: Some(timestamp(details.session.idle_end_time)),
        source: details.source,
        user_agent: details.user_agent,
        amr: proof.amr.words().to_vec(),
        acr: proof.acr.urn().to_owned(),
    }
}
