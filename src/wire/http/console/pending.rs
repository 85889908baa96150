//! A challenge that waits for its code, as the pages between its opening and its answer know it. It lies in a cookie.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{
    calls::{open_rpc, rpc},
    cookies::Kind,
    refused::Refused,
    visit::Visit,
};
use crate::{
    secret,
    wire::pb::{self, Method},
};

/// What a code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// A sign-in.
    SignIn,
    /// A step-up.
    StepUp,
    /// A new factor.
    Enrolment,
    /// A new password.
    Password,
}

impl Purpose {
    /// Each lies in a cookie of its own: another tab may be about something else.
    fn cookie(self) -> Kind {
        match self {
            Self::SignIn => Kind::SignInChallenge,
            Self::StepUp => Kind::StepUpChallenge,
            Self::Enrolment => Kind::PhoneChallenge,
            Self::Password => Kind::PasswordChallenge,
        }
    }
}

/// A challenge. It has no `Debug`: whoever has its id may answer it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Pending {
    /// What it is for.
    pub purpose: Purpose,
    /// Names it.
    pub challenge_id: String,
    /// The methods that answer it, by their numbers.
    methods: Vec<i32>,
    /// The one that is asked for.
    method: i32,
    /// The number that a code was sent to; empty = none was sent.
    pub masked_number: String,
    /// When another code can be sent, in seconds since 1970-01-01 UTC.
    resend_time: i64,
    /// When it ends, in seconds since 1970-01-01 UTC.
    end_time: i64,
    /// Where to go on after it.
    pub next: String,
}

/// A challenge, as an rpc has opened it.
pub struct Opened {
    /// Names it.
    pub challenge_id: String,
    /// The methods that answer it, the default first.
    pub methods: Vec<i32>,
    /// The number that a code was sent to; empty = none was sent.
    pub masked_number: String,
    /// When it ends.
    pub expire_time: Option<prost_types::Timestamp>,
}

/// When a code was sent a moment ago: the next one can be asked for after so many seconds.
const FIRST_RESEND: i64 = 30;

impl Pending {
    /// A challenge that was opened now.
    pub fn new(visit: &Visit<'_>, purpose: Purpose, opened: Opened) -> Self {
        let Opened { challenge_id, methods, masked_number, expire_time } = opened;
        // Where a code was sent, that is what is asked for.
        let sent = !masked_number.is_empty();
        let first = methods.first().copied().unwrap_or_default();
        let method = if sent { Method::Phone.into() } else { first };
        // Where none was sent it can be asked for at once.
        let resend_time = visit.now().seconds() + if sent { FIRST_RESEND } else { 0 };
        let end_time = expire_time.map_or(i64::MAX, |time| time.seconds);
        Self { purpose, challenge_id, methods, method, masked_number, resend_time, end_time, next: String::new() }
    }

    /// The one of this visit, when it is for this.
    pub fn find(visit: &Visit<'_>, purpose: Purpose) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(visit.jar.get(purpose.cookie())?).ok()?;
        let pending: Self = serde_json::from_slice(&bytes).ok()?;
        (pending.purpose == purpose && visit.now().seconds() < pending.end_time).then_some(pending)
    }

    /// Has the browser keep it.
    pub fn keep(&self, visit: &mut Visit<'_>) {
        if let Ok(text) = serde_json::to_vec(self) {
            visit.jar.set(self.purpose.cookie(), secret::to_text(&text));
        }
    }

    /// Has the browser forget it, where a refusal has ended it; answers whether it has.
    pub fn is_ended_by(&self, visit: &mut Visit<'_>, refused: &Refused) -> bool {
        if refused.ends_challenge() {
            visit.jar.end(self.purpose.cookie());
        }
        refused.ends_challenge()
    }

    /// The method that is asked for.
    pub fn method(&self) -> Method {
        Method::try_from(self.method).unwrap_or(Method::Unspecified)
    }

    /// The others that answer it, too.
    pub fn others(&self) -> Vec<Method> {
        let all = self.methods.iter().filter(|method| **method != self.method);
        all.filter_map(|method| Method::try_from(*method).ok()).collect()
    }

    /// Seconds until another code can be sent; None = there is nothing to send.
    pub fn resend_wait(&self, visit: &Visit<'_>) -> Option<u64> {
        let waits = self.method() == Method::Phone;
        waits.then(|| u64::try_from(self.resend_time - visit.now().seconds()).unwrap_or(0))
    }

    /// Asks for another method; a code is sent where that is one that is sent.
    pub async fn choose(&mut self, visit: &mut Visit<'_>, method: Method) -> Result<(), Refused> {
        if !self.methods.contains(&method.into()) {
            return Err(Refused::new("TWO_FA_NOT_ENABLED"));
        }
        if method == Method::Phone && self.masked_number.is_empty() {
            self.send(visit).await?;
        }
        self.method = method.into();
        self.keep(visit);
        Ok(())
    }

    /// Has a code sent.
    pub async fn send(&mut self, visit: &mut Visit<'_>) -> Result<(), Refused> {
        let request = pb::SendCodeRequest { challenge_id: self.challenge_id.clone(), method: Method::Phone.into() };
        let sent = match self.purpose {
            Purpose::SignIn | Purpose::Password => open_rpc!(visit, twofa.send_code(request)),
            Purpose::StepUp | Purpose::Enrolment => rpc!(visit, twofa.send_code(request)),
        };
        let now = visit.now().seconds();
        match sent {
            Ok(sent) => {
                self.masked_number = sent.masked_phone_number;
                // After the last one there is none until the challenge ends.
                self.resend_time = now + sent.retry_after.map_or(10 * 60, |wait| wait.seconds);
                self.keep(visit);
                Ok(())
            }
            Err(refused) => {
                if let Some(wait) = refused.wait {
                    self.resend_time = now + i64::try_from(wait).unwrap_or(0);
                    self.keep(visit);
                }
                Err(refused)
            }
        }
    }
}
