//! Locks to their last moment, what is hashed while they hold, and what operators and the sweep do with an account.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
    error::{Error, Refusal},
    flow::{self, ChangePasswordRequest, DisableRequest, InCall, Page, SignIn, Verified, VerifyRequest, What},
    model::{Account, Caller, Email, UserId},
    secret::Secret,
    store::AccountFilter,
    swap::Swap,
};
use tokio::sync::watch;

use crate::kit::{Bench, NOW, PASSWORD, call};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const NEW: &str = "another password 77";

/// The last moment of a lock, and its end.
const LAST: Timestamp = Timestamp::from_millis(1_800_000_030_000 - 1);
const END: Timestamp = Timestamp::from_millis(1_800_000_030_000);

fn text(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn sign_in(bench: &Bench, email: &str, password: &str, now: Timestamp) -> Result<SignIn, Error> {
    flow::local_auth(&bench.kit, email, &text(password), &call(now)).await
}

async fn verify(bench: &Bench, token: &str, challenge: &str, code: &str, now: Timestamp) -> Result<Verified, Error> {
    let caller = bench.admit("TwoFaService/Verify", token, now).await.unwrap();
    let request = VerifyRequest { code: code.to_owned(), challenge_id: challenge.to_owned(), method: None };
    flow::verify(&bench.kit, &caller, &request, &call(now)).await
}

/// Locks a count of failures until `END`.
async fn lock(bench: &Bench, key: &str) {
    let until = END.millis();
    let set = format!("UPDATE factor_failures SET failures = 5, locked_until = {until} WHERE failure_key = '{key}'");
    bench.execute(&set).await;
}

fn assert_waits<T>(result: Result<T, Error>, wait: Duration) {
    match result.err() {
        Some(Error::Refused(Refusal::RateLimited { retry_after })) => assert_eq!(retry_after, Some(wait)),
        other => panic!("{other:?}"),
    }
}

async fn account(bench: &Bench, email: &str) -> Account {
    bench.kit.store.find_account_by_email(&Email::parse(email).unwrap()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_locked_backup_code_costs_no_hash_and_works_when_the_lock_ends() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    let codes = verify(&bench, &token, "", &app(NOW), NOW).await.unwrap().backup_codes;
    let SignIn::Challenge(open) = sign_in(&bench, ALICE, PASSWORD, NOW).await.unwrap() else { panic!("a factor") };
    let open = open.handle.to_text();
    lock(&bench, "backup_code").await;

    let before = bench.kit.hasher.jobs_done();
    for now in [NOW, LAST] {
        let wait = Duration::from_secs(if now == NOW { 30 } else { 1 });
        assert_waits(verify(&bench, "", &open, codes[0].expose(), now).await, wait);
    }
    assert_eq!(bench.kit.hasher.jobs_done(), before);
    assert!(verify(&bench, "", &open, codes[0].expose(), END).await.is_ok());
    assert_eq!(bench.kit.hasher.jobs_done(), before + 1);
}

#[tokio::test]
async fn a_locked_code_beside_a_new_password_costs_no_hash_and_works_when_the_lock_ends() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    verify(&bench, &token, "", &app(NOW), NOW).await.unwrap();
    lock(&bench, "totp").await;
    let Caller::User(mut principal) = bench.admit("SessionService/ChangePassword", &token, NOW).await.unwrap() else {
        panic!("a user")
    };
    let change = |code: String| ChangePasswordRequest {
        current_password: text(""),
        new_password: text(NEW),
        proof: InCall { code, challenge_id: String::new() },
    };

    let before = bench.kit.hasher.jobs_done();
    let locked = flow::change_password(&bench.kit, &principal, &change(app(LAST)), &call(LAST)).await;
    assert_waits(locked, Duration::from_secs(1));
    principal.is_assured = false;
    let stale = flow::change_password(&bench.kit, &principal, &change(String::new()), &call(END)).await;
    assert!(matches!(stale, Err(Error::Refused(Refusal::StepUpRequired { .. }))), "{stale:?}");
    assert_eq!(bench.kit.hasher.jobs_done(), before);
    flow::change_password(&bench.kit, &principal, &change(app(END)), &call(END)).await.unwrap();
    assert!(sign_in(&bench, ALICE, NEW, END).await.is_ok());
}

#[tokio::test]
async fn a_locked_or_stale_caller_has_nothing_hashed_for_new_backup_codes_or_to_disable() {
    let bench = Bench::new(&[ALICE]).await;
    let (kit, token) = (&bench.kit, bench.token(ALICE).await);
    let app = bench.enable(&token).await;
    let codes = verify(&bench, &token, "", &app(NOW), NOW).await.unwrap().backup_codes;
    lock(&bench, "backup_code").await;
    let admitted = bench.admit("TwoFaService/GenerateBackupCodes", &token, NOW).await;
    let Ok(Caller::User(mut principal)) = admitted else { panic!("a user") };
    principal.is_assured = false;

    let before = kit.hasher.jobs_done();
    for (code, reason) in [("", "STEP_UP_REQUIRED"), (codes[0].expose().as_str(), "RATE_LIMITED")] {
        let proof = || InCall { code: code.to_owned(), challenge_id: String::new() };
        let generated = flow::generate_backup_codes(kit, &principal, &proof(), &call(NOW)).await.map(|_| ());
        let request = DisableRequest { what: What::All, proof: proof() };
        let disabled = flow::disable(kit, &principal, &request, &call(NOW)).await.map(|_| ());
        for refused in [generated, disabled] {
            assert!(matches!(&refused, Err(Error::Refused(why)) if why.reason() == reason), "{refused:?}");
        }
    }
    assert_eq!(kit.hasher.jobs_done(), before);
}

#[tokio::test]
async fn a_locked_enrolment_costs_no_hash_and_gives_backup_codes_when_the_lock_ends() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    lock(&bench, "enroll_totp").await;

    let before = bench.kit.hasher.jobs_done();
    assert_waits(verify(&bench, &token, "", &app(LAST), LAST).await, Duration::from_secs(1));
    assert_eq!(bench.kit.hasher.jobs_done(), before);
    let confirmed = verify(&bench, &token, "", &app(END), END).await.unwrap();
    assert_eq!((confirmed.backup_codes.len(), confirmed.backup_codes_remaining), (10, 10));
    assert_eq!(bench.kit.hasher.jobs_done(), before + 1);
}

