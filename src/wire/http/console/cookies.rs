//! The cookies of the console. No script reads them, no other site has them sent along, and no page shows what they hold.

use http::{HeaderMap, HeaderValue, header};

use crate::secret::Secret;

/// Seconds that a session may be idle: a browser keeps its cookies no longer.
const IDLE: u64 = 7 * 24 * 60 * 60;

/// What a cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The access token of the session.
    Access,
    /// The refresh token of the session.
    Refresh,
    /// An enrolment token: of somebody who has no session before a factor is enrolled.
    Enrolment,
    /// The challenge of a sign-in, and what the page that answers it has to know.
    SignInChallenge,
    /// The same of a step-up.
    StepUpChallenge,
    /// The same of a phone that is enrolled.
    PhoneChallenge,
    /// The same of a password that is set with a one-time token.
    PasswordChallenge,
    /// What the forms of this browser are known by.
    Form,
    /// A one-time password token, between its two calls.
    PasswordToken,
    /// What was just done, until the next page has said it.
    Deed,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Access,
        Self::Refresh,
        Self::Enrolment,
        Self::SignInChallenge,
        Self::StepUpChallenge,
        Self::PhoneChallenge,
        Self::PasswordChallenge,
        Self::Form,
        Self::PasswordToken,
        Self::Deed,
    ];
    /// Those of a session, and of what is under way in it or on the way to it.
    pub const OF_SESSION: [Self; 6] = [
        Self::Access,
        Self::Refresh,
        Self::Enrolment,
        Self::SignInChallenge,
        Self::StepUpChallenge,
        Self::PhoneChallenge,
    ];

    /// The name; with the prefix, only this host can have set it, over TLS.
    fn name(self, is_secure: bool) -> String {
        let name = match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
            Self::Enrolment => "enrolment",
            Self::SignInChallenge => "sign_in_challenge",
            Self::StepUpChallenge => "step_up_challenge",
            Self::PhoneChallenge => "phone_challenge",
            Self::PasswordChallenge => "password_challenge",
            Self::Form => "form",
            Self::PasswordToken => "password_token",
            Self::Deed => "deed",
        };
        format!("{}countersign_console_{name}", if is_secure { "__Host-" } else { "" })
    }

    /// The longest that a browser keeps it, in seconds.
    fn life(self) -> u64 {
        match self {
            Self::Access | Self::Refresh | Self::Form => IDLE,
            Self::Enrolment
            | Self::SignInChallenge
            | Self::StepUpChallenge
            | Self::PhoneChallenge
            | Self::PasswordChallenge
            | Self::PasswordToken => 10 * 60,
            Self::Deed => 60,
        }
    }
}

/// Those of a request, and what its answer changes.
pub struct Jar {
    is_secure: bool,
    values: Vec<(Kind, Secret<String>)>,
    changed: Vec<(Kind, u64)>,
}

impl Jar {
    /// Those that came along. Two of a name are none: it cannot be told which is ours.
    pub fn read(headers: &HeaderMap, is_secure: bool) -> Self {
        // As bytes: what others have set need not be text.
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs: Vec<_> = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii).collect();
        let find = |kind: Kind| {
            let name = kind.name(is_secure);
            let own = pairs.iter().filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
            let mut values = own.filter(|value| !value.is_empty());
            let value = std::str::from_utf8(values.next()?).ok()?;
            values.next().is_none().then(|| (kind, Secret::new(value.to_owned())))
        };
        Self { is_secure, values: Kind::ALL.into_iter().filter_map(find).collect(), changed: Vec::new() }
    }

    /// What a cookie holds now.
    pub fn get(&self, kind: Kind) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == kind).map(|(_, value)| value.expose().as_str())
    }

    /// Sets a cookie.
    pub fn set(&mut self, kind: Kind, value: String) {
        self.keep(kind, value, kind.life());
    }

    /// Sets a cookie that is good for so many seconds.
    pub fn keep(&mut self, kind: Kind, value: String, seconds: u64) {
        self.forget(kind);
        self.values.push((kind, Secret::new(value)));
        self.changed.push((kind, seconds));
    }

    /// Ends a cookie, where there is one.
    pub fn end(&mut self, kind: Kind) {
        if self.get(kind).is_some() {
            self.forget(kind);
            self.changed.push((kind, 0));
        }
    }

    fn forget(&mut self, kind: Kind) {
        self.values.retain(|(known, _)| *known != kind);
        self.changed.retain(|(known, _)| *known != kind);
    }

    /// What the answer tells the browser.
    pub fn changes(&self) -> impl Iterator<Item = HeaderValue> {
        self.changed.iter().filter_map(|(kind, seconds)| {
            let (name, value) = (kind.name(self.is_secure), self.get(*kind).unwrap_or_default());
            let secure = if self.is_secure { "; Secure" } else { "" };
            let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
            HeaderValue::from_str(&text).ok()
        })
    }
}
