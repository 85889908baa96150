//! What is asked of whom: how sure the service must be of a session before a verb may run. Pure.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::Refusal,
    model::{Acr, LiveSession},
};

/// How a session must have been proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assurance {
    /// Nothing is asked.
    None,
    /// A living session.
    Session,
    /// The highest that the account can give: a second factor if it has one, else the password.
    Highest,
    /// A second factor.
    SecondFactor,
}

/// Refuses a session that is not proven as it must be, and says how to prove it. Judged against the account as it is now,
/// never against what the token says.
pub fn assure(asked: Assurance, max_age: Option<Duration>, live: &LiveSession, now: Timestamp) -> Result<(), Refusal> {
    let second_factor = match asked {
        Assurance::None | Assurance::Session => return Ok(()),
        Assurance::Highest => live.has_factor,
        Assurance::SecondFactor => true,
    };
    let proof = &live.session.proof;
    let proven = !second_factor || proof.acr == Acr::Two;
    let fresh = max_age.is_none_or(|max_age| now.since(proof.auth_time) <= max_age);
    if proven && fresh { Ok(()) } else { Err(Refusal::StepUpRequired { second_factor: live.has_factor, max_age }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Amr, Proof, Role, Session, SessionId, UserId};

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const MAX_AGE: Option<Duration> = Some(Duration::from_secs(300));

    fn session(acr: Acr, age: u64, has_factor: bool) -> LiveSession {
        let session = Session {
            id: SessionId::new(NOW),
            user: UserId::new(NOW),
            proof: Proof { auth_time: NOW.minus(Duration::from_secs(age)), amr: Amr::password(), acr },
            idle_end_time: NOW,
            end_time: NOW,
        };
        LiveSession { session, role: Role::User, blocked: false, has_factor }
    }

    fn allowed(asked: Assurance, live: &LiveSession) -> bool {
        assure(asked, MAX_AGE, live, NOW).is_ok()
    }

    #[test]
    fn highest_means_the_password_only_while_there_is_no_factor() {
        assert!(allowed(Assurance::Highest, &session(Acr::One, 300, false)));
        assert!(!allowed(Assurance::Highest, &session(Acr::One, 301, false)));
        assert!(!allowed(Assurance::Highest, &session(Acr::One, 0, true)));
        assert!(allowed(Assurance::Highest, &session(Acr::Two, 300, true)));
        assert!(!allowed(Assurance::Highest, &session(Acr::Two, 301, true)));
    }

    #[test]
    fn a_second_factor_is_never_waived_for_lack_of_one() {
        assert!(!allowed(Assurance::SecondFactor, &session(Acr::One, 0, false)));
        assert!(allowed(Assurance::SecondFactor, &session(Acr::Two, 300, true)));
        assert!(!allowed(Assurance::SecondFactor, &session(Acr::Two, 301, true)));
    }

    #[test]
    fn the_refusal_says_what_the_account_can_prove() {
        let refusal = assure(Assurance::Highest, MAX_AGE, &session(Acr::One, 301, false), NOW);
        assert_eq!(refusal, Err(Refusal::StepUpRequired { second_factor: false, max_age: MAX_AGE }));
        let refusal = assure(Assurance::Highest, MAX_AGE, &session(Acr::One, 0, true), NOW);
        assert_eq!(refusal, Err(Refusal::StepUpRequired { second_factor: true, max_age: MAX_AGE }));
    }
}