#[tokio::test]
async fn backup_codes_are_hashed_only_for_a_first_factor_and_where_policy_gives_them() {
    let mut bench = Bench::new(&[ALICE]).await;
    let mut settings = bench.kit.settings();
    settings.backup_codes_enabled = false;
    bench.kit.settings = watch::Sender::new(settings.clone());
    let token = bench.token(ALICE).await;
    let before = bench.kit.hasher.jobs_done();
    let app = bench.enable(&token).await;
    let confirmed = verify(&bench, &token, "", &app(NOW), NOW).await.unwrap();
    assert_eq!((confirmed.backup_codes.len(), confirmed.backup_codes_remaining), (0, 0));
    settings.backup_codes_enabled = true;
    bench.kit.settings = watch::Sender::new(settings);
    let second = bench.enable(&token).await;
    let confirmed = verify(&bench, &token, "", &second(NOW), NOW).await.unwrap();
    assert!(confirmed.backup_codes.is_empty());
    assert_eq!(bench.kit.hasher.jobs_done(), before);
}

#[tokio::test]
async fn unlocking_an_account_leaves_the_waits_of_others() {
    let bench = Bench::new(&[ALICE, BOB]).await;
    for email in [ALICE, BOB] {
        for _ in 0..5 {
            assert!(sign_in(&bench, email, "a wrong password", NOW).await.is_err());
        }
        assert_waits(sign_in(&bench, email, PASSWORD, NOW).await, Duration::from_secs(30));
    }
    let alice = account(&bench, ALICE).await;
    flow::unlock_user(&bench.kit.store, &bench.kit.ring, &alice, "", &call(NOW)).await.unwrap();
    assert!(sign_in(&bench, ALICE, PASSWORD, NOW).await.is_ok());
    assert_waits(sign_in(&bench, BOB, PASSWORD, NOW).await, Duration::from_secs(30));
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'user_unlocked'").await, 1);
}

#[tokio::test]
async fn a_password_that_its_operator_sets_is_the_one_from_then_on() {
    let bench = Bench::new(&[ALICE, BOB]).await;
    let (token, kit) = (bench.token(ALICE).await, &bench.kit);
    let set = async |email: &str, password: &str| {
        let (email, password) = (Email::parse(email).unwrap(), text(password));
        flow::replace_password(&kit.store, &kit.ring, &kit.hasher, "Countersign", &email, &password, &call(NOW)).await
    };
    set(ALICE, NEW).await.unwrap();
    assert!(bench.admit("SessionService/GetCurrentUser", &token, NOW).await.is_err(), "every session has ended");
    let old = sign_in(&bench, ALICE, PASSWORD, NOW).await.err();
    assert!(matches!(old, Some(Error::Refused(Refusal::InvalidCredentials))), "{old:?}");
    assert!(sign_in(&bench, ALICE, NEW, NOW).await.is_ok());
    assert!(sign_in(&bench, BOB, PASSWORD, NOW).await.is_ok());
    assert!(set(ALICE, "short").await.is_err() && set("nobody@example.com", NEW).await.is_err());
}

