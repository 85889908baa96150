//! `TwoFaService`: message to verb and back.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    Admitted,
    convert::{count, duration, exposed, factor, id, method, methods, timestamp},
};
use crate::{
    clock::Timestamp,
    error::Refusal,
    factor::phone::NOTICE,
    flow::{self, InCall, Kit, Shown, SignIn, Tokens, What},
    model::{FactorId, Method, Purpose},
    secret::Secret,
    wire::pb,
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
        let mut admitted = Admitted::from_request(request)?;
        let password = Secret::new(std::mem::take(&mut admitted.message.password));
        let sign_in = flow::local_auth(&self.kit, &admitted.message.email, &password, &admitted.call).await;
        Ok(Response::new(match sign_in.map_err(|error| admitted.refuse(error))? {
            SignIn::Tokens { tokens, grace_end } => signed_in(&tokens, grace_end),
            SignIn::Challenge(challenge) => pb::LocalAuthResponse {
                message: "2FA required".to_owned(),
                two_fa_required: true,
                challenge_id: challenge.handle.to_text(),
                methods: methods(challenge.methods),
                expire_time: Some(timestamp(challenge.end_time)),
                masked_phone_number: challenge.masked_number.unwrap_or_default(),
                ..Default::default()
            },
            SignIn::Enrolment { token, end_time } => pb::LocalAuthResponse {
                message: "A second factor is required. Enrol one: Enable and Verify, with the enrolment token as Bearer token."
                    .to_owned(),
                enrollment_required: true,
                enrollment_token: token.to_text(),
                expire_time: Some(timestamp(end_time)),
                ..Default::default()
            },
        }))
    }

    async fn enable(&self, request: Request<pb::EnableRequest>) -> Result<Response<pb::EnableResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let wanted = flow::EnableRequest {
            method: method(admitted.message.method).map_err(|refusal| admitted.refuse(refusal))?,
            replaces: id("factor_id", &admitted.message.factor_id).map_err(|refusal| admitted.refuse(refusal))?,
            label: std::mem::take(&mut admitted.message.label),
            phone_number: std::mem::take(&mut admitted.message.phone_number),
        };
        let enabled = flow::enable(&self.kit, &admitted.caller, wanted, &admitted.call).await;
        let enabled = enabled.map_err(|error| admitted.refuse(error))?;
        let answer = pb::EnableResponse {
            method: pb::Method::from(enabled.method).into(),
            challenge_id: enabled.handle.to_text(),
            expire_time: Some(timestamp(enabled.end_time)),
            ..Default::default()
        };
        Ok(Response::new(match enabled.shown {
            Shown::Key(enrolment) => pb::EnableResponse {
                qr_code: enrolment.qr_code.expose().clone(),
                secret: enrolment.secret.expose().clone(),
                otpauth_uri: enrolment.uri.expose().clone(),
                message: enrolment.instruction.to_owned(),
                ..answer
            },
            Shown::Phone(sent) => pb::EnableResponse {
                message: format!("A code is on its way to {}. Confirm with it. {NOTICE}", sent.masked_number),
                masked_phone_number: sent.masked_number,
                ..answer
            },
        }))
    }

    async fn verify(&self, request: Request<pb::VerifyRequest>) -> Result<Response<pb::VerifyResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let answer = flow::VerifyRequest {
            method: method(admitted.message.method).map_err(|refusal| admitted.refuse(refusal))?,
            code: std::mem::take(&mut admitted.message.code),
            challenge_id: std::mem::take(&mut admitted.message.challenge_id),
        };
        let verified = flow::verify(&self.kit, &admitted.caller, &answer, &admitted.call).await;
        let verified = verified.map_err(|error| admitted.refuse(error))?;
        let text = match verified.purpose {
            Purpose::Login if verified.is_led_on => {
                "You are signed in. Your second factor is of a method that is switched off: it goes on to work; enrol another one \
                 with Enable."
            }
            Purpose::Login => "You are signed in.",
            Purpose::Enrolment if verified.backup_codes.is_empty() => "The factor is confirmed.",
            Purpose::Enrolment => {
                "Two-factor authentication is on. Sign-in asks for a code from now on. Keep the backup codes in a safe place: they \
                 are not shown again."
            }
            Purpose::StepUp => "The second factor is proven.",
            Purpose::PasswordReset => "",
        };
        Ok(Response::new(pb::VerifyResponse {
            message: text.to_owned(),
            purpose: pb::Purpose::from(verified.purpose).into(),
            access_token: verified.tokens.access_token.expose().clone(),
            refresh_token: refresh_token(&verified.tokens),
            token_type: "Bearer".to_owned(),
            expires_in: verified.tokens.expires_in,
            backup_codes: exposed(&verified.backup_codes),
            backup_codes_remaining: count(verified.backup_codes_remaining),
            enrollment_recommended: verified.is_led_on,
        }))
    }

    async fn generate_backup_codes(
        &self,
        request: Request<pb::GenerateBackupCodesRequest>,
    ) -> Result<Response<pb::GenerateBackupCodesResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let proof = InCall {
            code: std::mem::take(&mut admitted.message.code),
            challenge_id: std::mem::take(&mut admitted.message.challenge_id),
        };
        let codes = flow::generate_backup_codes(&self.kit, admitted.principal()?, &proof, &admitted.call).await;
        let codes = codes.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::GenerateBackupCodesResponse { backup_codes: exposed(&codes) }))
    }

    async fn disable(&self, request: Request<pb::DisableRequest>) -> Result<Response<pb::DisableResponse>, Status> {
        let mut admitted = Admitted::from_request(request)?;
        let method = method(admitted.message.method).map_err(|refusal| admitted.refuse(refusal))?;
        let factor: Option<FactorId> =
            id("factor_id", &admitted.message.factor_id).map_err(|refusal| admitted.refuse(refusal))?;
        if method.is_some() && factor.is_some() {
            return Err(admitted.refuse(Refusal::field("factor_id", "goes without method: name the one or the other.")));
        }
        let wanted = flow::DisableRequest {
            what: factor.map(What::Factor).or(method.map(What::Method)).unwrap_or(What::All),
            proof: InCall {
                code: std::mem::take(&mut admitted.message.code),
                challenge_id: std::mem::take(&mut admitted.message.challenge_id),
            },
        };
        let is_on = flow::disable(&self.kit, admitted.principal()?, &wanted, &admitted.call).await;
        let text = if is_on.map_err(|error| admitted.refuse(error))? {
            "Removed. Two-factor authentication is still on."
        } else {
            "Two-factor authentication is off. The password is enough to sign in."
        };
        Ok(Response::new(pb::DisableResponse { message: text.to_owned() }))
    }

    async fn create_challenge(
        &self,
        request: Request<pb::CreateChallengeRequest>,
    ) -> Result<Response<pb::CreateChallengeResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let method = method(admitted.message.method).map_err(|refusal| admitted.refuse(refusal))?;
        let challenge = flow::create_challenge(&self.kit, admitted.principal()?, method, &admitted.call).await;
        let challenge = challenge.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::CreateChallengeResponse {
            message: "2FA required".to_owned(),
            two_fa_required: true,
            challenge_id: challenge.handle.to_text(),
            methods: methods(challenge.methods),
            expire_time: Some(timestamp(challenge.end_time)),
            masked_phone_number: challenge.masked_number.unwrap_or_default(),
        }))
    }

    async fn send_code(&self, request: Request<pb::SendCodeRequest>) -> Result<Response<pb::SendCodeResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let method = method(admitted.message.method).map_err(|refusal| admitted.refuse(refusal))?;
        if method.is_some_and(|method| method != Method::Phone) {
            return Err(admitted.refuse(Refusal::field("method", "must be METHOD_PHONE: no other is sent codes.")));
        }
        let challenge_id = &admitted.message.challenge_id;
        let sent = flow::send_code(&self.kit, &admitted.caller, challenge_id, &admitted.call).await;
        let sent = sent.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::SendCodeResponse {
            message: format!("A code is on its way to {}.", sent.masked_number),
            masked_phone_number: sent.masked_number,
            expire_time: Some(timestamp(sent.end_time)),
            retry_after: sent.next_time.map(|next| duration(next.since(admitted.call.now))),
        }))
    }

    async fn get_two_fa_status(
        &self,
        request: Request<pb::GetTwoFaStatusRequest>,
    ) -> Result<Response<pb::GetTwoFaStatusResponse>, Status> {
        let admitted = Admitted::from_request(request)?;
        let status = flow::two_fa_status(&self.kit, &admitted.caller).await;
        let status = status.map_err(|error| admitted.refuse(error))?;
        Ok(Response::new(pb::GetTwoFaStatusResponse {
            enabled: status.enabled,
            required: status.required,
            grace_end_time: status.grace_end.map(timestamp),
            factors: status.factors.into_iter().map(factor).collect(),
            backup_codes_remaining: count(status.backup_codes_remaining),
            enrollment_recommended: status.is_led_on,
            available_methods: methods(status.available),
        }))
    }
}

fn signed_in(tokens: &Tokens, grace_end: Option<Timestamp>) -> pb::LocalAuthResponse {
    let text = match grace_end {
        None => "You are signed in.",
        Some(_) => "You are signed in. This account must have a second factor soon: enrol one with Enable.",
    };
    pb::LocalAuthResponse {
        message: text.to_owned(),
        grace_end_time: grace_end.map(timestamp),
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
