//! The users who make the calls: whose turn it is, which codes they have used, and what they hold.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::wire::pb;
use tonic::{Request, Response, Status};

use crate::{
    clock::unix_millis,
    load::{self, Answer, Extent},
    seed::{BACKUP_CODES, PASSWORD, Part, TOTP_SECRET, email},
    stack::Client,
};

/// Coprime to the number of users: neighbours in time are no neighbours in the database.
const STRIDE: u64 = 7919;
/// More than sign in at once, by far.
const REGULARS: u64 = 200;

/// Everybody.
pub struct Crowd {
    clients: RwLock<Vec<Client>>,
    /// How many tens of users there are.
    tens: u64,
    turns: [AtomicU64; Part::EACH as usize],
    turn: AtomicUsize,
    /// Per user: the last time step of which a code was used, and how many backup codes.
    used: Vec<(AtomicU64, AtomicUsize)>,
    /// What sessions have to show.
    pub sessions: Mutex<VecDeque<Session>>,
    pub challenges: Mutex<Vec<Challenge>>,
}

/// A session's tokens.
#[derive(Clone)]
pub struct Session {
    pub access_token: String,
    pub refresh_token: String,
}

/// An open challenge.
pub struct Challenge {
    pub user: u32,
    pub id: String,
}

impl Crowd {
    pub fn new(users: u32) -> Self {
        Self {
            clients: RwLock::default(),
            tens: u64::from(users / Part::EACH),
            turns: Default::default(),
            turn: AtomicUsize::new(0),
            used: (0..users).map(|_| Default::default()).collect(),
            sessions: Mutex::default(),
            challenges: Mutex::default(),
        }
    }

    /// Others call from now on.
    pub fn connect(&self, clients: Vec<Client>) {
        *self.clients.write().unwrap() = clients;
    }

    pub fn client(&self) -> Client {
        let clients = self.clients.read().unwrap();
        clients[self.turn.fetch_add(1, Ordering::Relaxed) % clients.len()].clone()
    }

    /// The next user of a part.
    pub fn next(&self, part: Part) -> u32 {
        self.next_of(part, self.tens)
    }

    /// The next of those who sign in by password alone. They are few, so that their networks are known: most who sign in have
    /// done so before.
    pub fn next_regular(&self) -> u32 {
        self.next_of(Part::Plain, self.tens.min(REGULARS))
    }

    /// Lets all of those sign in once.
    pub async fn introduce_regulars(&'static self) {
        let calls = usize::try_from(self.tens.min(REGULARS)).unwrap();
        let run = load::saturate(8, Extent { seconds: f64::MAX, calls }, |_| async {
            ended(self.local_auth(self.next_regular()).await)
        });
        let faults = run.await.faults;
        assert!(faults.is_empty(), "regulars cannot sign in: {faults:?}");
    }

    fn next_of(&self, part: Part, tens: u64) -> u32 {
        let places = part.places();
        let turn = self.turns[places.start as usize].fetch_add(1, Ordering::Relaxed) % (tens * places.len() as u64);
        let (ten, place) = (turn / places.len() as u64, turn % places.len() as u64);
        let user = (ten * STRIDE % self.tens) * u64::from(Part::EACH) + u64::from(places.start) + place;
        u32::try_from(user).unwrap()
    }

    /// The next user of a part who has a code that was not used; None when nobody has.
    pub fn next_with_code(&self, part: Part) -> Option<u32> {
        let all = self.tens * part.places().len() as u64;
        (0..all).map(|_| self.next(part)).find(|user| self.used(*user).0.load(Ordering::Relaxed) <= step())
    }

    /// How many users of a part have a code that was not used.
    pub fn codes(&self, part: Part) -> usize {
        let all = self.tens * part.places().len() as u64;
        let users = (0..all).map(|_| self.next(part));
        users.filter(|user| self.used(*user).0.load(Ordering::Relaxed) <= step()).count()
    }

    /// Waits until half of the users of a part have a code that was not used: there is a new one every 30 s.
    pub async fn wait_for_codes(&self, part: Part) {
        while self.codes(part) * 2 < (self.tens as usize) * part.places().len() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    fn used(&self, user: u32) -> &(AtomicU64, AtomicUsize) {
        &self.used[user as usize]
    }

    /// The next code of an authenticator: that of the time, or the one after it.
    pub fn code(&self, user: u32) -> String {
        let last = &self.used(user).0;
        let step = step().max(last.load(Ordering::Relaxed) + 1);
        last.store(step, Ordering::Relaxed);
        totp(step)
    }

    /// The next backup code of a user.
    pub fn backup_code(&self, user: u32) -> &'static str {
        BACKUP_CODES[self.used(user).1.fetch_add(1, Ordering::Relaxed) % BACKUP_CODES.len()]
    }

    /// Signs a user in by password.
    pub async fn local_auth(&self, user: u32) -> Result<pb::LocalAuthResponse, Status> {
        let request = pb::LocalAuthRequest { email: email(user), password: PASSWORD.to_owned() };
        self.client().twofa.local_auth(from(request, user)).await.map(Response::into_inner)
    }

    /// Answers a challenge.
    pub async fn verify(&self, challenge: Challenge, code: String) -> Result<pb::VerifyResponse, Status> {
        let request = pb::VerifyRequest { code, challenge_id: challenge.id, method: 0 };
        self.client().twofa.verify(from(request, challenge.user)).await.map(Response::into_inner)
    }

    /// Opens so many challenges of users who have a code, one for each.
    pub async fn open_challenges(&'static self, count: usize) {
        let extent = Extent { seconds: f64::MAX, calls: count.min(self.codes(Part::EnrolledWeak)) };
        let run = load::saturate(16, extent, |_| async {
            let user = self.next_with_code(Part::EnrolledWeak).ok_or("every code is used up")?;
            let opened = words(self.local_auth(user).await)?;
            self.challenges.lock().unwrap().push(Challenge { user, id: opened.challenge_id });
            Ok(())
        });
        let faults = run.await.faults;
        assert!(faults.is_empty(), "challenges cannot be opened: {faults:?}");
    }

    /// Opens so many sessions.
    pub async fn open_sessions(&'static self, count: usize) {
        let extent = Extent { seconds: f64::MAX, calls: count };
        let run = load::saturate(16, extent, |_| async {
            let opened = words(self.local_auth(self.next(Part::PlainWeak)).await)?;
            let session = Session { access_token: opened.access_token, refresh_token: opened.refresh_token };
            self.sessions.lock().unwrap().push_back(session);
            Ok(())
        });
        let faults = run.await.faults;
        assert!(faults.is_empty(), "sessions cannot be opened: {faults:?}");
    }
}

/// A call from the address of a user.
pub fn from<T>(message: T, user: u32) -> Request<T> {
    let [_, a, b, c] = user.to_be_bytes();
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-forwarded-for", format!("10.{a}.{b}.{c}").parse().unwrap());
    request
}

/// What is counted of an answer.
pub fn words<T>(answer: Result<T, Status>) -> Result<T, String> {
    answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))
}

/// What is counted of an answer of which nothing is kept.
pub fn ended<T>(answer: Result<T, Status>) -> Answer {
    words(answer).map(drop)
}

fn step() -> u64 {
    unix_millis().cast_unsigned() / 30_000
}

fn totp(step: u64) -> String {
    let key = totp_rs::Builder::new().with_secret(TOTP_SECRET.to_vec()).build().unwrap();
    key.generate(step * 30).to_string()
}
