//! What must come of each step, in plain lists. No store, no hash, no race: short enough to be seen right.

use std::time::Duration;

use countersign::clock::Timestamp;

/// What a step answers: "OK", or the reason of the refusal.
pub type Outcome = &'static str;

pub const OK: Outcome = "OK";
const EXPIRED: Outcome = "CHALLENGE_EXPIRED";
const INVALID: Outcome = "INVALID_CODE";
const LIMITED: Outcome = "RATE_LIMITED";

/// A factor.
#[derive(Clone)]
pub struct Factor {
    /// Which authenticator it is of.
    pub app: usize,
    /// The last step that was used.
    pub spent: i64,
}

/// A session.
#[derive(Clone)]
pub struct Session {
    /// Its place among all that the user ever had.
    pub number: usize,
    pub auth_time: Timestamp,
    pub two_factors: bool,
}

/// A challenge.
#[derive(Clone)]
pub struct Challenge {
    /// Its place among all that the user ever had.
    pub number: usize,
    pub version: u64,
    pub attempts: u32,
    pub end_time: Timestamp,
    /// The session that it belongs to.
    pub session: Option<usize>,
    pub offers_totp: bool,
    pub offers_backup: bool,
}

/// A pending enrolment.
#[derive(Clone)]
pub struct Pending {
    pub app: usize,
    pub session: usize,
    pub version: u64,
    pub attempts: u32,
    pub end_time: Timestamp,
    pub replaces: Option<usize>,
}

/// Failures in a row.
#[derive(Clone, Copy, Default)]
pub struct Failures {
    pub count: u64,
    pub locked_until: Option<Timestamp>,
}

/// A user.
#[derive(Clone, Default)]
pub struct User {
    pub version: u64,
    pub factors: Vec<Factor>,
    /// Which codes of the set are used; None = there is no set.
    pub backup: Option<Vec<bool>>,
    pub sessions: Vec<Session>,
    pub logins: Vec<Challenge>,
    pub step_ups: Vec<Challenge>,
    pub pending: Option<Pending>,
    pub totp: Failures,
    pub backup_codes: Failures,
    pub enrolment: Failures,
}

/// What a code is, as the one who typed it knows.
#[derive(Clone, Copy)]
pub enum Code {
    /// Of an authenticator, for a step.
    Totp { app: usize, step: i64 },
    /// Digits of no authenticator of the user.
    WrongDigits,
    /// One of the present set.
    Backup(usize),
    /// Of no set.
    WrongBackup,
    /// Of no form.
    Misfit,
}

impl Failures {
    /// Pays for a try; false = it is not judged.
    pub fn pay(&mut self, now: Timestamp) -> bool {
        if self.locked_until.is_some_and(|until| until > now) {
            return false;
        }
        self.count += 1;
        let waits = [30, 60, 120, 300, 900, 1800, 3600];
        let wait = self.count.checked_sub(5).map(|over| waits[usize::try_from(over).unwrap().min(6)]);
        self.locked_until = wait.map(|seconds| now.plus(Duration::from_secs(seconds)));
        true
    }

    fn refund(&mut self) {
        self.count -= 1;
        self.locked_until = None;
    }
}

impl User {
    pub fn remaining(&self) -> usize {
        self.backup.as_ref().map_or(0, |used| used.iter().filter(|used| !**used).count())
    }

