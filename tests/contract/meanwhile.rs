//! What happens to an account while a call of it waits in the hash pool decides, not what was before.

use std::{future::Future, sync::Arc, time::Duration};

use countersign::{
    error::{Error, Refusal},
    flow::{self, ChangePasswordRequest, DisableRequest, InCall, SignIn, Sources, What},
    hash::Queue,
    model::{Caller, Email, Principal, UserId},
    secret::Secret,
    swap::Swap,
};
use tokio::task::JoinSet;

use crate::kit::{Bench, NOW, PASSWORD, call};

const ALICE: &str = "alice@example.com";
const OTHER: &str = "the hash of another password";
const BLOCK: &str = "UPDATE users SET blocked = TRUE";
/// More than anybody waits for.
const LONG: usize = 500_000;

fn text(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn no_code() -> InCall {
    InCall { code: String::new(), challenge_id: String::new() }
}

/// Keeps the one hashing thread busy with what goes before every password.
async fn hold(bench: &Arc<Bench>) -> JoinSet<()> {
    let (mut held, busy) = (JoinSet::new(), Arc::clone(bench));
    held.spawn(async move {
        let texts = (0..LONG).map(|_| text("")).collect();
        assert!(busy.kit.hasher.digests(Queue::SecondFactor, texts, [0; 16]).await.is_err(), "it takes too long");
    });
    // On this one thread every task that was spawned runs before this one goes on.
    tokio::task::yield_now().await;
    held
}

/// Lets a call come to the hash pool and wait there while something happens.
async fn meanwhile<T>(bench: &Arc<Bench>, waiting: impl Future<Output = T>, happens: impl Future<Output = ()>) -> T {
    let mut held = hold(bench).await;
    let (done, ()) = tokio::join!(waiting, async {
        while bench.kit.hasher.waiting(Queue::SignIn) == 0 {
            tokio::task::yield_now().await;
        }
        happens.await;
        held.shutdown().await;
    });
    done
}

async fn sign_in(bench: &Bench) -> Result<SignIn, Error> {
    flow::local_auth(&bench.kit, ALICE, &text(PASSWORD), &call(NOW)).await
}

async fn let_in(bench: &Bench, rpc: &str, token: &str) -> Principal {
    let Caller::User(principal) = bench.admit(rpc, token, NOW).await.unwrap() else { panic!("a user") };
    principal
}

async fn alice(bench: &Bench) -> UserId {
    bench.kit.store.find_account_by_email(&Email::parse(ALICE).unwrap()).await.unwrap().unwrap().id
}

/// An account with a factor; answers the token of the session that has confirmed it.
async fn enrolled() -> (Arc<Bench>, String) {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let token = bench.token(ALICE).await;
    bench.enrol(&token).await;
    (bench, token)
}

async fn another_password(bench: &Bench) {
    let (alice, other) = (alice(bench).await, text(OTHER));
    let tx = bench.kit.store.begin().await.unwrap();
    assert_eq!(tx.save_password_hash(alice, &other).await.unwrap(), Swap::Done);
    tx.commit().await.unwrap();
}

fn change() -> ChangePasswordRequest {
    let new_password = text("another password 77");
    ChangePasswordRequest { current_password: text(PASSWORD), new_password, proof: no_code() }
}

async fn sessions(bench: &Bench) -> i64 {
    bench.count("SELECT COUNT(*) AS n FROM sessions").await
}

#[tokio::test]
async fn a_password_that_was_changed_while_it_was_tried_opens_nothing() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let refused = meanwhile(&bench, sign_in(&bench), another_password(&bench)).await.err();
    assert!(matches!(refused, Some(Error::Refused(Refusal::InvalidCredentials))), "{refused:?}");
    assert_eq!(sessions(&bench).await, 0);
    assert_eq!(
        bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE reason = 'INVALID_CREDENTIALS'").await,
        1,
        "recorded as any other"
    );
}

#[tokio::test]
async fn an_account_that_was_blocked_while_its_password_was_tried_is_told_so() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let refused = meanwhile(&bench, sign_in(&bench), bench.execute(BLOCK)).await.err();
    assert!(matches!(refused, Some(Error::Refused(Refusal::UserBlocked))), "{refused:?}");
    assert_eq!(sessions(&bench).await, 0);
}

#[tokio::test]
async fn a_present_password_that_was_changed_while_it_was_tried_changes_nothing() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let principal = let_in(&bench, "SessionService/ChangePassword", &bench.token(ALICE).await).await;
    let (request, now) = (change(), call(NOW));
    let changing = flow::change_password(&bench.kit, &principal, &request, &now);
    let refused = meanwhile(&bench, changing, another_password(&bench)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::InvalidCredentials))), "{refused:?}");
    let account = bench.kit.store.find_account(principal.user).await.unwrap().unwrap();
    assert_eq!(account.password_hash.unwrap().expose(), OTHER);
}

