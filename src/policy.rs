//! What is asked of whom: a second factor at sign-in, and how sure the service must be of a session before a verb may run. Pure.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    error::{Proof, Refusal, Violation},
    model::{Acr, Grace, LiveSession, Method, RequiredFor, Role, Settings},
};

/// How old a proof may be where a fresh one is asked for.
pub const STEP_UP_AGE: Duration = Duration::from_secs(300);

/// What follows a right password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// A session. With a moment it is one of an account that must have a factor from then on.
    Session {
        /// When the account must have a factor; None = it need not.
        grace_end: Option<Timestamp>,
    },
    /// A challenge: the account has a factor.
    Challenge,
    /// An enrolment: the account must have a factor, and has none.
    Enrolment,
}

/// What policy must know of an account.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Its role.
    pub role: Role,
    /// Since when it has its role.
    pub role_time: Timestamp,
    /// Whether it has a second factor.
    pub has_factor: bool,
}

/// Decides what follows a right password. A factor that is enrolled is waived in one case only: two-factor authentication is
/// switched off as a whole, and the account is no administrator's.
pub fn sign_in(settings: &Settings, account: Standing, now: Timestamp) -> SignIn {
    if account.has_factor {
        let is_waived = account.role == Role::User && !settings.two_fa_enabled;
        return if is_waived { SignIn::Session { grace_end: None } } else { SignIn::Challenge };
    }
    match grace_end(settings, account.role, account.role_time) {
        None => SignIn::Session { grace_end: None },
        Some(end) if now < end => SignIn::Session { grace_end: Some(end) },
        Some(_) => SignIn::Enrolment,
    }
}

/// Whether a session that the password alone has given would not be given now.
pub fn is_short_of_a_factor(settings: &Settings, live: &LiveSession, now: Timestamp) -> bool {
    let account = Standing { role: live.role, role_time: live.role_time, has_factor: live.has_factor };
    live.session.proof.acr == Acr::One && !matches!(sign_in(settings, account, now), SignIn::Session { .. })
}

/// Until when an account may do without the factor that it must have; None = it need not have one.
pub fn grace_end(settings: &Settings, role: Role, role_time: Timestamp) -> Option<Timestamp> {
    let grace = settings.grace(role);
    is_required(settings, role).then(|| grace.since.max(role_time).plus(grace.period))
}

/// The policy that takes the place of another: whoever is asked for a factor from now on has their grace from now on.
pub fn succeed(old: &Settings, new: &Settings, now: Timestamp) -> Settings {
    let since = |role| {
        let is_newly_asked = is_required(new, role) && !is_required(old, role);
        if is_newly_asked { now } else { old.grace(role).since }
    };
    Settings {
        version: old.version + 1,
        change_time: Some(now),
        admins: Grace { since: since(Role::Admin), ..new.admins },
        users: Grace { since: since(Role::User), ..new.users },
        ..new.clone()
    }
}

/// What is wrong with a policy: whoever must enrol something must be able to.
pub fn violations(settings: &Settings, sends_messages: bool) -> Vec<Violation> {
    let is_real = |method: &Method| *method != Method::BackupCode;
    let allowed = &settings.allowed_methods;
    let needs_phone = allowed.iter().filter(|method| is_real(method)).all(|method| *method == Method::Phone);
    let digits = |count: u8| (6..=8).contains(&count);
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    let life = Duration::from_secs(60)..=Duration::from_secs(600);
    let rules = [
        (allowed.iter().any(is_real), "settings.allowed_methods", "must hold METHOD_TOTP or METHOD_PHONE."),
        (
            sends_messages || !allowed.iter().any(is_real) || !needs_phone,
            "settings.allowed_methods",
            "must hold METHOD_TOTP: no text messages are sent here (sms.provider).",
        ),
        (
            is_real(&settings.preferred_method) && allowed.contains(&settings.preferred_method),
            "settings.preferred_method",
            "must be METHOD_TOTP or METHOD_PHONE, and one of allowed_methods.",
        ),
        (
            sends_messages || settings.preferred_method != Method::Phone || needs_phone,
            "settings.preferred_method",
            "must be METHOD_TOTP: no text messages are sent here (sms.provider).",
        ),
        (settings.users.period <= year, "settings.grace_period", "must be at most 365 days (\"31536000s\")."),
        (settings.admins.period <= year, "settings.admin_grace_period", "must be at most 365 days (\"31536000s\")."),
        (digits(settings.totp_digits), "settings.totp_digits", "must be 6, 7 or 8."),
        (digits(settings.sms_digits), "settings.sms_digits", "must be 6, 7 or 8."),
        (life.contains(&settings.sms_code_life), "settings.sms_code_life", "must be 60 s to 600 s."),
    ];
    let broken = rules.into_iter().filter(|(holds, ..)| !holds);
    broken.map(|(_, field, problem)| Violation { field, description: problem.to_owned() }).collect()
}

