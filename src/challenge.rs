//! The rules of what a user has open: how long it lives, how often it may be answered, and by whom. Pure.

use std::time::Duration;

use anyhow::Context;
use zeroize::Zeroizing;

use crate::{
    clock::Timestamp,
    ephemeral::{EntryHash, Kind, Shelf},
    error::Refusal,
    model::{Account, Caller, Challenge, FailureKey, Method, Offer, Opener, Purpose, SentCode, Subject, UserId},
    seal::{KeyRing, Place},
};

/// How often a challenge may be answered.
pub const ATTEMPTS: u32 = 5;

/// A spent challenge is remembered for so long after its end: a replica whose clock is behind may still take it for open.
const REMEMBERED: Duration = Duration::from_secs(60);

/// How long an enrolment token lives.
pub const ENROLMENT_TOKEN_LIFE: Duration = Duration::from_secs(10 * 60);

/// How long a challenge stands.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(5 * 60);
const ENROLMENT_LIFE: Duration = Duration::from_secs(10 * 60);

/// Pending enrolments of a method: a new one ends the one before.
pub const fn enrolment(method: Method) -> Kind {
    Kind { name: FailureKey::Enrolment(method).as_str(), capacity: 1 }
}

impl Subject {
    /// What it is counted as, in the ephemeral store.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Login { .. } => Kind { name: "login", capacity: 5 },
            Self::StepUp { .. } => Kind { name: "step_up", capacity: 5 },
            Self::PasswordReset { .. } => Kind { name: "password_reset", capacity: 5 },
            Self::Enrolment(pending) => enrolment(pending.method),
            Self::EnrolmentToken => Kind { name: "enrollment_token", capacity: 5 },
        }
    }

    /// How long it lives.
    pub fn life(&self) -> Duration {
        match self {
            Self::Login { .. } | Self::StepUp { .. } | Self::PasswordReset { .. } => CHALLENGE_LIFE,
            Self::Enrolment(_) => ENROLMENT_LIFE,
            Self::EnrolmentToken => ENROLMENT_TOKEN_LIFE,
        }
    }

    /// What it was opened for; None = a code does not answer it.
    pub fn purpose(&self) -> Option<Purpose> {
        match self {
            Self::Login { .. } => Some(Purpose::Login),
            Self::StepUp { .. } => Some(Purpose::StepUp),
            Self::PasswordReset { .. } => Some(Purpose::PasswordReset),
            Self::Enrolment(_) => Some(Purpose::Enrolment),
            Self::EnrolmentToken => None,
        }
    }

    /// What answers it.
    pub fn offers(&self) -> &[Offer] {
        match self {
            Self::Login { offers } | Self::StepUp { offers, .. } | Self::PasswordReset { offers, .. } => offers,
            Self::Enrolment(_) | Self::EnrolmentToken => &[],
        }
    }
}

/// Until when it must be known that a challenge is spent.
pub fn remembered_until(end_time: Timestamp) -> Timestamp {
    end_time.plus(REMEMBERED)
}

/// The shelf of a user.
pub fn shelf(ring: &KeyRing, user: UserId) -> anyhow::Result<Shelf> {
    let mut shelf = [0; 16];
    shelf.copy_from_slice(&ring.index("shelf", user.bytes())?[..16]);
    Ok(shelf)
}

/// Refuses a caller who may not answer the challenge: a step-up and an enrolment belong to whoever opened them, and a token of
/// somebody else answers nothing.
pub fn admit(challenge: &Challenge, caller: &Caller) -> Result<(), Refusal> {
    let is_own = caller.user() == Some(challenge.user);
    let admitted = match (&challenge.subject, caller) {
        (Subject::Login { .. } | Subject::PasswordReset { .. }, Caller::Anonymous) => true,
        (Subject::Login { .. }, Caller::User(_) | Caller::Enrollee(_)) => is_own,
        (Subject::StepUp { session, .. }, Caller::User(principal)) => is_own && *session == principal.session,
        (Subject::Enrolment(pending), Caller::User(principal)) => {
            is_own && pending.opener == Opener::Session(principal.session)
        }
        (Subject::Enrolment(pending), Caller::Enrollee(enrollee)) => {
            is_own && pending.opener == Opener::EnrolmentToken(enrollee.token)
        }
        (Subject::StepUp { .. }, Caller::Anonymous | Caller::Enrollee(_))
        | (Subject::PasswordReset { .. }, Caller::User(_) | Caller::Enrollee(_))
        | (Subject::Enrolment(_), Caller::Anonymous)
        | (Subject::EnrolmentToken, Caller::Anonymous | Caller::User(_) | Caller::Enrollee(_)) => false,
    };
    if admitted { Ok(()) } else { Err(Refusal::ChallengeExpired) }
}

