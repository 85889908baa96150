//! The rules of challenges: how long they live, how often they may be answered, and by whom. Pure.

use std::time::Duration;

use anyhow::Context;
use zeroize::Zeroizing;

use crate::{
    ephemeral::{EntryHash, Kind, Shelf},
    error::Refusal,
    model::{Challenge, Method, Principal, UserId},
    seal::{KeyRing, Place},
};

/// How often a challenge may be answered.
pub const ATTEMPTS: u32 = 5;

/// How long a challenge to complete a sign-in lives.
pub const LOGIN_LIFE: Duration = Duration::from_secs(5 * 60);

/// How long an enrolment waits to be confirmed.
pub const ENROLMENT_LIFE: Duration = Duration::from_secs(10 * 60);

/// Challenges to complete a sign-in.
pub const LOGIN: Kind = Kind { name: "login", capacity: 5 };

/// Pending enrolments of a method: a new one ends the one before.
pub const fn enrolment(method: Method) -> Kind {
    let name = match method {
        Method::Totp => "enroll_totp",
    };
    Kind { name, capacity: 1 }
}

/// The shelf of a user.
pub fn shelf(ring: &KeyRing, user: UserId) -> anyhow::Result<Shelf> {
    let mut shelf = [0; 16];
    shelf.copy_from_slice(&ring.index("shelf", user.bytes())?[..16]);
    Ok(shelf)
}

/// Refuses a caller who may not answer the challenge: an enrolment is confirmed by the session that began it, and a token of
/// somebody else answers nothing.
pub fn admit(challenge: &Challenge, caller: Option<&Principal>) -> Result<(), Refusal> {
    let admitted = match (challenge, caller) {
        (Challenge::Login { .. }, None) => true,
        (Challenge::Login { user, .. }, Some(caller)) => *user == caller.user,
        (Challenge::Enrolment(_), None) => false,
        (Challenge::Enrolment(pending), Some(caller)) => {
            pending.user == caller.user && pending.session == caller.session
        }
    };
    if admitted { Ok(()) } else { Err(Refusal::ChallengeExpired) }
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

fn place<'a>(shelf: &'a Shelf, hash: &'a EntryHash) -> Place<'a> {
    Place { table: "challenge", column: "content", user: shelf, row: hash }
}
