//! `TwoFaService`: message to verb and back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Admitted,
    convert::{method, timestamp},
    refuse,
};
use crate::{
    error::Refusal,
    flow::{self, Kit, SignIn, Tokens},
    model::{Method, Purpose},
    secret::Secret,
    wire::{pb, status},
};

/// The service.
pub struct TwoFa {
    kit: Arc<Kit>,
}

impl TwoFa {
    /// The service over a kit.
    pub fn new(kit: Arc<Kit>) -> Self {
        Self { kit }
    }
}

#[tonic::async_trait]
impl pb::two_fa_service_server::TwoFaService for TwoFa {
    async fn local_auth(
        &self,
        request: Request<pb::LocalAuthRequest>,
    ) -> Result<Response<pb::LocalAuthResponse>, Status> {
        let Admitted { call, message, .. } = Admitted::from_request(request)?;
        let password = Secret::new(message.password);
        let sign_in = flow::local_auth(&self.kit, &message.email, &password, &call).await.map_err(refuse(&call))?;
        Ok(Response::new(match sign_in {
            SignIn::Tokens(tokens) => signed_in(&tokens),
            SignIn::Challenge { id, methods, end_time } => pb::LocalAuthResponse {
                message: "2FA required".to_owned(),
                two_fa_required: true,
                challenge_id: id.to_text(),
                methods: methods.into_iter().map(|method| pb::Method::from(method).into()).collect(),
                expire_time: Some(timestamp(end_time)),
                ..Default::default()
            },
        }))
    }

    async fn enable(&self, request: Request<pb::EnableRequest>) -> Result<Response<pb::EnableResponse>, Status> {
        let Admitted { call, caller, message } = Admitted::from_request(request)?;
        let principal = caller.principal().map_err(|refusal| status::refused(&refusal))?;
        let method = method(message.method).map_err(|refusal| status::refused(&refusal))?;
        let wanted = flow::EnableRequest { method: method.unwrap_or(Method::Totp), label: message.label };
        let enabled = flow::enable(&self.kit, principal, wanted, &call).await.map_err(refuse(&call))?;
        Ok(Response::new(pb::EnableResponse {
            method: pb::Method::from(enabled.method).into(),
            challenge_id: enabled.id.to_text(),
            qr_code: enabled.enrolment.qr_code.expose().clone(),
            secret: enabled.enrolment.secret.expose().clone(),
            otpauth_uri: enabled.enrolment.uri.expose().clone(),
            expire_time: Some(timestamp(enabled.end_time)),
            message: enabled.enrolment.instruction.to_owned(),
        }))
    }

    async fn verify(&self, request: Request<pb::VerifyRequest>) -> Result<Response<pb::VerifyResponse>, Status> {
        let Admitted { call, caller, message } = Admitted::from_request(request)?;
        let method = method(message.method).map_err(|refusal| status::refused(&refusal))?;
        let answer = flow::VerifyRequest { code: message.code, challenge_id: message.challenge_id, method };
        let verified = flow::verify(&self.kit, caller.find_principal(), &answer, &call).await.map_err(refuse(&call))?;
        let text = match verified.purpose {
            Purpose::Login => "You are signed in.",
            Purpose::Enrolment => "Two-factor authentication is on. Sign-in asks for a code from now on.",
        };
        Ok(Response::new(pb::VerifyResponse {
            message: text.to_owned(),
            purpose: pb::Purpose::from(verified.purpose).into(),
            access_token: verified.tokens.access_token.expose().clone(),
            refresh_token: refresh_token(&verified.tokens),
            token_type: "Bearer".to_owned(),
            expires_in: verified.tokens.expires_in,
        }))
    }

    async fn get_two_fa_status(
        &self,
        request: Request<pb::GetTwoFaStatusRequest>,
    ) -> Result<Response<pb::GetTwoFaStatusResponse>, Status> {
        let Admitted { call, caller, .. } = Admitted::from_request(request)?;
        let principal = caller.principal().map_err(|refusal: Refusal| status::refused(&refusal))?;
        let status = flow::two_fa_status(&self.kit, principal).await.map_err(refuse(&call))?;
        Ok(Response::new(pb::GetTwoFaStatusResponse {
            enabled: !status.factors.is_empty(),
            factors: status.factors.into_iter().map(Into::into).collect(),
        }))
    }
}

fn signed_in(tokens: &Tokens) -> pb::LocalAuthResponse {
    pb::LocalAuthResponse {
        message: "You are signed in.".to_owned(),
        access_token: tokens.access_token.expose().clone(),
        refresh_token: refresh_token(tokens),
        token_type: "Bearer".to_owned(),
        expires_in: tokens.expires_in,
        ..Default::default()
    }
}

fn refresh_token(tokens: &Tokens) -> String {
    tokens.refresh_token.as_ref().map(|token| token.expose().clone()).unwrap_or_default()
}