/// Whether nothing has happened to the account that ends what it has open.
pub fn is_open_for(challenge: &Challenge, account: &Account) -> bool {
    !account.blocked && account.id == challenge.user && account.security_version == challenge.security_version
}

/// Seals a challenge for the ephemeral store.
pub fn seal(ring: &KeyRing, shelf: &Shelf, hash: &EntryHash, challenge: &Challenge) -> anyhow::Result<Vec<u8>> {
    let plain = Zeroizing::new(serde_json::to_vec(challenge)?);
    ring.seal(place(shelf, hash), &plain)
}

/// Opens what `seal` has sealed.
pub fn open(ring: &KeyRing, shelf: &Shelf, hash: &EntryHash, sealed: &[u8]) -> anyhow::Result<Challenge> {
    let plain = ring.open(place(shelf, hash), sealed)?;
    serde_json::from_slice(plain.expose()).context("a challenge in the ephemeral store is malformed")
}

/// The hash that stands for a code that was sent for a challenge.
pub fn code_hash(ring: &KeyRing, hash: &EntryHash, code: &str) -> anyhow::Result<[u8; 32]> {
    let named = Zeroizing::new([hash.as_slice(), code.as_bytes()].concat());
    ring.index("sms code", &named)
}

/// Seals a code that was sent, to lie beside its challenge.
pub fn seal_code(ring: &KeyRing, shelf: &Shelf, hash: &EntryHash, code: &SentCode) -> anyhow::Result<Vec<u8>> {
    ring.seal(code_place(shelf, hash), &serde_json::to_vec(code)?)
}

/// Opens what `seal_code` has sealed.
pub fn open_code(ring: &KeyRing, shelf: &Shelf, hash: &EntryHash, sealed: &[u8]) -> anyhow::Result<SentCode> {
    let plain = ring.open(code_place(shelf, hash), sealed)?;
    serde_json::from_slice(plain.expose()).context("a code in the ephemeral store is malformed")
}

fn place<'a>(shelf: &'a Shelf, hash: &'a EntryHash) -> Place<'a> {
    Place { table: "challenge", column: "content", user: shelf, row: hash }
}

