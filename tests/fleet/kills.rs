//! A replica is killed between any two things that it says to its database; what is there after the next start is whole.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::oneshot::Receiver;
use tonic::Status;

use crate::{
    replica::{Enrolled, Fleet, Replica, rounds},
    servers::{
        proxy::{Fate, Proxy},
        redis,
        sql::Sql,
    },
    stories,
};

/// Connections of health, which talk whenever they like.
const PULSE: &[&str] = &["clock_timestamp()", "UNIX_TIMESTAMP(NOW(3))"];

/// A database, and what stands before it.
pub struct Stage {
    fleet: Fleet,
    proxy: Proxy,
    url: String,
    users: AtomicU32,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    is_killed: bool,
    is_done: bool,
}

/// What is done while the replica is killed.
pub trait Story {
    /// In how many transactions it is done.
    const COMMITS: usize = 1;
    /// What the user has in hand before.
    type Hand;
    /// What the user is given.
    type Answer;

    async fn prepare(stage: &Stage, replica: &Replica) -> Self::Hand;

    async fn act(replica: &Replica, hand: &Self::Hand) -> Result<Self::Answer, Status>;

    /// Checks what is there now, and answers whether it was done. The answer is there when it was given before the end.
    async fn check(stage: &Stage, replica: &Replica, hand: Self::Hand, answer: Result<Self::Answer, Status>) -> bool;
}

impl Stage {
    fn new(sql: &Sql) -> Self {
        let url = sql.new_database();
        let proxy = Proxy::before(sql.server.port, PULSE);
        let behind = sql.url_in_clear(proxy.port, url.rsplit('/').next().unwrap());
        Self { fleet: Fleet::new(&url, &redis::url(redis::shared())), proxy, url: behind, users: AtomicU32::new(0) }
    }

    async fn replica(&self) -> Replica {
        self.fleet.replica_with(&[format!("database.url={}", self.url)]).await
    }

    /// The address of a new user.
    pub fn user(&self) -> String {
        let email = format!("user{}@example.com", self.users.fetch_add(1, Ordering::Relaxed));
        self.fleet.add_user(&email);
        email
    }

    /// How many rows there are of a user.
    pub async fn rows(&self, table: &str, email: &str, condition: &str) -> i64 {
        let owner = if table == "audit_events" { "subject_id" } else { "user_id" };
        // E-mail addresses are kept as bytes, whose literals differ.
        let hex: String = email.bytes().map(|byte| format!("{byte:02x}")).collect();
        let bytes = if self.url.starts_with("postgres") { format!("'\\x{hex}'") } else { format!("x'{hex}'") };
        let users = format!("SELECT id FROM users WHERE email_canonical = {bytes}");
        self.fleet.count(&format!("SELECT count(*) AS n FROM {table} WHERE {owner} IN ({users}) AND {condition}")).await
    }

    /// How many authenticators and sets of backup codes a user has.
    pub async fn factors(&self, email: &str) -> (i64, i64) {
        let [app, set] = ["method = 'totp'", "method = 'backup_code'"];
        (self.rows("factors", email, app).await, self.rows("factors", email, set).await)
    }

    /// The failures of a method that are counted.
    pub async fn failures(&self, email: &str, key: &str, at_least: u32) -> bool {
        self.rows("factor_failures", email, &format!("failure_key = '{key}' AND failures >= {at_least}")).await == 1
    }

    /// A user who has an authenticator and has been wrong with a method once.
    pub async fn user_who_was_wrong(&self, replica: &Replica, code: &str) -> (Enrolled, String) {
        let user = replica.enrol(&self.user()).await;
        let challenge_id = replica.local_auth(&user.email).await.unwrap().challenge_id;
        replica.verify("", &challenge_id, code).await.unwrap_err();
        (user, challenge_id)
    }
}

/// Tells a story to its end or to where the proxy stops, and kills the replica there.
async fn tell<S: Story>(stage: &Stage, replica: &mut Replica, stop: impl Fn(&Proxy) -> Receiver<()>) -> Told {
    let hand = S::prepare(stage, replica).await;
    let mut stopped = stop(&stage.proxy);
    let (answer, is_killed) = {
        let mut act = std::pin::pin!(S::act(replica, &hand));
        tokio::select! {
            biased;
            _ = &mut stopped => {
                replica.process.signal("KILL");
                (act.await, true)
            }
            answer = &mut act => (answer, false),
        }
    };
    if is_killed {
        replica.process.kill();
        stage.proxy.reset();
        *replica = stage.replica().await;
    } else {
        stage.proxy.pass();
    }
    let is_done = S::check(stage, replica, hand, answer).await;
    Told { is_killed, is_done }
}

/// Kills a replica with the commit lost, and with its answer lost.
async fn kill_at_commits<S: Story>(stage: &Stage, replica: &mut Replica) {
    for commit in 1..=S::COMMITS {
        for fate in [Fate::Lost, Fate::Delivered] {
            let told = tell::<S>(stage, replica, |proxy| proxy.stop_at_text("COMMIT", commit, fate)).await;
            let is_done = fate == Fate::Delivered && commit == S::COMMITS;
            assert_eq!(told, Told { is_killed: true, is_done }, "{commit} {fate:?}");
        }
    }
}

/// Kills a replica at one place after another until the story ends before the kill. Long runs take every place.
async fn kill_everywhere<S: Story>(stage: &Stage, replica: &mut Replica) {
    let (step, both) = if rounds() > 3 { (1, true) } else { (3, false) };
    let mut fates = [Fate::Lost, Fate::Delivered];
    let mut n = 1;
    while tell::<S>(stage, replica, |proxy| proxy.stop_at(n, fates[0])).await.is_killed {
        if both {
            tell::<S>(stage, replica, |proxy| proxy.stop_at(n, fates[1])).await;
        }
        fates.reverse();
        n += step;
    }
    assert!(n > 6, "the replica says more than that to its database");
}

async fn on_databases<S: Story>() {
    for sql in Sql::shared() {
        let stage = Stage::new(sql);
        let _sealed_by_another = stage.fleet.hold_seal().await;
        let mut replica = stage.replica().await;
        kill_at_commits::<S>(&stage, &mut replica).await;
        if sql.is_postgres() || rounds() > 3 {
            kill_everywhere::<S>(&stage, &mut replica).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enrolment_that_is_killed_is_whole_or_was_not() {
    on_databases::<stories::Enrol>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_authenticator_that_is_killed_uses_its_code_at_most_once() {
    on_databases::<stories::SignInByApp>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_by_backup_code_that_is_killed_uses_its_code_at_most_once() {
    on_databases::<stories::SignInByBackupCode>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_code_whose_answer_was_given_is_counted_whatever_is_killed() {
    on_databases::<stories::WrongCode>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_whose_removal_is_killed_is_there_with_its_backup_codes_or_gone_with_them() {
    on_databases::<stories::Disable>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_backup_codes_whose_making_is_killed_work_or_the_old_ones_do() {
    on_databases::<stories::Regenerate>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_is_killed_leaves_a_token_that_works() {
    on_databases::<stories::Refresh>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_end_is_killed_is_ended_or_not_but_never_half() {
    on_databases::<stories::End>().await;
}
