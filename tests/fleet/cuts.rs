//! The database is cut off, silent, slow, or gone just after it was told to commit.

use std::time::Duration;

use countersign::wire::pb;
use tokio::{task::JoinSet, time::timeout};
use tonic::Streaming;

use crate::{
    replica::{Enrolled, Fleet, PASSWORD, Replica, now, reason, rounds, unix_seconds, until, with_token},
    servers::{proxy::Proxy, redis, sql::Sql},
};

const CONNECTIONS: usize = 4;
/// How soon health tells of a change.
const SOON: Duration = Duration::from_secs(5);
/// What each way takes with a slow database. An enrolment asks it some thirty things, and has five seconds.
const SLOW: Duration = Duration::from_millis(25);
/// What a busy machine adds.
const SLACK: Duration = Duration::from_millis(500);

/// A replica whose database is behind a proxy.
struct Behind {
    fleet: Fleet,
    proxy: Proxy,
    replica: Replica,
    _sealed_by_another: JoinSet<()>,
}

/// What a user can show.
struct Shown {
    token: String,
    challenge_id: String,
    code: String,
    refresh_token: String,
}

impl Behind {
    async fn new(sql: &Sql) -> Self {
        let url = sql.new_database();
        let proxy = Proxy::before(sql.server.port, &[]);
        let fleet = Fleet::new(&url, &redis::url(redis::shared()));
        let sets = [
            format!("database.url={}", sql.url_in_clear(proxy.port, url.rsplit('/').next().unwrap())),
            format!("database.max_connections={CONNECTIONS}"),
        ];
        let sealed_by_another = fleet.hold_seal().await;
        let replica = fleet.replica_with(&sets).await;
        Self { fleet, proxy, replica, _sealed_by_another: sealed_by_another }
    }

    /// A user with a factor, and one without.
    async fn people(&self) -> (Enrolled, pb::LocalAuthResponse) {
        for email in ["two@example.com", "one@example.com"] {
            self.fleet.add_user(email);
        }
        let two = self.replica.enrol("two@example.com").await;
        (two, self.replica.local_auth("one@example.com").await.unwrap())
    }

    async fn becomes(&self, is_well: bool) {
        let what = if is_well { "SERVING again" } else { "NOT_SERVING" };
        until(what, SOON, async || {
            assert!(self.replica.serves("liveness").await);
            self.replica.serves("").await == is_well
                && self.replica.serves("countersign.v1.TwoFaService").await == is_well
        })
        .await;
    }

    /// Whoever follows the audit log, in larger numbers than there are connections.
    async fn watchers(&self, admin: &Enrolled) -> Vec<Streaming<pb::WatchAuditEventsResponse>> {
        let mut watchers = Vec::new();
        for _ in 0..5 * CONNECTIONS {
            let request = with_token(pb::WatchAuditEventsRequest::default(), &admin.session.access_token);
            watchers.push(self.replica.admin.clone().watch_audit_events(request).await.unwrap().into_inner());
        }
        watchers
    }

    /// More calls at once than there are connections, and a sign-in by password and code.
    async fn all_works(&self, one: &pb::LocalAuthResponse, two: &Enrolled, used: &mut usize) {
        let mut calls = JoinSet::new();
        for _ in 0..30 {
            let mut client = self.replica.twofa.clone();
            let status = with_token(pb::GetTwoFaStatusRequest {}, &one.access_token);
            calls.spawn(async move { reason(&client.get_two_fa_status(status).await) });
        }
        let wrong: Vec<_> = calls.join_all().await.into_iter().filter(|reason| reason != "OK").collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let challenge = self.replica.local_auth(&two.email).await.unwrap();
        assert!(challenge.two_fa_required);
        self.replica.verify("", &challenge.challenge_id, &two.backup_codes[*used]).await.unwrap();
        *used += 1;
    }
}

impl Shown {
    async fn by(two: &Enrolled, one: &pb::LocalAuthResponse, replica: &Replica, code: &str) -> Self {
        Self {
            token: two.session.access_token.clone(),
            challenge_id: replica.local_auth(&two.email).await.unwrap().challenge_id,
            code: code.to_owned(),
            refresh_token: one.refresh_token.clone(),
        }
    }

    /// The n-th kind of call, and what came of it.
    async fn call(&self, n: usize, replica: &Replica, patience: Option<Duration>) -> String {
        let (mut twofa, mut sessions) = (replica.twofa.clone(), replica.sessions.clone());
        match n % 6 {
            0 => reason(&twofa.local_auth(timed(self.password(PASSWORD), "", patience)).await),
            1 => reason(&twofa.local_auth(timed(self.password("a wrong password"), "", patience)).await),
            2 => {
                let (challenge_id, code) = (self.challenge_id.clone(), self.code.clone());
                reason(&twofa.verify(timed(pb::VerifyRequest { code, challenge_id, method: 0 }, "", patience)).await)
            }
            3 => reason(&twofa.get_two_fa_status(timed(pb::GetTwoFaStatusRequest {}, &self.token, patience)).await),
            4 => {
                let request = pb::ValidateAccessTokenRequest { access_token: self.token.clone() };
                reason(&sessions.validate_access_token(timed(request, "", patience)).await)
            }
            _ => {
                let request = pb::RefreshSessionRequest { refresh_token: self.refresh_token.clone() };
                reason(&sessions.refresh_session(timed(request, "", patience)).await)
            }
        }
    }