fn code_place<'a>(shelf: &'a Shelf, hash: &'a EntryHash) -> Place<'a> {
    Place { table: "challenge", column: "code", user: shelf, row: hash }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        model::{Acr, Amr, Enrollee, FactorData, PendingEnrolment, Principal, Proof, Role, SessionId},
    };

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn user(user: UserId, session: SessionId) -> Caller {
        let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
        Caller::User(Principal { user, session, role: Role::User, proof, is_assured: true })
    }

    fn enrolment_by(opener: Opener) -> Subject {
        let data = FactorData::new(Vec::new());
        Subject::Enrolment(PendingEnrolment {
            opener,
            method: Method::Totp,
            label: String::new(),
            data,
            replaces: None,
        })
    }

    #[test]
    fn every_challenge_is_answered_by_its_own_kind_of_caller_alone() {
        let (alice, bob) = (UserId::new(NOW), UserId::new(NOW));
        let (session, other) = (SessionId::new(NOW), SessionId::new(NOW));
        let (token, other_token) = ([1; 32], [2; 32]);
        let enrollee = |user, token| Caller::Enrollee(Enrollee { user, token });
        let callers = [
            Caller::Anonymous,
            user(alice, session),
            user(alice, other),
            user(bob, session),
            enrollee(alice, token),
            enrollee(alice, other_token),
            enrollee(bob, token),
        ];
        let login = Subject::Login { offers: Vec::new() };
        let step_up = Subject::StepUp { session, offers: Vec::new() };
        let reset = Subject::PasswordReset { token, offers: Vec::new() };
        for (subject, admitted) in [
            (login, [true, true, true, false, true, true, false]),
            (step_up, [false, true, false, false, false, false, false]),
            (reset, [true, false, false, false, false, false, false]),
            (enrolment_by(Opener::Session(session)), [false, true, false, false, false, false, false]),
            (enrolment_by(Opener::EnrolmentToken(token)), [false, false, false, false, true, false, false]),
            (Subject::EnrolmentToken, [false; 7]),
        ] {
            let kind = subject.kind().name;
            let challenge = Challenge { user: alice, security_version: 1, subject };
            let found: Vec<_> = callers.iter().map(|caller| admit(&challenge, caller).is_ok()).collect();
            assert_eq!(found, admitted, "{kind}");
        }
    }

    #[test]
    fn each_lives_as_long_as_it_should_and_is_counted_as_its_own_kind() {
        let (session, offers) = (SessionId::new(NOW), vec![Offer { method: Method::Totp, length: 6 }]);
        let subjects = [
            (Subject::Login { offers: offers.clone() }, "login", 5, 300, Some(Purpose::Login)),
            (Subject::StepUp { session, offers: offers.clone() }, "step_up", 5, 300, Some(Purpose::StepUp)),
            (Subject::PasswordReset { token: [1; 32], offers }, "password_reset", 5, 300, Some(Purpose::PasswordReset)),
            (enrolment_by(Opener::Session(session)), "enroll_totp", 1, 600, Some(Purpose::Enrolment)),
            (Subject::EnrolmentToken, "enrollment_token", 5, 600, None),
        ];
        for (subject, name, capacity, seconds, purpose) in subjects {
            assert_eq!(subject.kind(), Kind { name, capacity });
            assert_eq!(subject.life(), Duration::from_secs(seconds), "{name}");
            assert_eq!(subject.purpose(), purpose);
            let is_answered_by_enrolled = !matches!(subject, Subject::Enrolment(_) | Subject::EnrolmentToken);
            assert_eq!(subject.offers().len(), usize::from(is_answered_by_enrolled), "{name}");
        }
    }

    #[test]
    fn it_dies_with_the_security_version_and_with_a_block() -> Result<(), &'static str> {
        let mut account = Account {
            id: UserId::new(NOW),
            email: crate::model::Email::parse("a@example.com")?,
            role: Role::User,
            blocked: false,
            security_version: 3,
            password_hash: None,
            phone: None,
            notice_email: None,
            create_time: NOW,
            role_time: NOW,
        };
        let challenge = Challenge { user: account.id, security_version: 3, subject: Subject::EnrolmentToken };
        assert!(is_open_for(&challenge, &account));
        account.blocked = true;
        assert!(!is_open_for(&challenge, &account));
        (account.blocked, account.security_version) = (false, 4);
        assert!(!is_open_for(&challenge, &account));
        (account.security_version, account.id) = (3, UserId::new(NOW));
        assert!(!is_open_for(&challenge, &account));
        Ok(())
    }

    #[test]
    fn what_is_sealed_opens_on_its_own_shelf_under_its_own_name_alone() -> anyhow::Result<()> {
        let ring = KeyRing::generate(NOW)?;
        let (alice, bob) = (UserId::new(NOW), UserId::new(NOW));
        let (own, other) = (shelf(&ring, alice)?, shelf(&ring, bob)?);
        assert_ne!(own, other);
        assert_eq!(own, shelf(&ring, alice)?);
        let challenge = Challenge { user: alice, security_version: 3, subject: Subject::EnrolmentToken };
        let sealed = seal(&ring, &own, &[1; 32], &challenge)?;
        assert_eq!(open(&ring, &own, &[1; 32], &sealed)?.user, alice);
        assert!(open(&ring, &other, &[1; 32], &sealed).is_err());
        assert!(open(&ring, &own, &[2; 32], &sealed).is_err());
        assert!(open(&KeyRing::generate(NOW)?, &own, &[1; 32], &sealed).is_err());
        Ok(())
    }
}
