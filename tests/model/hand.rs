//! A user: in the model, and what they have in hand; and the comparison of the model with what the stores hold.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
    error::Error,
    model::{Acr, Caller, FactorId, FailureKey, Method, Principal, SessionId, UserId, has_factor},
};

use crate::{
    kit::Bench,
    reference::{Challenge, Code, Failures, OK, Outcome, Session, User, is_fresh},
};

/// A user.
pub struct Hand {
    pub id: UserId,
    pub model: User,
    pub password: Ladder,
    pub sets: Window,
    /// Every authenticator that the user ever had.
    pub apps: Vec<totp_rs::Totp>,
    /// The factor that each of them became.
    pub factor_ids: Vec<Option<FactorId>>,
    pub sids: Vec<SessionId>,
    /// The refresh token of each session, and the one before it with the moment of the change.
    pub refresh: Vec<(String, Option<(String, Timestamp)>)>,
    pub challenges: Vec<String>,
    pub backup_codes: Vec<String>,
}

/// The waits after wrong passwords, which a quiet day forgets.
#[derive(Default)]
pub struct Ladder {
    failures: Failures,
    end_time: Option<Timestamp>,
}

/// Five new sets of backup codes an hour.
#[derive(Default)]
pub struct Window {
    count: u32,
    end_time: Option<Timestamp>,
}

impl Ladder {
    pub fn expected(&mut self, right: bool, now: Timestamp) -> Outcome {
        let was_quiet = self.end_time.is_none_or(|end| end <= now);
        let mut paid = if was_quiet { Failures { count: 0, ..self.failures } } else { self.failures };
        if !paid.pay(now) {
            return "RATE_LIMITED";
        }
        self.failures = if right { Failures::default() } else { paid };
        self.end_time = Some(now.plus(Duration::from_secs(24 * 3600)));
        if right { OK } else { "INVALID_CREDENTIALS" }
    }
}

impl Window {
    pub fn pay(&mut self, now: Timestamp) -> bool {
        if self.end_time.is_none_or(|end| end <= now) {
            (self.count, self.end_time) = (0, Some(now.plus(Duration::from_secs(3600))));
        }
        self.count += 1;
        self.count <= 5
    }
}

impl Hand {
    pub fn new(id: UserId) -> Self {
        Self {
            id,
            model: User { version: 1, ..User::default() },
            password: Ladder::default(),
            sets: Window::default(),
            apps: Vec::new(),
            factor_ids: Vec::new(),
            sids: Vec::new(),
            refresh: Vec::new(),
            challenges: Vec::new(),
            backup_codes: Vec::new(),
        }
    }

    /// One of the sessions that live, by its number.
    pub fn pick_session(&self, pick: usize) -> Option<usize> {
        let live = &self.model.sessions;
        live.get(pick % live.len().max(1)).map(|session| session.number)
    }

    /// One of the factors, by its authenticator.
    pub fn pick_factor(&self, pick: usize) -> Option<usize> {
        let factors = &self.model.factors;
        factors.get(pick % factors.len().max(1)).map(|factor| factor.app)
    }

    /// A session has begun.
    pub fn begin(&mut self, sid: SessionId, refresh_token: &str, two_factors: bool, now: Timestamp) {
        self.model.sessions.push(Session { number: self.sids.len(), auth_time: now, two_factors });
        self.sids.push(sid);
        self.refresh.push((refresh_token.to_owned(), None));
    }

    /// A challenge was opened.
    pub fn open(&mut self, id: String, session: Option<usize>, now: Timestamp) -> Challenge {
        self.challenges.push(id);
        Challenge {
            number: self.challenges.len() - 1,
            version: self.model.version,
            attempts: 5,
            end_time: now.plus(Duration::from_secs(300)),
            session,
            offers_totp: true,
            offers_backup: self.model.remaining() > 0,
        }
    }

    /// What must come of a proof in a call, or of its absence.
    pub fn prove_in_call(&mut self, number: usize, code: Option<Code>, now: Timestamp) -> Outcome {
        if self.model.factors.is_empty() {
            return "TWO_FA_NOT_ENABLED";
        }
        let Some(code) = code else {
            let session = self.model.session(number).unwrap();
            return if session.two_factors && is_fresh(session, now) { OK } else { "STEP_UP_REQUIRED" };
        };
        self.model.prove(code, now)
    }