#[tokio::test]
async fn an_account_without_its_second_factor_is_listed_so_and_starts_anew() {
    let bench = Bench::new(&[ALICE, BOB]).await;
    let (store, token) = (&bench.kit.store, bench.token(ALICE).await);
    let app = bench.enable(&token).await;
    verify(&bench, &token, "", &app(NOW), NOW).await.unwrap();
    let listed = async || {
        let listed = flow::list_users(store, &AccountFilter::default(), Page::largest(None)).await.unwrap().users;
        let of = |email: &str| listed.iter().find(|user| user.account.email.typed() == email).unwrap();
        assert_eq!((listed.len(), of(BOB).factors.len(), of(BOB).backup_codes_remaining), (2, 0, 0));
        (of(ALICE).factors.len(), of(ALICE).backup_codes_remaining, of(ALICE).account.security_version)
    };
    let (factors, codes, version) = listed().await;
    assert_eq!((factors, codes), (2, 10), "the set of backup codes is kept as one of them");

    let alice = account(&bench, ALICE).await.id;
    assert_eq!(flow::reset_second_factor(store, alice, "", &call(NOW)).await.unwrap(), 1);
    assert_eq!(listed().await, (0, 0, version + 1));
    assert!(bench.admit("SessionService/GetCurrentUser", &token, NOW).await.is_err(), "every session has ended");
    assert!(matches!(sign_in(&bench, ALICE, PASSWORD, NOW).await, Ok(SignIn::Tokens { .. })));
    assert_eq!(flow::reset_second_factor(store, alice, "", &call(NOW)).await.unwrap(), 0, "there is nothing left");
    let unknown = flow::reset_second_factor(store, UserId::new(NOW), "", &call(NOW)).await;
    assert!(matches!(unknown, Err(Error::Refused(Refusal::NotFound))), "{unknown:?}");
}

#[tokio::test]
async fn a_sweep_goes_on_until_everything_that_has_ended_is_gone() {
    let bench = Bench::new(&[]).await;
    let tx = bench.kit.store.begin().await.unwrap();
    for n in 0..=250_u8 {
        let end_time = if n < 250 { NOW } else { END };
        assert_eq!(tx.spend_challenge(&[n; 32], end_time).await.unwrap(), Swap::Done);
    }
    tx.commit().await.unwrap();
    let calls = bench.ephemeral.calls();
    flow::sweep(&bench.kit, NOW).await.unwrap();
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM spent_challenges").await, 1);
    assert_eq!(bench.ephemeral.calls(), calls + 1);
}

#[tokio::test]
async fn a_spent_challenge_is_remembered_for_a_minute_longer_than_it_lives() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    verify(&bench, &token, "", &app(NOW), NOW).await.unwrap();
    let SignIn::Challenge(open) = sign_in(&bench, ALICE, PASSWORD, NOW).await.unwrap() else { panic!("a factor") };
    let later = NOW.plus(Duration::from_secs(30));
    verify(&bench, "", &open.handle.to_text(), &app(later), later).await.unwrap();
    // The sign-in's lived for 5 minutes, the enrolment for 10.
    for (seconds, left) in [(359, 2), (360, 1), (659, 1), (660, 0)] {
        flow::sweep(&bench.kit, NOW.plus(Duration::from_secs(seconds))).await.unwrap();
        assert_eq!(bench.count("SELECT COUNT(*) AS n FROM spent_challenges").await, left, "{seconds}");
    }
}

#[tokio::test]
async fn a_network_is_remembered_anew_when_a_day_has_passed() {
    const KNOWN_UNTIL: &str = "SELECT MAX(end_time) AS n FROM known_networks";
    let day = Duration::from_secs(24 * 60 * 60);
    let bench = Bench::new(&[ALICE]).await;
    let until = async |now: Timestamp| {
        sign_in(&bench, ALICE, PASSWORD, now).await.unwrap();
        bench.count(KNOWN_UNTIL).await
    };
    let first = until(NOW).await;
    assert_eq!(first, NOW.plus(day * 90).millis());
    assert_eq!(until(NOW.plus(day - Duration::from_millis(1))).await, first);
    let later = NOW.plus(day);
    assert_eq!(until(later).await, later.plus(day * 90).millis());
    // And what has run out is a stranger's again.
    let end = later.plus(day * 90);
    assert_eq!(until(end).await, end.plus(day * 90).millis());
}
