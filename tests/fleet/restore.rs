//! The restore drill: a dump, sign-ins after it, the dump put back. It does not serve until it is fenced, and then nothing from before
//! the dump or from the gap works again, and users go on with their next code.

use std::{fs, path::PathBuf, process::Stdio, time::Duration};

use countersign::wire::pb;
use tonic::{Response, Status};

use crate::{
    replica::{Enrolled, Fleet, PASSWORD, Replica, reason, unix_seconds, until},
    rotation::{ran, said},
    servers::{
        process::{Server, free_port},
        redis,
        sql::Sql,
    },
};

const ALICE: &str = "alice@example.com";
const CAROL: &str = "carol@example.com";
const DAVE: &str = "dave@example.com";
const EPOCH: &str = "SELECT epoch AS n FROM restore_fence";
const STEP: u64 = 30;

/// What was given out and used.
#[derive(Default)]
struct Hand {
    refresh_tokens: Vec<String>,
    access_tokens: Vec<String>,
    challenges: Vec<String>,
    backup_codes: Vec<String>,
    password_tokens: Vec<String>,
}

/// How far the database has come, as Redis knows it.
fn known(cache: &Server) -> i64 {
    let keys = redis::cli(cache, &["KEYS", "countersign:epoch:*"]);
    let Some(key) = keys.split_whitespace().next() else { return 0 };
    redis::cli(cache, &["HGET", key, "epoch"]).trim().parse().unwrap()
}

/// Waits until Redis knows that the database has come further than now.
async fn until_further(fleet: &Fleet, cache: &Server) -> i64 {
    let now = fleet.count(EPOCH).await.max(known(cache));
    until("the epoch is raised", Duration::from_secs(30), async || known(cache) > now).await;
    known(cache)
}