    /// The text of a code.
    pub fn code(&self, code: Code, now: Timestamp) -> String {
        let show = |app: usize, step: i64| self.apps[app].generate((step * 30).cast_unsigned()).to_string();
        match code {
            Code::Totp { app, step } => show(app, step),
            Code::WrongDigits => {
                let present = now.seconds().div_euclid(30);
                let steps = || (0..self.apps.len()).flat_map(|app| (-1..=1).map(move |offset| (app, present + offset)));
                let right: Vec<_> = steps().map(|(app, step)| show(app, step)).collect();
                (0..).map(|n| format!("{n:06}")).find(|text| !right.contains(text)).unwrap()
            }
            Code::Backup(index) => self.backup_codes[index].clone(),
            Code::WrongBackup => {
                let letters = b"ABCDEFGHJKLM";
                let text = |n: usize| format!("AAAAAAA{}", char::from(letters[n]));
                (0..letters.len()).map(text).find(|text| !self.backup_codes.contains(text)).unwrap()
            }
            Code::Misfit => "no code".to_owned(),
        }
    }
}

/// Holds what the stores have of a user against the model.
pub async fn compare(bench: &Bench, hand: &Hand, now: Timestamp) -> Result<(), String> {
    let (store, model) = (&bench.kit.store, &hand.model);
    let factors = store.factors(hand.id).await.unwrap();
    let mut spent: Vec<_> = factors.iter().filter(|f| f.method == Method::Totp).map(|f| f.spent).collect();
    let mut expected: Vec<_> = model.factors.iter().map(|factor| factor.spent).collect();
    spent.sort_unstable();
    expected.sort_unstable();
    differs("spent steps", &spent, &expected)?;
    let bits = |used: &Vec<bool>| used.iter().rev().fold(0_i64, |bits, used| bits << 1 | i64::from(*used));
    let set = factors.iter().find(|factor| factor.method == Method::BackupCode).map(|set| set.spent.count_ones());
    differs("used backup codes", &set, &model.backup.as_ref().map(|used| bits(used).count_ones()))?;
    if set.is_some() && !has_factor(&factors) {
        return Err("backup codes without a factor".to_owned());
    }

    let mut sessions = store.sessions(hand.id, None, 1000, now).await.unwrap();
    let mut live: Vec<_> = model.sessions.iter().map(|session| hand.sids[session.number]).collect();
    sessions.sort_by_key(|details| details.session.id);
    live.sort();
    differs("sessions", &sessions.iter().map(|details| details.session.id).collect(), &live)?;
    if has_factor(&factors) && sessions.iter().any(|details| details.session.proof.acr != Acr::Two) {
        return Err("a session without the factor that the account has".to_owned());
    }

    for (key, failures) in [
        (FailureKey::Method(Method::Totp), model.totp),
        (FailureKey::Method(Method::BackupCode), model.backup_codes),
        (FailureKey::Enrolment(Method::Totp), model.enrolment),
    ] {
        let locked = store.locked_until(hand.id, key).await.unwrap().filter(|until| *until > now);
        differs(key.as_str(), &locked, &failures.locked_until.filter(|until| *until > now))?;
    }
    Ok(())
}

/// The reason of an error, or "OK".
pub fn outcome<T>(result: &Result<T, Error>) -> Outcome {
    match result {
        Ok(_) => OK,
        Err(Error::Refused(refusal)) => refusal.reason(),
        Err(Error::Broken(fault)) => panic!("{fault:#}"),
    }
}

/// Whether the verb answered what the model did.
pub fn same(answered: Outcome, expected: Outcome) -> Result<(), String> {
    differs("the answer", &answered, &expected)
}

/// The user who calls.
pub fn principal(caller: &Caller) -> &Principal {
    let Caller::User(principal) = caller else {
        panic!("a user was expected");
    };
    principal
}

fn differs<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, expected: &T) -> Result<(), String> {
    if is == expected { Ok(()) } else { Err(format!("{what}: {is:?}, expected {expected:?}")) }
}
