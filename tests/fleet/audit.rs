//! The audit log of a busy fleet: nothing is lost, whoever seals it and however they die.

use std::{process::Stdio, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign::wire::pb;
use tokio::task::JoinSet;
use tonic::Response;

use crate::{
    replica::{Fleet, PASSWORD, Replica, reason, unix_seconds, until, with_token},
    servers::{redis, sql::Sql},
};

const SIGN_INS: usize = 500;
/// Of one account several at once would make each other wait.
const USERS: usize = 100;
const UNSEALED: &str = "SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL";

/// What `audit verify` says, when it says that all is well.
fn verified(fleet: &Fleet) -> String {
    let output = fleet.command(&["audit", "verify"]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// The session of an access token.
fn session_of(access_token: &str) -> String {
    let claims = URL_SAFE_NO_PAD.decode(access_token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// The sessions of every sign-in that the log has sealed.
async fn sessions_signed_in(replica: &Replica, admin: &str) -> Vec<String> {
    let (mut sessions, mut page_token) = (Vec::new(), String::new());
    loop {
        let kinds = vec!["authn_login_success".to_owned()];
        let request = pb::ListAuditEventsRequest { kinds, page_token, page_size: 200, ..Default::default() };
        let page = replica.admin.clone().list_audit_events(with_token(request, admin)).await.unwrap().into_inner();
        sessions.extend(page.audit_events.into_iter().map(|event| event.session_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return sessions;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_sign_ins_at_once_leave_a_record_each_and_a_whole_chain() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let mut replicas = vec![fleet.replica().await, fleet.replica().await, fleet.replica().await];
        fleet.add_admin("admin@example.com");
        let admin = replicas[0].enrol_by("admin@example.com", unix_seconds()).await.session.access_token;
        for n in 0..USERS {
            let user = Some(pb::User { email: format!("user{n}@example.com"), ..Default::default() });
            let request = pb::CreateUserRequest { user, password: PASSWORD.to_owned(), ..Default::default() };
            replicas[n % 3].admin.clone().create_user(with_token(request, &admin)).await.unwrap();
        }
        let mut calls = JoinSet::new();
        for n in 0..SIGN_INS {
            let mut client = replicas[n % 3].twofa.clone();
            let email = format!("user{}@example.com", n % USERS);
            let request = pb::LocalAuthRequest { email, password: PASSWORD.to_owned() };
            calls.spawn(async move {
                let answer = client.local_auth(request).await;
                let session = answer.as_ref().ok().map(|answer| session_of(&answer.get_ref().access_token));
                (reason(&answer), session)
            });
        }
        let (answers, sessions): (Vec<_>, Vec<_>) = calls.join_all().await.into_iter().unzip();
        let sessions: Vec<_> = sessions.into_iter().flatten().collect();
        let done = sessions.len();
        let known = ["OK", "RATE_LIMITED", "STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"];
        assert!(answers.iter().all(|answer| known.contains(&answer.as_str())), "{answers:?}");
        // As many as can be hashed wait, and the others are told to.
        assert!(done > 20, "{done}");
        let recorded = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_login_success' AND method IS NULL";
        // A call that was cut off for its time may have been recorded all the same.
        let recorded = usize::try_from(fleet.count(recorded).await).unwrap();
        assert!((done..=SIGN_INS).contains(&recorded), "{done} {recorded}");
        until("everything is sealed", Duration::from_secs(20), async || fleet.count(UNSEALED).await == 0).await;
        verified(&fleet);
        let listed = sessions_signed_in(&replicas[0], &admin).await;
        assert!(
            sessions.iter().all(|session| listed.contains(session)),
            "each that was done is in the log, by its name"
        );

        // Whoever seals dies, and whoever seals next, in the middle of more.
        for _ in 0..2 {
            let mut replica = replicas.remove(0);
            for _ in 0..20 {
                let mut client = replicas[0].twofa.clone();
                let request =
                    pb::LocalAuthRequest { email: "user0@example.com".to_owned(), password: "wrong 1".to_owned() };
                let _ = client.local_auth(request).await;
            }
            replica.process.kill();
            until("another one seals", Duration::from_secs(10), async || fleet.count(UNSEALED).await == 0).await;
            verified(&fleet);
        }
        let told = verified(&fleet);
        let records = fleet.count("SELECT COUNT(*) AS n FROM audit_events").await;
        assert!(told.contains(&format!("Sealed:   {records} records")), "{told} {records}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_goes_on_at_another_replica_and_misses_nothing() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let (mut first, second) = (fleet.replica().await, fleet.replica().await);
        fleet.add_admin("admin@example.com");
        let token = first.enrol_by("admin@example.com", unix_seconds()).await.session.access_token;
        let request = |resume_token: &str| {
            let request = pb::WatchAuditEventsRequest { resume_token: resume_token.to_owned(), ..Default::default() };
            with_token(request, &token)
        };
        let mut seen: Vec<pb::WatchAuditEventsResponse> = Vec::new();
        let mut stream = first.admin.clone().watch_audit_events(request("0")).await.unwrap().into_inner();
        while seen.len() < 3 {
            seen.push(stream.message().await.unwrap().unwrap());
        }
        first.process.kill();
        for _ in 0..5 {
            let mut client = second.twofa.clone();
            let wrong = pb::LocalAuthRequest { email: "nobody@example.com".to_owned(), password: "wrong 1".to_owned() };
            let _ = client.local_auth(wrong).await;
        }
        let last = seen.last().unwrap().resume_token.clone();
        let stream = second.admin.clone().watch_audit_events(request(&last)).await.map(Response::into_inner);
        let mut stream = stream.unwrap();
        let all = || fleet.count("SELECT COUNT(*) AS n FROM audit_events");
        while i64::try_from(seen.len()).unwrap() < all().await {
            let next = tokio::time::timeout(Duration::from_secs(10), stream.message()).await;
            seen.push(next.expect("nothing came").unwrap().unwrap());
        }
        let positions: Vec<_> = seen.iter().map(|event| event.audit_event.as_ref().unwrap().position).collect();
        assert_eq!(positions, (1..).take(seen.len()).collect::<Vec<_>>());
    }
}