fn dump(sql: &Sql, url: &str) -> PathBuf {
    let file = sql.server.home.join(format!("{}.sql", url.rsplit('/').next().unwrap()));
    let done = sql.dump(url).stdout(fs::File::create(&file).unwrap()).stderr(Stdio::piped()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    file
}

async fn set_password(replica: &Replica, token: &str, password: &str) -> Result<pb::SetPasswordResponse, Status> {
    let (token, new_password) = (token.to_owned(), password.to_owned());
    let request = pb::SetPasswordRequest { token, new_password, ..Default::default() };
    replica.sessions.clone().set_password(request).await.map(Response::into_inner)
}

/// Serves with what the fleet is configured with; it must end by itself. Answers what it says.
fn refused(fleet: &Fleet) -> String {
    let listen = format!("grpc.listen=127.0.0.1:{}", free_port());
    let (done, told) = ran(fleet, &["serve", "--set", &listen, "--set", "http.listen=off"]);
    assert!(!done, "it serves: {told}");
    told
}

fn password_token(fleet: &Fleet) -> String {
    said(fleet, &["user", "issue-password-token", "--email", DAVE]).trim().to_owned()
}

/// Signs in by a challenge and a code.
async fn sign_in(replica: &Replica, email: &str, code: &str) -> Result<pb::VerifyResponse, Status> {
    let challenge = replica.patient_local_auth(email).await.challenge_id;
    replica.verify("", &challenge, code).await
}

/// What there is when the backup is made.
async fn before(fleet: &Fleet, replica: &Replica) -> (Enrolled, Hand) {
    for email in [ALICE, CAROL, DAVE] {
        fleet.add_user(email);
    }
    let alice = replica.enrol(ALICE).await;
    let carol = replica.patient_local_auth(CAROL).await;
    let challenge = replica.patient_local_auth(ALICE).await.challenge_id;
    let hand = Hand {
        refresh_tokens: vec![carol.refresh_token, alice.refresh_token.clone()],
        access_tokens: vec![carol.access_token, alice.session.access_token.clone()],
        challenges: vec![challenge],
        // Two that are used in the gap, and one that is not.
        backup_codes: alice.backup_codes[..3].to_vec(),
        password_tokens: vec![password_token(fleet)],
    };
    (alice, hand)
}

/// What is done after it; answers the authenticator's code that was used.
async fn gap(fleet: &Fleet, replica: &Replica, alice: &Enrolled, hand: &mut Hand) -> String {
    let code = alice.next_code();
    let by_app = sign_in(replica, ALICE, &code).await.unwrap();
    hand.refresh_tokens.push(by_app.refresh_token.clone());
    hand.access_tokens.push(by_app.access_token);
    for code in &hand.backup_codes[..2] {
        let by_code = sign_in(replica, ALICE, code).await.unwrap();
        hand.refresh_tokens.push(by_code.refresh_token);
    }
    for at in [0, 2] {
        let renewed = replica.refresh(&hand.refresh_tokens[at]).await.unwrap();
        hand.refresh_tokens.push(renewed.refresh_token);
    }
    hand.challenges.push(replica.patient_local_auth(ALICE).await.challenge_id);
    set_password(replica, &hand.password_tokens[0], "another battery staple").await.unwrap();
    hand.password_tokens.push(password_token(fleet));
    code
}

/// Shows everything again.
async fn nothing_works(replica: &Replica, hand: &Hand, used_code: &str, next_code: &str) {
    for token in &hand.refresh_tokens {
        assert_eq!(reason(&replica.refresh(token).await), "UNAUTHENTICATED");
    }
    for token in &hand.access_tokens {
        assert!(!replica.is_good(token).await.unwrap());
        assert_eq!(reason(&replica.status(token).await), "UNAUTHENTICATED");
    }
    for challenge in &hand.challenges {
        assert_eq!(reason(&replica.verify("", challenge, next_code).await), "CHALLENGE_EXPIRED");
    }
    for code in hand.backup_codes.iter().map(String::as_str).chain([used_code]) {
        assert_eq!(reason(&sign_in(replica, ALICE, code).await), "INVALID_CODE", "{code}");
    }
    for token in &hand.password_tokens {
        let answer = set_password(replica, token, "yet another battery staple").await;
        assert_eq!(reason(&answer), "UNAUTHENTICATED");
    }
}

/// The first code that the fence has left, once it is accepted.
async fn next_code(fleet: &Fleet, alice: &Enrolled) -> String {
    let spent = fleet.count("SELECT MAX(spent) AS n FROM factors WHERE method = 'totp'").await;
    let next = u64::try_from(spent).unwrap() + 1;
    assert!(next <= unix_seconds() / STEP + 2, "nobody waits longer than a step");
    until("the next code is accepted", Duration::from_secs(40), async || unix_seconds() / STEP + 1 >= next).await;
    alice.app.generate(next * STEP).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_database_serves_after_a_fence_and_nothing_from_before_works_again() {
    for sql in Sql::shared() {
        let (url, cache) = (sql.new_database(), redis::single());
        let fleet = Fleet::new(&url, &redis::url(&cache));
        let mut replica = fleet.replica().await;
        let (alice, mut hand) = before(&fleet, &replica).await;
        let backup = dump(sql, &url);
        let used_code = gap(&fleet, &replica, &alice, &mut hand).await;
        until_further(&fleet, &cache).await;
        let told = ran(&fleet, &["restore-fence"]);
        assert!(!told.0 && told.1.contains("1 replicas serve"), "a live replica is not fenced: {}", told.1);
        assert_eq!(reason(&replica.refresh("rt_unknown").await), "UNAUTHENTICATED", "it goes on");

        replica.process.stop("TERM");
        sql.restore(&url, &backup);
        for _ in 0..2 {
            let told = refused(&fleet);
            for part in ["was set back", "database.url", "countersign restore-fence"] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        let told = said(&fleet, &["restore-fence"]);
        assert!(told.contains("2 sessions, 1 password tokens, 1 sets of backup codes"), "{told}");
        said(&fleet, &["restore-fence"]);
        let replica = fleet.replica().await;
        let next_code = next_code(&fleet, &alice).await;
        nothing_works(&replica, &hand, &used_code, &next_code).await;

        let session = sign_in(&replica, ALICE, &next_code).await.unwrap();
        assert_eq!(session.backup_codes_remaining, 0);
        let codes = replica.generate(&session.access_token, "").await.unwrap().backup_codes;
        sign_in(&replica, ALICE, &codes[0]).await.unwrap();
        let dave = replica.local_auth_with(DAVE, PASSWORD).await.unwrap();
        assert!(!dave.access_token.is_empty(), "the password is that of the backup");
        said(&fleet, &["audit", "verify"]);
        let records = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'sys_restore_fenced'";
        assert_eq!(fleet.count(records).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_database_is_set_back_under_it_ends_and_does_not_start_again() {
    for sql in Sql::shared() {
        let cache = redis::single();
        let fleet = Fleet::new(&sql.new_database(), &redis::url(&cache));
        let mut replicas = [fleet.replica().await, fleet.replica().await];
        let epoch = until_further(&fleet, &cache).await;
        fleet.execute(&format!("UPDATE restore_fence SET epoch = {}", epoch - 60_000)).await;
        for replica in &mut replicas {
            let log = replica.process.home.join("log");
            let says = async || fs::read_to_string(&log).unwrap().contains("was set back");
            until("it says so", Duration::from_secs(10), says).await;
            replica.process.wait();
        }
        assert_eq!(fleet.count("SELECT COUNT(*) AS n FROM replicas").await, 0, "nobody is waited for");
        // A Redis that was flushed knows nothing, and one that is dead is asked later: neither keeps the service from starting.
        assert!(refused(&fleet).contains("was set back"));
        redis::cli(&cache, &["FLUSHALL"]);
        let replica = fleet.replica().await;
        until("Redis is told again", Duration::from_secs(20), async || known(&cache) > 0).await;
        assert!(replica.serves("").await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_asked_until_it_answers_and_the_database_is_not_raised_before() {
    let sql = Sql::shared_postgres();
    let mut cache = redis::single();
    let fleet = Fleet::new(&sql.new_database(), &redis::url(&cache));
    let mut first = fleet.replica().await;
    let epoch = until_further(&fleet, &cache).await;
    first.process.stop("TERM");
    fleet.execute(&format!("UPDATE restore_fence SET epoch = {}", epoch - 60_000)).await;
    // As a machine that hangs: what it knows is there afterwards.
    cache.signal("STOP");
    let port = free_port();
    let mut serve =
        fleet.command(&["serve", "--set", &format!("grpc.listen=127.0.0.1:{port}"), "--set", "http.listen=off"]);
    let mut process = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("it serves", Duration::from_secs(20), async || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        .await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(fleet.count(EPOCH).await, epoch - 60_000);
    assert!(process.try_wait().unwrap().is_none(), "passwords and refreshes go on without Redis");
    cache.signal("CONT");
    let mut ended = false;
    for _ in 0..200 {
        ended = ended || process.try_wait().unwrap().is_some();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let output = {
        if !ended {
            process.kill().unwrap();
        }
        process.wait_with_output().unwrap()
    };
    assert!(ended && String::from_utf8_lossy(&output.stderr).contains("was set back"));
    cache.kill();
    let told = said(&fleet, &["restore-fence"]);
    assert!(told.contains("NOTE") && told.contains("redis.url does not answer"), "{told}");
}
