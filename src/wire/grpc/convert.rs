//! Words of the domain in words of the wire, and back.

use std::{str::FromStr, time::Duration};

use crate::{
    clock::Timestamp,
    error::Refusal,
    flow::ListedFactor,
    model::{Method, Purpose, Role},
    secret::Secret,
    token::access::Claims,
    wire::pb,
};

const REASON_CHARACTERS: usize = 256;

/// The method that a request names; None = it names none.
pub fn method(number: i32) -> Result<Option<Method>, Refusal> {
    match pb::Method::try_from(number) {
        Ok(pb::Method::Unspecified) => Ok(None),
        Ok(pb::Method::Totp) => Ok(Some(Method::Totp)),
        Ok(pb::Method::Phone) => Ok(Some(Method::Phone)),
        Ok(pb::Method::BackupCode) => Ok(Some(Method::BackupCode)),
        Err(_) => Err(Refusal::field("method", format!("{number} is no method."))),
    }
}

impl From<Method> for pb::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Totp => Self::Totp,
            Method::Phone => Self::Phone,
            Method::BackupCode => Self::BackupCode,
        }
    }
}

/// The role that a request names; None = it names none.
pub fn role(field: &'static str, number: i32) -> Result<Option<Role>, Refusal> {
    match pb::Role::try_from(number) {
        Ok(pb::Role::Unspecified) => Ok(None),
        Ok(pb::Role::User) => Ok(Some(Role::User)),
        Ok(pb::Role::Admin) => Ok(Some(Role::Admin)),
        Err(_) => Err(Refusal::field(field, format!("{number} is no role."))),
    }
}

impl From<Purpose> for pb::Purpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Login => Self::Login,
            Purpose::Enrolment => Self::Enrollment,
            Purpose::StepUp => Self::StepUp,
            Purpose::PasswordReset => Self::PasswordReset,
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

/// A factor, as it is shown.
pub fn factor(factor: ListedFactor) -> pb::Factor {
    let ListedFactor { factor, masked_number } = factor;
    pb::Factor {
        factor_id: factor.id.to_string(),
        method: pb::Method::from(factor.method).into(),
        label: factor.label,
        create_time: Some(timestamp(factor.create_time)),
        last_use_time: factor.last_use_time.map(timestamp),
        masked_phone_number: masked_number.unwrap_or_default(),
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

/// Methods, as numbers of the wire.
pub fn methods(methods: Vec<Method>) -> Vec<i32> {
    methods.into_iter().map(|method| pb::Method::from(method).into()).collect()
}

/// An id that may be left out.
pub fn id<T: FromStr<Err = &'static str>>(field: &'static str, text: &str) -> Result<Option<T>, Refusal> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|problem| Refusal::field(field, problem)),
    }
}

/// An id that must be there.
pub fn needed<T: FromStr<Err = &'static str>>(field: &'static str, text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|problem| Refusal::field(field, problem))
}

/// Words of an administrator for the audit log.
pub fn reason(text: &str) -> Result<&str, Refusal> {
    if text.chars().count() > REASON_CHARACTERS || text.chars().any(char::is_control) {
        let problem = format!("must have at most {REASON_CHARACTERS} characters and no control characters.");
        return Err(Refusal::field("reason", problem));
    }
    Ok(text)
}

/// Secrets, on their way out.
pub fn exposed(secrets: &[Secret<String>]) -> Vec<String> {
    secrets.iter().map(|secret| secret.expose().clone()).collect()
}

/// A count.
pub fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A moment.
pub fn timestamp(moment: Timestamp) -> prost_types::Timestamp {
    let nanos = i32::try_from(moment.millis().rem_euclid(1000) * 1_000_000).unwrap_or(0);
    prost_types::Timestamp { seconds: moment.seconds(), nanos }
}

/// A time span.
pub fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        nanos: span.subsec_nanos().cast_signed(),
    }
}
