//! Takes each step on the real verbs and on the model, and compares what they answer and what they are then.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
    error::Error,
    flow::{self, ChangePasswordRequest, DisableRequest, EnableRequest, InCall, SignIn, VerifyRequest, What},
    model::{Acr, Amr, Caller, Email, Method, Proof, Role, Session},
    secret::Secret,
};

use crate::{
    hand::{Hand, compare, outcome, principal, same},
    kit::{Bench, NOW, PASSWORD, call},
    reference::{self, Code, Failures, OK, Pending},
    step::{Step, Typed},
};

const EMAILS: [&str; 3] = ["alice@example.com", "bob@example.com", "carol@example.com"];

/// The verbs, the model, and what a user would have in hand.
pub struct System {
    bench: Bench,
    pub now: Timestamp,
    hands: Vec<Hand>,
}

impl System {
    pub async fn new() -> Self {
        let bench = Bench::new(&EMAILS).await;
        let mut hands = Vec::new();
        for email in EMAILS {
            let account = bench.kit.store.find_account_by_email(&Email::parse(email).unwrap()).await.unwrap();
            hands.push(Hand::new(account.unwrap().id));
        }
        Self { bench, now: NOW, hands }
    }

    /// Takes a step; says what is different, if anything is.
    pub async fn take(&mut self, step: &Step) -> Result<(), String> {
        self.act(step).await?;
        match step.user() {
            Some(user) => compare(&self.bench, &self.hands[user], self.now).await,
            None => Ok(()),
        }
    }

    /// Compares every user.
    pub async fn compare_all(&self) -> Result<(), String> {
        for hand in &self.hands {
            compare(&self.bench, hand, self.now).await?;
        }
        Ok(())
    }