    fn password(&self, password: &str) -> pb::LocalAuthRequest {
        pb::LocalAuthRequest { email: "one@example.com".to_owned(), password: password.to_owned() }
    }
}

fn timed<T>(message: T, token: &str, patience: Option<Duration>) -> tonic::Request<T> {
    let mut request = with_token(message, token);
    if let Some(patience) = patience {
        request.set_timeout(patience);
    }
    request
}

async fn on_each_database(story: impl AsyncFn(Behind)) {
    for sql in Sql::shared() {
        story(Behind::new(sql).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_cut_off_lets_nobody_in_and_comes_back_without_a_restart() {
    on_each_database(async |behind| {
        let (two, one) = behind.people().await;
        let shown = Shown::by(&two, &one, &behind.replica, &two.backup_codes[9]).await;
        let mut used = 0;
        for _ in 0..rounds().min(3) {
            behind.proxy.refuse();
            for n in 0..6 {
                assert_eq!(shown.call(n, &behind.replica, None).await, "STORE_UNAVAILABLE", "{n}");
            }
            behind.becomes(false).await;
            for n in 0..6 {
                assert_eq!(shown.call(n, &behind.replica, None).await, "STORE_UNAVAILABLE", "{n}");
            }
            behind.proxy.reset();
            behind.becomes(true).await;
            behind.all_works(&one, &two, &mut used).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_die_together_cost_at_most_one_refusal_each() {
    on_each_database(async |behind| {
        let (two, one) = behind.people().await;
        let shown = Shown::by(&two, &one, &behind.replica, &two.backup_codes[9]).await;
        let mut used = 0;
        for _ in 0..rounds().min(3) {
            behind.all_works(&one, &two, &mut used).await;
            behind.proxy.reset();
            let mut refused = 0;
            for _ in 0..30 {
                let answer = shown.call(3, &behind.replica, None).await;
                assert!(["OK", "STORE_UNAVAILABLE"].contains(&answer.as_str()), "{answer}");
                refused += usize::from(answer != "OK");
            }
            assert!(refused <= CONNECTIONS, "{refused}");
            behind.all_works(&one, &two, &mut used).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_costs_each_call_its_deadline_and_no_connection() {
    on_each_database(async |behind| {
        let (two, one) = behind.people().await;
        behind.fleet.add_admin("admin@example.com");
        let admin = behind.replica.enrol("admin@example.com").await;
        let mut used = 0;
        for heal in [Proxy::pass, Proxy::forget] {
            // A challenge each time: an answer that is not waited for has cost an attempt.
            let shown = Shown::by(&two, &one, &behind.replica, &two.backup_codes[9]).await;
            // All connections are open, and were in use a moment ago: the calls hang in the midst of what they ask.
            behind.all_works(&one, &two, &mut used).await;
            let watchers = behind.watchers(&admin).await;
            behind.proxy.hold();
            for (patience, most) in [(None, SOON), (Some(Duration::from_secs(1)), Duration::from_secs(1))] {
                end_in_time(&shown, &behind.replica, patience, most).await;
            }
            behind.becomes(false).await;
            heal(&behind.proxy);
            behind.becomes(true).await;
            behind.all_works(&one, &two, &mut used).await;
            for mut watcher in watchers {
                let ends = async {
                    while let Some(record) = watcher.message().await.transpose() {
                        assert!(record.is_ok() || reason(&record) == "STORE_UNAVAILABLE", "{record:?}");
                    }
                };
                assert!(timeout(SOON, ends).await.is_ok(), "whoever follows the log waits for a silent database");
            }
        }
    })
    .await;
}

/// Makes calls of all kinds at once, which are all to fail in time.
async fn end_in_time(shown: &Shown, replica: &Replica, patience: Option<Duration>, most: Duration) {
    let calls = (0..12).map(async |n| {
        let begun = now();
        let reason = shown.call(n, replica, patience).await;
        let took = begun.elapsed();
        // The caller may be quicker to give up than the answer that says so.
        let is_given_up = patience.is_some() && reason.contains("Timeout expired");
        assert!(is_given_up || ["STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&reason.as_str()), "{n}: {reason}");
        assert!(took < most + SLACK, "{n}: {took:?}");
    });
    futures_util::future::join_all(calls).await;
}

/// A user who has confirmed by the code of the step before, so that the codes of this step and of the next are good.
async fn with_two_codes(behind: &Behind) -> Enrolled {
    behind.fleet.add_user("two@example.com");
    until("a step with time left", Duration::from_secs(10), async || unix_seconds() % 30 < 24).await;
    behind.replica.enrol_by("two@example.com", unix_seconds() - 30).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_whose_commit_was_not_answered_happened_once() {
    on_each_database(async |behind| {
        let (user, replica) = (with_two_codes(&behind).await, &behind.replica);
        let first = replica.local_auth(&user.email).await.unwrap().challenge_id;
        let other = replica.local_auth(&user.email).await.unwrap().challenge_id;
        let cut = behind.proxy.cut_after("COMMIT");
        assert_eq!(reason(&replica.verify("", &first, &user.next_code()).await), "STORE_UNAVAILABLE");
        cut.await.unwrap();
        assert_eq!(signed_in(&behind.fleet).await, 1);
        for challenge in [&first, &other] {
            let answer = reason(&replica.verify("", challenge, &user.next_code()).await);
            assert!(["INVALID_CODE", "CHALLENGE_EXPIRED"].contains(&answer.as_str()), "{answer}");
        }
        assert_eq!(signed_in(&behind.fleet).await, 1);
        let next = replica.local_auth(&user.email).await.unwrap().challenge_id;
        replica.verify("", &next, &user.app.generate(user.confirmed + 60).to_string()).await.unwrap();
        assert_eq!(signed_in(&behind.fleet).await, 2);
    })
    .await;
}

/// How many sign-ins with a code the audit log knows.
async fn signed_in(fleet: &Fleet) -> i64 {
    fleet.count("SELECT count(*) AS n FROM audit_events WHERE kind = 'authn_login_success' AND method = 'totp'").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_commit_was_not_answered_has_a_successor_that_works() {
    on_each_database(async |behind| {
        let (_, one) = behind.people().await;
        let replica = &behind.replica;
        let cut = behind.proxy.cut_after("COMMIT");
        assert_eq!(reason(&replica.refresh(&one.refresh_token).await), "STORE_UNAVAILABLE");
        cut.await.unwrap();
        let given = replica.refresh(&one.refresh_token).await.unwrap();
        assert!(replica.is_good(&given.access_token).await.unwrap());
        assert_eq!(replica.refresh(&one.refresh_token).await.unwrap().refresh_token, given.refresh_token);
        let next = replica.refresh(&given.refresh_token).await.unwrap();
        assert!(replica.is_good(&next.access_token).await.unwrap());
        assert_eq!(
            behind.fleet.count("SELECT count(*) AS n FROM audit_events WHERE kind = 'session_renewed'").await,
            2
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_changes_no_answer() {
    on_each_database(async |behind| {
        behind.fleet.add_user("two@example.com");
        behind.proxy.delay(SLOW);
        let replica = &behind.replica;
        let user = replica.enrol("two@example.com").await;
        let token = &user.session.access_token;
        assert!(replica.status(token).await.unwrap().enabled);
        let challenge_id = replica.local_auth(&user.email).await.unwrap().challenge_id;
        assert_eq!(reason(&replica.verify("", &challenge_id, "abcdefgh").await), "INVALID_CODE");
        let session = replica.verify("", &challenge_id, &user.next_code()).await.unwrap();
        assert_eq!(reason(&replica.verify("", &challenge_id, &user.next_code()).await), "CHALLENGE_EXPIRED");
        let wrong = replica.local_auth_with(&user.email, "a wrong password").await;
        assert_eq!(reason(&wrong), "INVALID_CREDENTIALS");
        for refresh_token in [&session.refresh_token, &user.refresh_token] {
            assert!(replica.refresh(refresh_token).await.is_ok());
        }
        assert_eq!(replica.generate(token, "").await.unwrap().backup_codes.len(), 10);
        assert!(replica.disable(token, "").await.is_ok());
        assert!(!replica.local_auth(&user.email).await.unwrap().two_fa_required);
        assert!(replica.serves("countersign.v1.TwoFaService").await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_rows_are_locked_uses_no_probe_up() {
    on_each_database(async |behind| {
        let (two, one) = behind.people().await;
        let lock = behind.fleet.lock_users().await;
        let calls = (0..24).map(async |_| reason(&behind.replica.local_auth("one@example.com").await));
        let mut calls = std::pin::pin!(futures_util::future::join_all(calls));
        let mut probes = 0;
        // Probed for as long as they wait for the lock.
        let answers = loop {
            tokio::select! {
                answers = &mut calls => break answers,
                is_well = async {
                    behind.replica.serves("").await
                        && behind.replica.serves("countersign.v1.TwoFaService").await
                        && behind.replica.serves("liveness").await
                } => {
                    assert!(is_well);
                    probes += 1;
                }
            }
        };
        assert!(probes > 10, "{probes}");
        assert!(answers.iter().all(|reason| reason != "OK" && reason != "INTERNAL"), "{answers:?}");
        drop(lock);
        until("all works again", SOON, async || behind.replica.status(&one.access_token).await.is_ok()).await;
        assert!(behind.replica.is_good(&two.session.access_token).await.unwrap());
    })
    .await;
}
