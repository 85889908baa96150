//! What is asked of whom: a second factor at sign-in, and how sure the service must be of a session before a verb may run. Pure.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::Refusal,
    model::{Acr, LiveSession, Method, RequiredFor, Role, Settings},
};

/// How old a proof may be where a fresh one is asked for.
pub const STEP_UP_AGE: Duration = Duration::from_secs(300);

/// What follows a right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// A session.
    Session,
    /// A challenge: the account has a factor.
    Challenge,
    /// An enrolment: the account must have a factor, and has none.
    Enrolment,
}

/// Decides what follows a right password. A factor that is enrolled is waived in one case only: two-factor authentication is
/// switched off as a whole, and the account is no administrator's.
pub fn sign_in(settings: &Settings, role: Role, has_factor: bool) -> SignIn {
    match (has_factor, role) {
        (true, Role::User) if !settings.two_fa_enabled => SignIn::Session,
        (true, _) => SignIn::Challenge,
        (false, _) if is_required(settings, role) => SignIn::Enrolment,
        (false, _) => SignIn::Session,
    }
}

/// Whether an account must have a second factor.
pub fn is_required(settings: &Settings, role: Role) -> bool {
    match (settings.required_for, role) {
        (RequiredFor::Nobody, _) | (RequiredFor::Admins, Role::User) => false,
        (RequiredFor::Admins | RequiredFor::All, Role::Admin) => true,
        (RequiredFor::All, Role::User) => settings.two_fa_enabled,
    }
}

/// Refuses to enrol a method that is not allowed, or anything while two-factor authentication is off. Administrators can
/// always enrol.
pub fn may_enrol(settings: &Settings, role: Role, method: Method) -> Result<(), Refusal> {
    let is_on = settings.two_fa_enabled || role == Role::Admin;
    if is_on && settings.allowed_methods.contains(&method) { Ok(()) } else { Err(Refusal::TwoFaUnavailable) }
}

/// Whether backup codes are given.
pub fn gives_backup_codes(settings: &Settings) -> bool {
    settings.backup_codes_enabled && settings.allowed_methods.contains(&Method::BackupCode)
}

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
    use crate::model::{Amr, Proof, Session, SessionId, UserId};

    fn settings(two_fa_enabled: bool, required_for: RequiredFor) -> Settings {
        Settings {
            two_fa_enabled,
            allowed_methods: vec![Method::Totp],
            preferred_method: Method::Totp,
            backup_codes_enabled: true,
            required_for,
            totp_digits: 6,
            sms_digits: 6,
            sms_code_life: Duration::from_secs(300),
        }
    }

    #[test]
    fn an_enrolled_factor_is_waived_only_for_users_and_only_by_the_whole_switch() {
        for required_for in [RequiredFor::Nobody, RequiredFor::Admins, RequiredFor::All] {
            for role in [Role::User, Role::Admin] {
                assert_eq!(sign_in(&settings(true, required_for), role, true), SignIn::Challenge);
            }
            assert_eq!(sign_in(&settings(false, required_for), Role::User, true), SignIn::Session);
            assert_eq!(sign_in(&settings(false, required_for), Role::Admin, true), SignIn::Challenge);
        }
    }

    #[test]
    fn whoever_must_have_a_factor_and_has_none_enrols_one_first() {
        let without =
            |two_fa_enabled, required_for, role| sign_in(&settings(two_fa_enabled, required_for), role, false);
        assert_eq!(without(true, RequiredFor::Admins, Role::Admin), SignIn::Enrolment);
        assert_eq!(without(true, RequiredFor::Admins, Role::User), SignIn::Session);
        assert_eq!(without(true, RequiredFor::All, Role::User), SignIn::Enrolment);
        assert_eq!(without(false, RequiredFor::All, Role::User), SignIn::Session);
        assert_eq!(without(false, RequiredFor::All, Role::Admin), SignIn::Enrolment);
        assert_eq!(without(true, RequiredFor::Nobody, Role::Admin), SignIn::Session);
    }

    #[test]
    fn administrators_can_always_enrol_what_is_allowed() {
        let off = settings(false, RequiredFor::Nobody);
        assert!(may_enrol(&off, Role::Admin, Method::Totp).is_ok());
        assert_eq!(may_enrol(&off, Role::User, Method::Totp), Err(Refusal::TwoFaUnavailable));
        assert_eq!(may_enrol(&off, Role::Admin, Method::BackupCode), Err(Refusal::TwoFaUnavailable));
        let on = settings(true, RequiredFor::Nobody);
        assert!(may_enrol(&on, Role::User, Method::Totp).is_ok());
        assert!(!gives_backup_codes(&on), "they are not among the methods that are allowed");
    }

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
