//! Every key is rotated while three replicas serve and people sign in: nobody is turned away, and a replica that dies in the middle
//! delays no more than itself.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::wire::pb::{
    self, session_service_client::SessionServiceClient, two_fa_service_client::TwoFaServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use crate::{
    replica::{Enrolled, Fleet, PASSWORD, Replica, reason, unix_seconds, until, with_token},
    servers::{redis, sql::Sql},
};

/// Each signs in with its backup codes, again and again.
pub const USERS: usize = 4;

/// What a command says; it must succeed.
pub fn said(fleet: &Fleet, args: &[&str]) -> String {
    let (done, told) = ran(fleet, args);
    assert!(done, "{args:?}: {told}");
    told
}

pub fn ran(fleet: &Fleet, args: &[&str]) -> (bool, String) {
    let output = fleet.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The key of a use in a state, as `keys status` shows it.
fn key(fleet: &Fleet, key_use: &str, state: &str) -> String {
    let told = said(fleet, &["keys", "status"]);
    let is_it = |line: &&str| {
        let words: Vec<_> = line.split_whitespace().collect();
        words.get(1) == Some(&key_use) && words.get(2) == Some(&state)
    };
    let line = told.lines().find(is_it).unwrap_or_else(|| panic!("no {state} {key_use} key: {told}"));
    line.split_whitespace().next().unwrap().to_owned()
}

/// The replica that dies.
const MORTAL: usize = 2;
/// Accounts with two sealed values each: sealing them anew takes a while.
const ACCOUNTS: usize = 3000;

/// People who sign in all the while. Whoever is turned away fails the test, but by the one that has died.
pub struct Load {
    course: Arc<Course>,
    people: JoinSet<()>,
}

/// How it goes.
#[derive(Default)]
struct Course {
    is_over: AtomicBool,
    has_died: AtomicBool,
    done: AtomicUsize,
}

impl Load {
    pub fn start(users: Vec<Enrolled>, replicas: &[Replica]) -> Self {
        let (course, mut people) = (Arc::new(Course::default()), JoinSet::new());
        for (n, user) in users.into_iter().enumerate() {
            let clients = replicas.iter().map(|replica| (replica.twofa.clone(), replica.sessions.clone())).collect();
            let person = Person { codes: user.backup_codes, email: user.email, clients };
            people.spawn(person.live(n, Arc::clone(&course)));
        }
        Self { course, people }
    }

    fn done(&self) -> usize {
        self.course.done.load(Ordering::Relaxed)
    }

    /// Waits for some more sign-ins that are begun after this.
    pub async fn go_on(&self) {
        let enough = self.done() + 3 * USERS;
        until("people sign in", Duration::from_secs(60), async || self.done() >= enough).await;
    }

    pub async fn end(mut self) -> usize {
        self.course.is_over.store(true, Ordering::Relaxed);
        while let Some(person) = self.people.join_next().await {
            person.unwrap();
        }
        self.done()
    }
}

struct Person {
    email: String,
    codes: Vec<String>,
    clients: Vec<(TwoFaServiceClient<Channel>, SessionServiceClient<Channel>)>,
}

/// A refusal, and the replica that has refused.
type Refused = (usize, Status);

impl Person {
    async fn live(mut self, n: usize, course: Arc<Course>) {
        for turn in n.. {
            if course.is_over.load(Ordering::Relaxed) {
                return;
            }
            // As people do: their codes last for the whole of it.
            tokio::time::sleep(Duration::from_millis(600)).await;
            match self.sign_in(turn).await {
                Ok(()) => course.done.fetch_add(1, Ordering::Relaxed),
                // Five sets an hour: this person has signed in often enough.
                Err((_, status)) if reason::<()>(&Err(status.clone())) == "RATE_LIMITED" && self.codes.len() < 2 => {
                    return;
                }
                Err((at, status)) => {
                    let is_its_last = at == MORTAL && course.has_died.load(Ordering::Relaxed);
                    assert!(is_its_last, "{at}: {status:?}");
                    continue;
                }
            };
        }
    }

    /// Signs in with password and backup code, has the token looked at by another replica, and refreshes; and makes new codes in time.
    async fn sign_in(&mut self, turn: usize) -> Result<(), Refused> {
        let (here, there) = (turn % self.clients.len(), (turn + 1) % self.clients.len());
        let by = |at: usize| move |status| (at, status);
        let (mut twofa, mut sessions) = self.clients[here].clone();
        let request = pb::LocalAuthRequest { email: self.email.clone(), password: PASSWORD.to_owned() };
        let challenge = twofa.local_auth(request).await.map_err(by(here))?.into_inner();
        let request = pb::VerifyRequest {
            challenge_id: challenge.challenge_id,
            code: self.codes.pop().unwrap(),
            ..Default::default()
        };
        let session = twofa.verify(request).await.map_err(by(here))?.into_inner();
        let request = pb::ValidateAccessTokenRequest { access_token: session.access_token.clone() };
        let judged = self.clients[there].1.clone().validate_access_token(request).await;
        assert_eq!(judged.map_err(by(there))?.into_inner().status(), pb::TokenStatus::Authenticated);
        let request = pb::RefreshSessionRequest { refresh_token: session.refresh_token };
        let renewed = sessions.refresh_session(request).await.map_err(by(here))?.into_inner();
        assert!(!renewed.access_token.is_empty());
        if self.codes.len() < 2 {
            let request = with_token(pb::GenerateBackupCodesRequest::default(), &session.access_token);
            self.codes = twofa.generate_backup_codes(request).await.map_err(by(here))?.into_inner().backup_codes;
        }
        Ok(())
    }
}

pub async fn people(fleet: &Fleet, replicas: &[Replica]) -> Vec<Enrolled> {
    let mut users = Vec::new();
    for n in 0..USERS {
        let email = format!("user{n}@example.com");
        fleet.add_user(&email);
        users.push(replicas[n % replicas.len()].enrol(&email).await);
    }
    users
}

/// How many numbers are sealed by a key.
async fn sealed_by(sql: &Sql, fleet: &Fleet, key: &str) -> usize {
    let key = if sql.is_postgres() { format!("convert_to('{key}', 'UTF8')") } else { format!("'{key}'") };
    let count = format!("SELECT COUNT(*) AS n FROM users WHERE substr(phone, 3, 21) = {key}");
    usize::try_from(fleet.count(&count).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_rotated_under_load_and_nobody_is_turned_away() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let mut replicas = [fleet.replica().await, fleet.replica().await, fleet.replica().await];
        let users = people(&fleet, &replicas).await;
        fleet.add_accounts(ACCOUNTS).await;
        let kept_ring = fleet.keep_ring();
        let old = ["seal", "sign"].map(|key_use| key(&fleet, key_use, "active"));
        let load = Load::start(users, &replicas);

        let told = said(&fleet, &["keys", "rotate", "seal"]);
        assert!(told.contains("is active"), "{told}");
        let new_seal = key(&fleet, "seal", "active");
        until("sealing anew begins", Duration::from_secs(30), async || sealed_by(sql, &fleet, &new_seal).await > 0)
            .await;
        load.course.has_died.store(true, Ordering::Relaxed);
        replicas[MORTAL].process.kill();
        assert!(sealed_by(sql, &fleet, &old[0]).await > 0, "it died in the middle of it");
        load.go_on().await;
        let (done, told) = ran(&fleet, &["keys", "destroy", &old[0]]);
        assert!(!done && (told.contains("too early") || told.contains("make new values")), "{told}");

        // The one that has died counts as live for half a minute: what it holds nobody knows.
        let silent = format!("DELETE FROM replicas WHERE report_time < {}", (unix_seconds() + 1) * 1000);
        tokio::time::sleep(Duration::from_secs(6)).await;
        fleet.execute(&silent).await;
        assert_eq!(fleet.count("SELECT COUNT(*) AS n FROM replicas").await, 2);
        let told = said(&fleet, &["keys", "rotate", "sign"]);
        assert!(told.contains("five minutes"), "{told}");
        let new = key(&fleet, "sign", "readable");
        let (done, told) = ran(&fleet, &["keys", "promote", &new]);
        assert!(!done && told.contains("too early"), "{told}");
        load.go_on().await;
        fleet.execute(&format!("UPDATE data_keys SET create_time = create_time - 360000 WHERE id = '{new}'")).await;
        said(&fleet, &["keys", "promote", &new]);
        load.go_on().await;

        let told = said(&fleet, &["keys", "rotate", "root"]);
        assert!(told.contains("5 keys are wrapped by it"), "two that seal, two that sign, one that hashes: {told}");
        load.go_on().await;

        let all_sealed =
            async || said(&fleet, &["keys", "status"]).contains("Every sealed value is sealed by the active key");
        until("every value is sealed anew", Duration::from_secs(60), all_sealed).await;
        assert_eq!(sealed_by(sql, &fleet, &new_seal).await, ACCOUNTS);
        let ends = format!("SELECT COUNT(*) AS n FROM audit_chain WHERE key_id = '{new}'");
        until("the log is signed anew", Duration::from_secs(30), async || fleet.count(&ends).await == 1).await;
        fleet.execute("UPDATE data_keys SET demote_time = demote_time - 1200000 WHERE demote_time IS NOT NULL").await;
        for old in &old {
            said(&fleet, &["keys", "destroy", old]);
        }
        // All of it was under load, to the end.
        assert!(load.end().await >= 9 * USERS);
        said(&fleet, &["audit", "verify"]);
        assert_eq!(
            fleet.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_sealed_value_broken'").await,
            0
        );
        // People go on with what they have, and the ring of before opens nothing.
        let signed_in = replicas[0].patient_local_auth("user0@example.com").await;
        assert!(signed_in.two_fa_required);
        assert!(fleet.replica().await.serves("countersign.v1.TwoFaService").await, "a new one finds everything");
        fleet.put_ring_back(&kept_ring);
        let (done, told) = ran(&fleet, &["user", "list"]);
        assert!(!done && told.contains("does not fit the database"), "{told}");
        // Whoever holds the keys goes on with them.
        tokio::time::sleep(Duration::from_secs(3)).await;
        replicas[1].patient_local_auth("user1@example.com").await;
    }
}