    async fn act(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::SignIn { user, right } => self.sign_in(user, right).await?,
            Step::Enrol { user } => {
                self.sign_in(user, true).await?;
                let newest = self.hands[user].model.sessions.len().saturating_sub(1);
                self.enable(user, newest, None).await?;
                self.confirm(user, newest, true).await?;
            }
            Step::Login { user, code } => {
                self.sign_in(user, true).await?;
                self.verify(user, 0, code).await?;
            }
            Step::Guess { user, times, backup } => {
                let code = if backup { Typed::WrongBackup } else { Typed::WrongDigits };
                for _ in 0..times {
                    self.sign_in(user, true).await?;
                    self.verify(user, 0, code).await?;
                }
            }
            Step::Enable { user, session, replaces } => self.enable(user, session, replaces).await?,
            Step::Confirm { user, session, right } => self.confirm(user, session, right).await?,
            Step::Verify { user, challenge, code } => self.verify(user, challenge, code).await?,
            Step::OpenStepUp { user, session } => self.step_up(user, session).await?,
            Step::VerifyStepUp { user, challenge, session, code } => {
                self.verify_step_up(user, challenge, session, code).await?;
            }
            Step::Generate { user, session, code } => self.generate(user, session, code).await?,
            Step::Disable { user, session, factor, code } => self.disable(user, session, factor, code).await?,
            Step::Refresh { user, session, previous } => self.refresh(user, session, previous).await?,
            Step::EndSession { user, session, all } => self.end_session(user, session, all).await?,
            Step::ChangePassword { user, session } => self.change_password(user, session).await?,
            Step::Wait { seconds } => self.now = self.now.plus(Duration::from_secs(seconds)),
        }
        Ok(())
    }

    async fn sign_in(&mut self, user: usize, right: bool) -> Result<(), String> {
        let (now, hand) = (self.now, &mut self.hands[user]);
        let password = Secret::new(if right { PASSWORD } else { "a wrong password" }.to_owned());
        let answer = flow::local_auth(&self.bench.kit, EMAILS[user], &password, &call(now)).await;
        let expected = hand.password.expected(right, now);
        same(outcome(&answer), expected)?;
        match answer {
            Ok(SignIn::Tokens { tokens, .. }) if hand.model.factors.is_empty() => {
                let sid = self.bench.kit.access.read(tokens.access_token.expose(), now).unwrap().sid;
                hand.begin(sid, tokens.refresh_token.unwrap().expose(), false, now);
            }
            Ok(SignIn::Challenge(challenge)) if !hand.model.factors.is_empty() => {
                let opened = hand.open(challenge.handle.to_text(), None, now);
                reference::open(&mut hand.model.logins, opened, now);
            }
            Ok(_) => return Err("a session where a challenge was expected, or the reverse".to_owned()),
            Err(_) => {}
        }
        Ok(())
    }

    async fn enable(&mut self, user: usize, session: usize, replaces: Option<usize>) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let hand = &self.hands[user];
        let model_session = hand.model.sessions.iter().find(|s| s.number == number).unwrap().clone();
        let replaced = replaces.and_then(|pick| hand.pick_factor(pick));
        let expected = if !hand.model.is_highest(&model_session, now) {
            "STEP_UP_REQUIRED"
        } else if replaced.is_none() && hand.model.factors.len() >= 5 {
            "TWO_FA_UNAVAILABLE"
        } else {
            OK
        };
        let replaces = replaced.map(|app| hand.factor_ids[app].unwrap());
        let request = EnableRequest { method: None, phone_number: String::new(), label: String::new(), replaces };
        let answer = match self.caller("TwoFaService/Enable", user, number).await {
            Ok(caller) => flow::enable(&self.bench.kit, &caller, request, &call(now)).await,
            Err(error) => Err(error),
        };
        same(outcome(&answer), expected)?;
        if let Ok(enabled) = answer {
            let hand = &mut self.hands[user];
            hand.apps.push(totp_rs::Totp::from_url(enabled.shown.key().unwrap().uri.expose()).unwrap());
            hand.factor_ids.push(None);
            hand.model.pending = Some(Pending {
                app: hand.apps.len() - 1,
                session: number,
                version: hand.model.version,
                attempts: 5,
                end_time: now.plus(Duration::from_secs(600)),
                replaces: replaced,
            });
        }
        Ok(())
    }

    async fn confirm(&mut self, user: usize, session: usize, right: bool) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let hand = &self.hands[user];
        let app = hand.model.pending.as_ref().map(|pending| pending.app);
        let code = match app {
            Some(app) if right => hand.code(Code::Totp { app, step: now.seconds().div_euclid(30) }, now),
            _ => hand.code(Code::WrongDigits, now),
        };
        let answer = self.answer_as(user, number, String::new(), code).await;
        let hand = &mut self.hands[user];
        let was_first = hand.model.factors.is_empty();
        same(outcome(&answer), hand.model.confirm(number, right && app.is_some(), now))?;
        if let Ok(verified) = answer {
            if was_first {
                hand.backup_codes = verified.backup_codes.iter().map(|code| code.expose().clone()).collect();
            }
            let factors = self.bench.kit.store.factors(hand.id).await.unwrap();
            let known: Vec<_> = hand.factor_ids.iter().flatten().copied().collect();
            let new = factors.iter().find(|f| f.method == Method::Totp && !known.contains(&f.id)).unwrap().id;
            hand.factor_ids[app.unwrap()] = Some(new);
        }
        Ok(())
    }

    async fn verify(&mut self, user: usize, challenge: usize, typed: Typed) -> Result<(), String> {
        let now = self.now;
        let hand = &self.hands[user];
        if hand.challenges.is_empty() {
            return Ok(());
        }
        // Among the last ones, so that what is over is tried too.
        let number = hand.challenges.len() - 1 - challenge.min(hand.challenges.len() - 1);
        let code = self.read(user, typed);
        let request = VerifyRequest {
            code: self.typed(user, typed, code),
            challenge_id: hand.challenges[number].clone(),
            method: None,
        };
        let answer = flow::verify(&self.bench.kit, &Caller::Anonymous, &request, &call(now)).await;
        let hand = &mut self.hands[user];
        same(outcome(&answer), hand.model.answer(false, number, None, code, now))?;
        if let Ok(verified) = answer {
            let sid = self.bench.kit.access.read(verified.tokens.access_token.expose(), now).unwrap().sid;
            hand.begin(sid, verified.tokens.refresh_token.unwrap().expose(), true, now);
        }
        Ok(())
    }

    async fn step_up(&mut self, user: usize, session: usize) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let answer = match self.caller("TwoFaService/CreateChallenge", user, number).await {
            Ok(caller) => flow::create_challenge(&self.bench.kit, principal(&caller), None, &call(now)).await,
            Err(error) => Err(error),
        };
        let hand = &mut self.hands[user];
        same(outcome(&answer), if hand.model.factors.is_empty() { "TWO_FA_NOT_ENABLED" } else { OK })?;
        if let Ok(challenge) = answer {
            let opened = hand.open(challenge.handle.to_text(), Some(number), now);
            reference::open(&mut hand.model.step_ups, opened, now);
        }
        Ok(())
    }

    async fn verify_step_up(&mut self, user: usize, pick: usize, session: usize, typed: Typed) -> Result<(), String> {
        let now = self.now;
        let Some(caller) = self.hands[user].pick_session(session) else { return Ok(()) };
        let open = &self.hands[user].model.step_ups;
        let Some(number) = open.get(pick % open.len().max(1)).map(|open| open.number) else { return Ok(()) };
        let code = self.read(user, typed);
        let text = self.typed(user, typed, code);
        let answer = self.answer_as(user, caller, self.hands[user].challenges[number].clone(), text).await;
        let hand = &mut self.hands[user];
        let expected = hand.model.answer(true, number, Some(caller), code, now);
        if expected == OK {
            hand.model.lift(caller, now);
        }
        same(outcome(&answer), expected)
    }

    async fn generate(&mut self, user: usize, session: usize, typed: Option<Typed>) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let (proof, code) = self.in_call(user, typed);
        let answer = match self.caller("TwoFaService/GenerateBackupCodes", user, number).await {
            Ok(caller) => flow::generate_backup_codes(&self.bench.kit, principal(&caller), &proof, &call(now)).await,
            Err(error) => Err(error),
        };
        let hand = &mut self.hands[user];
        let mut expected = hand.prove_in_call(number, code, now);
        if expected == OK && !hand.sets.pay(now) {
            // The code was judged, so it is used up.
            expected = "RATE_LIMITED";
        }
        same(outcome(&answer), expected)?;
        if let Ok(codes) = answer {
            hand.backup_codes = codes.iter().map(|code| code.expose().clone()).collect();
            hand.model.backup = Some(vec![false; 10]);
            hand.model.backup_codes = Failures::default();
            hand.model.version += 1;
        }
        Ok(())
    }

    async fn disable(
        &mut self,
        user: usize,
        session: usize,
        pick: Option<usize>,
        typed: Option<Typed>,
    ) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let (proof, code) = self.in_call(user, typed);
        let app = pick.and_then(|pick| self.hands[user].pick_factor(pick));
        let what = app.map_or(What::All, |app| What::Factor(self.hands[user].factor_ids[app].unwrap()));
        let request = DisableRequest { what, proof };
        let answer = match self.caller("TwoFaService/Disable", user, number).await {
            Ok(caller) => flow::disable(&self.bench.kit, principal(&caller), &request, &call(now)).await,
            Err(error) => Err(error),
        };
        let hand = &mut self.hands[user];
        let expected = hand.prove_in_call(number, code, now);
        if expected == OK {
            hand.model.factors.retain(|factor| app.is_some_and(|app| factor.app != app));
            if hand.model.factors.is_empty() {
                hand.model.backup = None;
            }
            hand.model.version += 1;
        }
        same(outcome(&answer), expected)
    }

    async fn refresh(&mut self, user: usize, session: usize, previous: bool) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let hand = &mut self.hands[user];
        let (current, before) = hand.refresh[number].clone();
        let (shown, is_late) = match before.filter(|_| previous) {
            None => (current.clone(), None),
            Some((token, rotated)) => (token, Some(now >= rotated.plus(Duration::from_secs(10)))),
        };
        let answer = flow::refresh_session(&self.bench.kit, &Secret::new(shown.clone()), &call(now)).await;
        same(outcome(&answer), if is_late == Some(true) { "UNAUTHENTICATED" } else { OK })?;
        match answer {
            Err(_) => hand.model.sessions.retain(|session| session.number != number),
            Ok(tokens) => {
                let successor = tokens.refresh_token.unwrap().expose().clone();
                if is_late.is_none() {
                    hand.refresh[number] = (successor, Some((shown, now)));
                } else if successor != current {
                    return Err("the predecessor gave another successor".to_owned());
                }
            }
        }
        Ok(())
    }

    async fn end_session(&mut self, user: usize, session: usize, all: bool) -> Result<(), String> {
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let answer = match self.caller("SessionService/EndSession", user, number).await {
            Ok(caller) => flow::end_session(&self.bench.kit, principal(&caller), all, &call(self.now)).await,
            Err(error) => Err(error),
        };
        self.hands[user].model.sessions.retain(|session| !all && session.number != number);
        same(outcome(&answer), OK)
    }

    async fn change_password(&mut self, user: usize, session: usize) -> Result<(), String> {
        let now = self.now;
        let Some(number) = self.hands[user].pick_session(session) else { return Ok(()) };
        let request = ChangePasswordRequest {
            current_password: Secret::new(PASSWORD.to_owned()),
            new_password: Secret::new(PASSWORD.to_owned()),
            proof: InCall { code: String::new(), challenge_id: String::new() },
        };
        let answer = match self.caller("SessionService/ChangePassword", user, number).await {
            Ok(caller) => flow::change_password(&self.bench.kit, principal(&caller), &request, &call(now)).await,
            Err(error) => Err(error),
        };
        let hand = &mut self.hands[user];
        let expected = hand.password.expected(true, now);
        if expected == OK {
            hand.model.sessions.retain(|session| session.number == number);
            hand.model.version += 1;
        }
        same(outcome(&answer), expected)
    }

    async fn answer_as(
        &self,
        user: usize,
        number: usize,
        challenge_id: String,
        code: String,
    ) -> Result<flow::Verified, Error> {
        let caller = self.caller("TwoFaService/Verify", user, number).await?;
        let request = VerifyRequest { code, challenge_id, method: None };
        flow::verify(&self.bench.kit, &caller, &request, &call(self.now)).await
    }

    /// Who calls with a token of a session. Tokens are made anew: their end is not what is looked at here.
    async fn caller(&self, rpc: &str, user: usize, number: usize) -> Result<Caller, Error> {
        let hand = &self.hands[user];
        let proof = Proof { auth_time: self.now, amr: Amr::password(), acr: Acr::One };
        let (id, user) = (hand.sids[number], hand.id);
        let session = Session { id, user, proof, idle_end_time: self.now, end_time: self.now };
        let token = self.bench.kit.access.issue(&session, Role::User, self.now).unwrap();
        self.bench.admit(rpc, &token, self.now).await
    }

    /// What a typed code is to the user whom it is typed for.
    fn read(&self, user: usize, typed: Typed) -> Code {
        let hand = &self.hands[user];
        match typed {
            // Of any authenticator that the user ever had: also one that is not confirmed yet, or was removed.
            Typed::Totp { factor, offset } => match hand.apps.len().checked_sub(1 + factor) {
                Some(app) => Code::Totp { app, step: self.now.seconds().div_euclid(30) + offset },
                None => Code::WrongDigits,
            },
            Typed::WrongDigits | Typed::Foreign => Code::WrongDigits,
            Typed::Backup(index) if hand.model.backup.is_some() => Code::Backup(index),
            Typed::Backup(_) | Typed::WrongBackup => Code::WrongBackup,
            Typed::Misfit => Code::Misfit,
        }
    }

    fn typed(&self, user: usize, typed: Typed, code: Code) -> String {
        let other = &self.hands[(user + 1) % EMAILS.len()];
        match (typed, other.apps.last()) {
            (Typed::Foreign, Some(app)) => app.generate(self.now.seconds().cast_unsigned()).to_string(),
            _ => self.hands[user].code(code, self.now),
        }
    }

    fn in_call(&self, user: usize, typed: Option<Typed>) -> (InCall, Option<Code>) {
        let code = typed.map(|typed| self.read(user, typed));
        let text = typed.zip(code).map(|(typed, code)| self.typed(user, typed, code)).unwrap_or_default();
        (InCall { code: text, challenge_id: String::new() }, code)
    }
}