    pub fn session(&mut self, number: usize) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.number == number)
    }

    /// Whether a session is proven as highly as the account can be, within 300 s.
    pub fn is_highest(&self, session: &Session, now: Timestamp) -> bool {
        (self.factors.is_empty() || session.two_factors) && is_fresh(session, now)
    }

    /// Judges a code that answers nothing but a call.
    pub fn prove(&mut self, code: Code, now: Timestamp) -> Outcome {
        let (totp, backup) = (!self.factors.is_empty(), self.remaining() > 0);
        self.judge(code, totp, backup, now)
    }

    /// Judges a code of what is offered.
    fn judge(&mut self, code: Code, offers_totp: bool, offers_backup: bool, now: Timestamp) -> Outcome {
        match code {
            Code::Totp { .. } | Code::WrongDigits if offers_totp => {
                if !self.totp.pay(now) {
                    return LIMITED;
                }
                let Code::Totp { app, step } = code else {
                    return INVALID;
                };
                let present = now.seconds().div_euclid(30);
                let fits = (present - 1..=present + 1).contains(&step);
                let Some(factor) = self.factors.iter_mut().find(|factor| factor.app == app && fits) else {
                    return INVALID;
                };
                if step <= factor.spent {
                    self.totp.refund();
                    return INVALID;
                }
                factor.spent = step;
                self.totp = Failures::default();
                OK
            }
            Code::Backup(_) | Code::WrongBackup if offers_backup => {
                if !self.backup_codes.pay(now) {
                    return LIMITED;
                }
                let (Code::Backup(index), Some(used)) = (code, &mut self.backup) else {
                    return INVALID;
                };
                if std::mem::replace(&mut used[index], true) {
                    self.backup_codes.refund();
                    return INVALID;
                }
                self.backup_codes = Failures::default();
                OK
            }
            Code::Totp { .. } | Code::WrongDigits | Code::Backup(_) | Code::WrongBackup | Code::Misfit => INVALID,
        }
    }

    /// Answers a challenge; on "OK" it is spent.
    pub fn answer(
        &mut self,
        step_up: bool,
        number: usize,
        caller: Option<usize>,
        code: Code,
        now: Timestamp,
    ) -> Outcome {
        let list = if step_up { &mut self.step_ups } else { &mut self.logins };
        let Some(at) = list.iter().position(|open| open.number == number && open.end_time > now && open.attempts > 0)
        else {
            return EXPIRED;
        };
        let open = list[at].clone();
        if open.session.is_some() && open.session != caller {
            return EXPIRED;
        }
        if open.version != self.version {
            list.remove(at);
            return EXPIRED;
        }
        list[at].attempts -= 1;
        let outcome = self.judge(code, open.offers_totp, open.offers_backup, now);
        let list = if step_up { &mut self.step_ups } else { &mut self.logins };
        match outcome {
            OK => {
                list.remove(at);
            }
            LIMITED => list[at].attempts += 1,
            _ => {}
        }
        outcome
    }

    /// Confirms the pending enrolment.
    pub fn confirm(&mut self, caller: usize, right: bool, now: Timestamp) -> Outcome {
        let Some(pending) = self.pending.clone().filter(|pending| pending.end_time > now && pending.attempts > 0)
        else {
            return EXPIRED;
        };
        if pending.session != caller {
            return EXPIRED;
        }
        if pending.version != self.version {
            self.pending = None;
            return EXPIRED;
        }
        if !self.enrolment.pay(now) {
            return LIMITED;
        }
        if !right {
            self.pending.as_mut().unwrap().attempts -= 1;
            return INVALID;
        }
        let is_first = self.factors.is_empty();
        if let Some(replaced) = pending.replaces {
            self.factors.retain(|factor| factor.app != replaced);
        }
        self.factors.push(Factor { app: pending.app, spent: now.seconds().div_euclid(30) });
        (self.totp, self.enrolment, self.pending) = (Failures::default(), Failures::default(), None);
        self.version += 1;
        if is_first {
            self.backup = Some(vec![false; 10]);
            self.backup_codes = Failures::default();
            self.sessions.retain(|session| session.number == caller);
        }
        self.lift(caller, now);
        OK
    }

    /// A session was proven by a second factor.
    pub fn lift(&mut self, number: usize, now: Timestamp) {
        let session = self.session(number).unwrap();
        (session.auth_time, session.two_factors) = (now, true);
    }
}

/// Opens a challenge on a list that holds five.
pub fn open(list: &mut Vec<Challenge>, challenge: Challenge, now: Timestamp) {
    list.retain(|open| open.end_time > now);
    if list.len() >= 5 {
        list.remove(0);
    }
    list.push(challenge);
}

pub fn is_fresh(session: &Session, now: Timestamp) -> bool {
    now.since(session.auth_time) <= Duration::from_secs(300)
}