/// The names of what is different.
pub fn differences(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let all = [
        (old.two_fa_enabled == new.two_fa_enabled, "two_fa_enabled"),
        (old.allowed_methods == new.allowed_methods, "allowed_methods"),
        (old.preferred_method == new.preferred_method, "preferred_method"),
        (old.backup_codes_enabled == new.backup_codes_enabled, "backup_codes_enabled"),
        (old.required_for == new.required_for, "required_for"),
        (old.users.period == new.users.period, "grace_period"),
        (old.admins.period == new.admins.period, "admin_grace_period"),
        (old.totp_digits == new.totp_digits, "totp_digits"),
        (old.sms_digits == new.sms_digits, "sms_digits"),
        (old.sms_code_life == new.sms_code_life, "sms_code_life"),
    ];
    all.into_iter().filter(|(is_same, _)| !is_same).map(|(_, name)| name).collect()
}

/// Whether whoever has factors of these methods is to enrol another: none of them takes new ones.
pub fn is_led_on(settings: &Settings, role: Role, methods: &[Method], sends_messages: bool) -> bool {
    let mut own = methods.iter().filter(|method| **method != Method::BackupCode).peekable();
    let may_enrol = settings.two_fa_enabled || role == Role::Admin;
    may_enrol && own.peek().is_some() && own.all(|method| !is_open(settings, *method, sends_messages))
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
pub fn may_enrol(settings: &Settings, role: Role, method: Method, sends_messages: bool) -> Result<(), Refusal> {
    let is_on = settings.two_fa_enabled || role == Role::Admin;
    if is_on && is_open(settings, method, sends_messages) { Ok(()) } else { Err(Refusal::TwoFaUnavailable) }
}

fn is_open(settings: &Settings, method: Method, sends_messages: bool) -> bool {
    settings.allowed_methods.contains(&method) || enrollable(settings, sends_messages).contains(&method)
}

/// What an account of this role can enrol now, what is preferred first.
pub fn open_to(settings: &Settings, role: Role, sends_messages: bool) -> Vec<Method> {
    if !settings.two_fa_enabled && role != Role::Admin {
        return Vec::new();
    }
    let preferred = preferred(settings, sends_messages);
    let mut all = enrollable(settings, sends_messages);
    all.sort_by_key(|method| *method != preferred);
    all
}

/// The method that is meant where none is named.
pub fn preferred(settings: &Settings, sends_messages: bool) -> Method {
    let all = enrollable(settings, sends_messages);
    if all.contains(&settings.preferred_method) {
        return settings.preferred_method;
    }
    all.first().copied().unwrap_or(Method::Totp)
}

/// What can be enrolled here. A policy that allows nothing but text messages, where none are sent any more, must not keep out whoever
/// has to enrol.
fn enrollable(settings: &Settings, sends_messages: bool) -> Vec<Method> {
    let can_be = |method: &Method| match method {
        Method::Totp => true,
        Method::Phone => sends_messages,
        Method::BackupCode => false,
    };
    let all: Vec<_> = settings.allowed_methods.iter().copied().filter(can_be).collect();
    if all.is_empty() { vec![Method::Totp] } else { all }
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
    let what = match (asked, live.has_factor) {
        (Assurance::None | Assurance::Session, _) => return Ok(()),
        (Assurance::Highest, false) => Proof::Password,
        (Assurance::SecondFactor, false) => Proof::NewFactor,
        (Assurance::Highest | Assurance::SecondFactor, true) => Proof::SecondFactor,
    };
    let proof = &live.session.proof;
    let proven = what == Proof::Password || proof.acr == Acr::Two;
    let fresh = max_age.is_none_or(|max_age| now.since(proof.auth_time) <= max_age);
    if proven && fresh { Ok(()) } else { Err(Refusal::StepUpRequired { what, max_age }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Amr, Session, SessionId, UserId};

    fn settings(two_fa_enabled: bool, required_for: RequiredFor) -> Settings {
        let grace = |days: u64| Grace { since: NOW, period: Duration::from_secs(days * 24 * 60 * 60) };
        Settings {
            version: 1,
            change_time: None,
            admins: grace(0),
            users: grace(7),
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

    const FREE: SignIn = SignIn::Session { grace_end: None };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// What an account that is as old as the policy gets a day later.
    fn after(two_fa_enabled: bool, required_for: RequiredFor, role: Role, has_factor: bool) -> SignIn {
        let account = Standing { role, role_time: NOW, has_factor };
        sign_in(&settings(two_fa_enabled, required_for), account, NOW.plus(DAY))
    }

    #[test]
    fn an_enrolled_factor_is_waived_only_for_users_and_only_by_the_whole_switch() {
        for required_for in [RequiredFor::Nobody, RequiredFor::Admins, RequiredFor::All] {
            for role in [Role::User, Role::Admin] {
                assert_eq!(after(true, required_for, role, true), SignIn::Challenge);
            }
            assert_eq!(after(false, required_for, Role::User, true), FREE);
            assert_eq!(after(false, required_for, Role::Admin, true), SignIn::Challenge);
        }
    }

    #[test]
    fn whoever_must_have_a_factor_and_has_none_enrols_one_when_the_grace_is_over() {
        let without = |two_fa_enabled, required_for, role| after(two_fa_enabled, required_for, role, false);
        assert_eq!(without(true, RequiredFor::Admins, Role::Admin), SignIn::Enrolment);
        assert_eq!(without(true, RequiredFor::Admins, Role::User), FREE);
        let end = NOW.plus(DAY * 7);
        assert_eq!(without(true, RequiredFor::All, Role::User), SignIn::Session { grace_end: Some(end) });
        assert_eq!(without(false, RequiredFor::All, Role::User), FREE);
        assert_eq!(without(false, RequiredFor::All, Role::Admin), SignIn::Enrolment);
        assert_eq!(without(true, RequiredFor::Nobody, Role::Admin), FREE);
        let all = settings(true, RequiredFor::All);
        let of = |role_time, now| sign_in(&all, Standing { role: Role::User, role_time, has_factor: false }, now);
        assert_eq!(of(NOW, end), SignIn::Enrolment);
        assert_eq!(of(NOW.minus(DAY * 900), end), SignIn::Enrolment);
        assert_eq!(
            of(NOW.minus(DAY * 900), NOW),
            SignIn::Session { grace_end: Some(end) },
            "not from the day it was made"
        );
        assert_eq!(of(NOW.plus(DAY), end), SignIn::Session { grace_end: Some(end.plus(DAY)) }, "a new account");
    }

    #[test]
    fn the_grace_of_those_who_are_newly_asked_begins_with_the_change() {
        let later = NOW.plus(DAY);
        let (admins, all) = (settings(true, RequiredFor::Admins), settings(true, RequiredFor::All));
        let next = succeed(&admins, &all, later);
        assert_eq!((next.version, next.change_time), (2, Some(later)));
        assert_eq!((next.admins.since, next.users.since), (NOW, later), "administrators were asked before");
        let again = succeed(&next, &Settings { totp_digits: 8, ..next.clone() }, later.plus(DAY));
        assert_eq!((again.users.since, again.totp_digits), (later, 8));
        let off = succeed(&again, &Settings { two_fa_enabled: false, ..again.clone() }, later.plus(DAY));
        let on = succeed(&off, &Settings { two_fa_enabled: true, ..off.clone() }, later.plus(DAY * 2));
        assert_eq!(on.users.since, later.plus(DAY * 2), "nobody is stranded by the switch");
    }

    #[test]
    fn administrators_can_always_enrol_what_is_allowed() {
        let off = settings(false, RequiredFor::Nobody);
        assert!(may_enrol(&off, Role::Admin, Method::Totp, true).is_ok());
        assert_eq!(may_enrol(&off, Role::User, Method::Totp, true), Err(Refusal::TwoFaUnavailable));
        assert_eq!(may_enrol(&off, Role::Admin, Method::BackupCode, true), Err(Refusal::TwoFaUnavailable));
        let phones = Settings { allowed_methods: vec![Method::Phone], preferred_method: Method::Phone, ..off };
        assert_eq!(may_enrol(&phones, Role::Admin, Method::Totp, true), Err(Refusal::TwoFaUnavailable));
        assert!(may_enrol(&phones, Role::Admin, Method::Totp, false).is_ok(), "nothing else can be enrolled");
        assert_eq!([preferred(&phones, true), preferred(&phones, false)], [Method::Phone, Method::Totp]);
        let on = settings(true, RequiredFor::Nobody);
        assert!(may_enrol(&on, Role::User, Method::Totp, true).is_ok());
        assert!(!gives_backup_codes(&on), "they are not among the methods that are allowed");
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const MAX_AGE: Option<Duration> = Some(Duration::from_secs(300));

    fn session(acr: Acr, age: u64, has_factor: bool) -> LiveSession {
        let session = Session {
            id: SessionId::new(NOW),
            user: UserId::new(NOW),
            proof: model::Proof { auth_time: NOW.minus(Duration::from_secs(age)), amr: Amr::password(), acr },
            idle_end_time: NOW,
            end_time: NOW,
        };
        LiveSession { session, role: Role::User, blocked: false, has_factor, role_time: NOW }
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
        assert_eq!(refusal, Err(Refusal::StepUpRequired { what: Proof::Password, max_age: MAX_AGE }));
        let refusal = assure(Assurance::Highest, MAX_AGE, &session(Acr::One, 0, true), NOW);
        assert_eq!(refusal, Err(Refusal::StepUpRequired { what: Proof::SecondFactor, max_age: MAX_AGE }));
        let refusal = assure(Assurance::SecondFactor, None, &session(Acr::One, 0, false), NOW);
        assert_eq!(refusal, Err(Refusal::StepUpRequired { what: Proof::NewFactor, max_age: None }));
    }
}
