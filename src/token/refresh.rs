//! Refresh tokens: opaque, used once, and their reuse is told from a guess.
//!
//! A token names its session, and holds two secrets: one that all tokens of the session share, and one of its own. Whoever
//! shows the shared one has held a token of this session; if the other is then not the good one, a token was stolen. Whoever
//! does not is guessing, and harms nobody.

use std::time::Duration;

use zeroize::Zeroize;

use crate::{
    clock::Timestamp,
    model::{RefreshState, SessionId},
    secret::{self, Secret},
};

/// How long the predecessor still gives the same successor, for whoever lost the answer.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long a session lives without being refreshed.
pub const IDLE_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a session lives in any case.
pub const ABSOLUTE_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

const PREFIX: &str = "rft_";
const FAMILY_BYTES: usize = 16;
const LENGTH: usize = 16 + FAMILY_BYTES + 32;

/// A refresh token.
pub struct RefreshToken {
    session: SessionId,
    family: Secret<[u8; FAMILY_BYTES]>,
    own: Secret<[u8; 32]>,
}

/// What a shown token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The good one.
    Current,
    /// The one before, whose answer may have been lost.
    Predecessor {
        /// The successor, as it was sealed.
        sealed_successor: Vec<u8>,
    },
    /// One that was used.
    Reused,
    /// Never a token of this session.
    Foreign,
}

impl RefreshToken {
    /// The first token of a session.
    pub fn first(session: SessionId) -> anyhow::Result<Self> {
        Ok(Self { session, family: Secret::new(secret::random()?), own: Secret::new(secret::random()?) })
    }

    /// The token that follows this one.
    pub fn successor(&self) -> anyhow::Result<Self> {
        let family = Secret::new(*self.family.expose());
        Ok(Self { session: self.session, family, own: Secret::new(secret::random()?) })
    }

    /// Reads a token as callers send it; None when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: Secret<[u8; LENGTH]> = Secret::new(secret::from_text(text.strip_prefix(PREFIX)?)?);
        let (session, rest) = bytes.expose().split_first_chunk::<16>()?;
        let (family, own) = rest.split_first_chunk::<FAMILY_BYTES>()?;
        Some(Self {
            session: SessionId::from_bytes(*session),
            family: Secret::new(*family),
            own: Secret::new(own.try_into().ok()?),
        })
    }

    /// The token as callers see it.
    pub fn to_text(&self) -> Secret<String> {
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(self.session.bytes());
        bytes[16..16 + FAMILY_BYTES].copy_from_slice(self.family.expose());
        bytes[16 + FAMILY_BYTES..].copy_from_slice(self.own.expose());
        let text = Secret::new(format!("{PREFIX}{}", secret::to_text(&bytes)));
        bytes.zeroize();
        text
    }

    /// The session that it names.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The hash that stands for the shared secret at rest.
    pub fn family_hash(&self) -> [u8; 32] {
        secret::fingerprint(self.family.expose())
    }

    /// The hash that stands for the token's own secret at rest.
    pub fn hash(&self) -> [u8; 32] {
        secret::fingerprint(self.own.expose())
    }

    /// Holds the token against what is kept of its session.
    pub fn judge(&self, state: &RefreshState, now: Timestamp) -> Judgement {
        if !secret::same(&self.family_hash(), &state.family_hash) {
            return Judgement::Foreign;
        }
        if secret::same(&self.hash(), &state.current_hash) {
            return Judgement::Current;
        }
        let is_predecessor = state.previous_hash.is_some_and(|previous| secret::same(&self.hash(), &previous));
        let in_grace = state.successor_end_time.is_some_and(|end_time| now < end_time);
        match &state.sealed_successor {
            Some(sealed) if is_predecessor && in_grace => Judgement::Predecessor { sealed_successor: sealed.clone() },
            Some(_) | None => Judgement::Reused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn state(current: &RefreshToken, previous: Option<&RefreshToken>, kept: bool) -> RefreshState {
        RefreshState {
            family_hash: current.family_hash(),
            current_hash: current.hash(),
            previous_hash: previous.map(RefreshToken::hash),
            sealed_successor: kept.then(|| vec![7]),
            successor_end_time: kept.then(|| NOW.plus(GRACE)),
        }
    }

    #[test]
    fn a_token_reads_back_and_nothing_else_does() -> anyhow::Result<()> {
        let token = RefreshToken::first(SessionId::new(NOW))?;
        let text = token.to_text();
        let Some(read) = RefreshToken::parse(text.expose()) else {
            anyhow::bail!("it does not read back");
        };
        assert_eq!(
            (read.session(), read.hash(), read.family_hash()),
            (token.session(), token.hash(), token.family_hash())
        );
        assert_ne!(token.hash(), token.family_hash());
        for other in ["", "rft_", &text.expose()[4..], &format!("{}A", text.expose()), &text.expose()[..50]] {
            assert!(RefreshToken::parse(other).is_none(), "{other:.8}");
        }
        Ok(())
    }

    #[test]
    fn a_successor_is_of_the_same_family_and_another_token() -> anyhow::Result<()> {
        let token = RefreshToken::first(SessionId::new(NOW))?;
        let successor = token.successor()?;
        assert_eq!((token.session(), token.family_hash()), (successor.session(), successor.family_hash()));
        assert_ne!(token.hash(), successor.hash());
        assert_ne!(RefreshToken::first(token.session())?.family_hash(), token.family_hash());
        Ok(())
    }

    #[test]
    fn reuse_is_told_from_a_lost_answer_and_from_a_guess() -> anyhow::Result<()> {
        let first = RefreshToken::first(SessionId::new(NOW))?;
        let second = first.successor()?;
        let third = second.successor()?;
        let rotated = state(&second, Some(&first), true);
        let late = NOW.plus(GRACE);
        assert_eq!(second.judge(&rotated, NOW), Judgement::Current);
        assert_eq!(first.judge(&rotated, NOW), Judgement::Predecessor { sealed_successor: vec![7] });
        assert_eq!(first.judge(&rotated, late), Judgement::Reused);
        assert_eq!(first.judge(&state(&second, Some(&first), false), NOW), Judgement::Reused, "forgotten");
        assert_eq!(first.judge(&state(&third, Some(&second), true), NOW), Judgement::Reused);
        assert_eq!(third.judge(&rotated, NOW), Judgement::Reused, "of the family, and never given");
        assert_eq!(RefreshToken::first(first.session())?.judge(&rotated, NOW), Judgement::Foreign);
        Ok(())
    }

    #[test]
    fn sessions_and_graces_are_as_long_as_they_should_be() {
        assert_eq!(GRACE.as_secs(), 10);
        assert_eq!((IDLE_LIFE.as_secs(), ABSOLUTE_LIFE.as_secs()), (604_800, 2_592_000));
    }
}
