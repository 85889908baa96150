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

use tokio::task::JoinSet;

use crate::{
    replica::{Enrolled, Fleet, Replica, unix_seconds, until},
    servers::{redis, sql::Sql},
};

/// Each signs in with its backup codes, again and again.
const USERS: usize = 4;

/// What a command says; it must succeed.
fn said(fleet: &Fleet, args: &[&str]) -> String {
    let (done, told) = ran(fleet, args);
    assert!(done, "{args:?}: {told}");
    told
}

fn ran(fleet: &Fleet, args: &[&str]) -> (bool, String) {
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

/// People who sign in all the while. Whoever is turned away fails the test.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    people: JoinSet<()>,
}

impl Load {
    fn start(users: Vec<Enrolled>, replicas: &[Replica]) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut people = JoinSet::new();
        for (n, user) in users.into_iter().enumerate() {
            let clients: Vec<_> =
                (0..replicas.len()).map(|at| (replicas[at].twofa.clone(), replicas[at].sessions.clone())).collect();
            people.spawn(person(n, user, clients, Arc::clone(&stop), Arc::clone(&done)));
        }
        Self { stop, done, people }
    }

    /// Waits for some more sign-ins that are begun after this.
    async fn go_on(&self) {
        let enough = self.done.load(Ordering::Relaxed) + 3 * USERS;
        until("people sign in", Duration::from_secs(60), async || self.done.load(Ordering::Relaxed) >= enough).await;
    }

    async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(person) = self.people.join_next().await {
            person.unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

type Clients = Vec<(
    countersign::wire::pb::two_fa_service_client::TwoFaServiceClient<tonic::transport::Channel>,
    countersign::wire::pb::session_service_client::SessionServiceClient<tonic::transport::Channel>,
)>;

/// Signs in with password and backup code, has the token looked at by another replica, and refreshes; and makes new codes in time.
async fn person(n: usize, user: Enrolled, clients: Clients, stop: Arc<AtomicBool>, done: Arc<AtomicUsize>) {
    use countersign::wire::pb;
    let mut codes = user.backup_codes.clone();
    let mut turn = n;
    while !stop.load(Ordering::Relaxed) {
        turn += 1;
        // As people do: their codes last for the whole of it.
        tokio::time::sleep(Duration::from_millis(600)).await;
        let (mut twofa, mut sessions) = clients[turn % clients.len()].clone();
        let other = clients[(turn + 1) % clients.len()].1.clone();
        let request = pb::LocalAuthRequest { email: user.email.clone(), password: crate::replica::PASSWORD.to_owned() };
        let challenge = twofa.local_auth(request).await.unwrap().into_inner();
        let request = pb::VerifyRequest {
            challenge_id: challenge.challenge_id,
            code: codes.pop().unwrap(),
            ..Default::default()
        };
        let session = twofa.verify(request).await.unwrap().into_inner();
        let request = pb::ValidateAccessTokenRequest { access_token: session.access_token.clone() };
        let status = other.clone().validate_access_token(request).await.unwrap().into_inner().status();
        assert_eq!(status, pb::TokenStatus::Authenticated);
        let request = pb::RefreshSessionRequest { refresh_token: session.refresh_token };
        let renewed = sessions.refresh_session(request).await.unwrap().into_inner();
        assert!(!renewed.access_token.is_empty());
        if codes.len() < 2 {
            let request = crate::replica::with_token(pb::GenerateBackupCodesRequest::default(), &session.access_token);
            match twofa.generate_backup_codes(request).await {
                Ok(answer) => codes = answer.into_inner().backup_codes,
                // Five sets an hour: this person has signed in often enough.
                Err(status) => {
                    assert_eq!(crate::replica::reason::<()>(&Err(status)), "RATE_LIMITED");
                    return;
                }
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_is_rotated_under_load_and_nobody_is_turned_away() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let mut replicas = [fleet.replica().await, fleet.replica().await, fleet.replica().await];
        let mut users = Vec::new();
        for n in 0..USERS {
            let email = format!("user{n}@example.com");
            fleet.add_user(&email);
            users.push(replicas[n % 3].enrol_by(&email, unix_seconds()).await);
        }
        let kept_ring = fleet.keep_ring();
        let old = ["seal", "sign"].map(|key_use| key(&fleet, key_use, "active"));
        // The third is for dying.
        let load = Load::start(users, &replicas[..2]);

        let told = said(&fleet, &["keys", "rotate", "seal"]);
        assert!(told.contains("is active"), "{told}");
        replicas[2].process.kill();
        load.go_on().await;
        let (done, told) = ran(&fleet, &["keys", "destroy", &old[0]]);
        assert!(!done && told.contains("too early"), "{told}");

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
        fleet.execute(&format!("UPDATE data_keys SET create_time = create_time - 300000 WHERE id = '{new}'")).await;
        said(&fleet, &["keys", "promote", &new]);
        load.go_on().await;

        let told = said(&fleet, &["keys", "rotate", "root"]);
        assert!(told.contains("5 keys are wrapped by it"), "two that seal, two that sign, one that hashes: {told}");
        load.go_on().await;
        let signed_in = load.end().await;
        assert!(signed_in >= 9 * USERS, "{signed_in}");

        let sealed =
            async || said(&fleet, &["keys", "status"]).contains("Every sealed value is sealed by the active key");
        until("every value is sealed anew", Duration::from_secs(30), sealed).await;
        let ends = format!("SELECT COUNT(*) AS n FROM audit_chain WHERE key_id = '{new}'");
        until("the log is signed anew", Duration::from_secs(30), async || fleet.count(&ends).await == 1).await;
        fleet.execute("UPDATE data_keys SET demote_time = demote_time - 1200000 WHERE demote_time IS NOT NULL").await;
        for old in &old {
            said(&fleet, &["keys", "destroy", old]);
        }
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
