//! Words of the domain in words of the wire, and back.

use crate::{
    clock::Timestamp,
    error::Refusal,
    model::{EnrolledFactor, Method, Purpose, Role},
    token::access::Claims,
    wire::pb,
};

/// The method that a request names; None = it names none.
pub fn method(number: i32) -> Result<Option<Method>, Refusal> {
    match pb::Method::try_from(number) {
        Ok(pb::Method::Unspecified) => Ok(None),
        Ok(pb::Method::Totp) => Ok(Some(Method::Totp)),
        Err(_) => Err(Refusal::field("method", format!("{number} is no method."))),
    }
}

impl From<Method> for pb::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Totp => Self::Totp,
        }
    }
}

impl From<Purpose> for pb::Purpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Login => Self::Login,
            Purpose::Enrolment => Self::Enrollment,
        }
    }
}

impl From<Role> for pb::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<EnrolledFactor> for pb::Factor {
    fn from(factor: EnrolledFactor) -> Self {
        Self {
            factor_id: factor.id.to_string(),
            method: pb::Method::from(factor.method).into(),
            label: factor.label,
            create_time: Some(timestamp(factor.create_time)),
            last_use_time: factor.last_use_time.map(timestamp),
        }
    }
}

impl From<Claims> for pb::AccessTokenClaims {
    fn from(claims: Claims) -> Self {
        Self {
            iss: claims.iss,
            sub: claims.sub.to_string(),
            aud: claims.aud,
            exp: claims.exp,
            iat: claims.iat,
            nbf: claims.nbf,
            jti: claims.jti.to_string(),
            sid: claims.sid.to_string(),
            auth_time: claims.auth_time,
            amr: claims.amr,
            acr: claims.acr,
            role: claims.role,
        }
    }
}

/// A moment.
pub fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(moment.millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: moment.seconds(), nanos }
}