#[tokio::test]
async fn an_account_that_was_blocked_while_its_present_password_was_tried_changes_nothing() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let principal = let_in(&bench, "SessionService/ChangePassword", &bench.token(ALICE).await).await;
    let (request, now) = (change(), call(NOW));
    let changing = flow::change_password(&bench.kit, &principal, &request, &now);
    let refused = meanwhile(&bench, changing, bench.execute(BLOCK)).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::InvalidCredentials))), "{refused:?}");
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_password_change'").await, 0);
}

#[tokio::test]
async fn new_backup_codes_of_an_account_that_has_changed_while_they_were_hashed_are_not_kept() {
    for change in ["UPDATE users SET security_version = security_version + 1", BLOCK, "DELETE FROM sessions"] {
        let (bench, token) = enrolled().await;
        let principal = let_in(&bench, "TwoFaService/GenerateBackupCodes", &token).await;
        let (proof, now) = (no_code(), call(NOW));
        let generating = flow::generate_backup_codes(&bench.kit, &principal, &proof, &now);
        let refused = meanwhile(&bench, generating, bench.execute(change)).await.err();
        assert!(matches!(refused, Some(Error::Refused(Refusal::Unauthenticated))), "{change}: {refused:?}");
        let created = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_backup_codes_created'";
        assert_eq!(bench.count(created).await, 1, "those that came with the factor");
    }
}

#[tokio::test]
async fn a_session_whose_time_ran_out_after_it_was_let_in_changes_nothing() {
    let (bench, token) = enrolled().await;
    let principal = let_in(&bench, "TwoFaService/Disable", &token).await;
    let late = call(NOW.plus(countersign::token::refresh::IDLE_LIFE));
    let request = DisableRequest { what: What::All, proof: no_code() };
    let refused = flow::disable(&bench.kit, &principal, &request, &late).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Unauthenticated))), "{refused:?}");
    assert!(matches!(sign_in(&bench).await, Ok(SignIn::Challenge(_))), "the factor is still there");
}

#[tokio::test]
async fn ending_what_has_ended_meanwhile_leaves_no_row() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let principal = let_in(&bench, "SessionService/EndSession", &bench.token(ALICE).await).await;
    for (all, rows) in [(true, 1), (true, 1), (false, 1)] {
        flow::end_session(&bench.kit, &principal, all, &call(NOW)).await.unwrap();
        assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'session_ended'").await, rows);
    }
}

#[tokio::test]
async fn a_password_that_the_full_pool_did_not_look_at_is_not_counted() {
    let bench = Arc::new(Bench::new(&[ALICE]).await);
    let mut held = hold(&bench).await;
    for _ in 0..64 {
        let waiting = Arc::clone(&bench);
        held.spawn(async move {
            let _ = waiting.kit.hasher.verify(Queue::SignIn, text("wrong"), None).await;
        });
    }
    // A yield is no promise that all of them have run.
    while bench.kit.hasher.waiting(Queue::SignIn) < 64 {
        tokio::task::yield_now().await;
    }
    for _ in 0..6 {
        match sign_in(&bench).await.err() {
            Some(Error::Refused(Refusal::RateLimited { retry_after })) => {
                assert_eq!(retry_after, Some(Duration::from_secs(1)), "for the pool, not for the ladder");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.count("SELECT COALESCE(SUM(failures), 0) AS n FROM buckets").await, 0);
    held.shutdown().await;
    assert!(sign_in(&bench).await.is_ok());
}

#[tokio::test]
async fn a_source_whose_tries_are_under_way_makes_so_many_more_wait_and_no_others() {
    let mut bench = Bench::new(&[ALICE]).await;
    bench.kit.sources = Sources::new(Some(1));
    let bench = Arc::new(bench);
    let mut held = hold(&bench).await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let bench = Arc::clone(&bench);
        calls.spawn(async move { sign_in(&bench).await.err() });
    }
    // One is in the pool and 32 wait for it: these seven are told at once.
    for _ in 0..7 {
        let refused = calls.join_next().await.unwrap().unwrap();
        assert!(matches!(refused, Some(Error::Refused(Refusal::RateLimited { .. }))), "{refused:?}");
    }
    while bench.kit.hasher.waiting(Queue::SignIn) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.kit.hasher.waiting(Queue::SignIn), 1);
    assert!(calls.try_join_next().is_none());
    calls.shutdown().await;
    held.shutdown().await;
}
