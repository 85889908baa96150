//! Passwords: the ladder of wrong ones, changing and setting them.

use countersign::wire::pb;
use tonic::{Code, Status};

use crate::{
    audit::{sealed, verify},
    world::{ADMIN, ALICE, BOB, PASSWORD, World, reason, refusal, retry_after},
};

const NEW: &str = "another password 77";

fn change(current: &str, code: &str) -> pb::ChangePasswordRequest {
    pb::ChangePasswordRequest {
        current_password: current.to_owned(),
        new_password: NEW.to_owned(),
        code: code.to_owned(),
        challenge_id: String::new(),
    }
}

fn set(token: &str, code: &str, challenge_id: &str) -> pb::SetPasswordRequest {
    pb::SetPasswordRequest {
        token: token.to_owned(),
        new_password: NEW.to_owned(),
        code: code.to_owned(),
        challenge_id: challenge_id.to_owned(),
    }
}

#[tokio::test]
async fn wrong_passwords_climb_the_same_ladder_for_known_and_unknown_names() {
    let mut world = World::new().await;
    for name in [ALICE, "nobody@example.com"] {
        let mut waits = Vec::new();
        for failure in 1..14 {
            assert_eq!(reason(world.local_auth(name, "wrong password").await), "INVALID_CREDENTIALS", "{failure}");
            if failure >= 5 {
                world = world.restarted().await;
                let wait = retry_after(world.local_auth(&name.to_uppercase(), PASSWORD).await);
                waits.push(wait);
                world.advance(wait - 1);
                assert_eq!(retry_after(world.local_auth(name, PASSWORD).await), 1);
                world.advance(1);
            }
        }
        assert_eq!(waits, [30, 60, 120, 300, 900, 1800, 3600, 3600, 3600], "{name}");
    }
    assert!(world.local_auth(ALICE, PASSWORD).await.is_ok(), "a password is never disabled");
    for _ in 0..4 {
        assert_eq!(reason(world.local_auth(ALICE, "wrong password").await), "INVALID_CREDENTIALS");
    }
    assert!(world.local_auth(ALICE, PASSWORD).await.is_ok(), "a success has set the count back");
}

#[tokio::test]
async fn passwords_tried_at_once_are_counted_before_they_are_judged() {
    let world = World::new().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut client = world.twofa.clone();
        let request = pb::LocalAuthRequest { email: ALICE.to_owned(), password: "wrong password".to_owned() };
        calls.spawn(async move { client.local_auth(request).await });
    }
    let reasons: Vec<_> = calls.join_all().await.into_iter().map(reason).collect();
    assert_eq!(reasons.iter().filter(|reason| *reason == "INVALID_CREDENTIALS").count(), 5);
    assert_eq!(reasons.iter().filter(|reason| *reason == "RATE_LIMITED").count(), 35);
}

/// A wrong password from a network that has never tried before: its own ladder is at the foot.
async fn try_from_elsewhere(world: &World, name: &str) -> Result<pb::LocalAuthResponse, Status> {
    world.execute("UPDATE buckets SET locked_until = 0, failures = 0 WHERE locked_until > 0").await;
    world.local_auth(name, "wrong password").await
}

#[tokio::test]
async fn networks_that_are_strangers_share_a_hundred_failures_a_day() {
    let world = World::new().await;
    for name in [BOB, "nobody@example.com"] {
        for _ in 0..100 {
            assert_eq!(reason(try_from_elsewhere(&world, name).await), "INVALID_CREDENTIALS");
        }
        assert_eq!(retry_after(try_from_elsewhere(&world, name).await), 24 * 60 * 60);
        assert_eq!(retry_after(world.local_auth(name, PASSWORD).await), 24 * 60 * 60, "right or wrong");
    }
    world.advance(24 * 60 * 60);
    assert!(world.local_auth(BOB, PASSWORD).await.is_ok());
    for _ in 0..120 {
        assert_eq!(
            reason(try_from_elsewhere(&world, BOB).await),
            "INVALID_CREDENTIALS",
            "a network that is known is outside"
        );
    }
}

#[tokio::test]
async fn callers_who_are_told_to_wait_leave_one_row_a_source_and_minute() {
    let mut world = World::new().await;
    for _ in 0..5 {
        assert_eq!(reason(world.local_auth(ALICE, "wrong password").await), "INVALID_CREDENTIALS");
    }
    for _ in 0..3 {
        retry_after(world.local_auth(ALICE, PASSWORD).await);
    }
    world.advance(60);
    assert_eq!(reason(world.local_auth(ALICE, "wrong password").await), "INVALID_CREDENTIALS");
    retry_after(world.local_auth(ALICE, PASSWORD).await);
    world = world.restarted().await;
    assert_eq!(world.audited("excess_rate_limit").await, 2);
    let rows = "FROM audit_events WHERE kind = 'excess_rate_limit' AND source = '127.0.0.1'";
    assert_eq!(world.count(&format!("SELECT MAX(count) AS n {rows}")).await, 3);
    assert_eq!(world.count(&format!("SELECT SUM(count) AS n {rows}")).await, 4);
    // They carry the minute that they count, and are no sign of a log that was set back.
    retry_after(world.local_auth(ALICE, PASSWORD).await);
    world.advance(100);
    let world = world.restarted().await;
    sealed(&world).await;
    assert_eq!((world.audited("excess_rate_limit").await, verify(&world).await.late), (3, 0));
}

#[tokio::test]
async fn the_present_password_or_a_code_in_the_call_does_instead_of_a_fresh_proof() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let other = world.sign_in(ALICE).await;
    world.advance(301);
    let (code, details) = refusal(world.change_password(&session.access_token, change("", "")).await);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::Unauthenticated, "STEP_UP_REQUIRED"));
    assert_eq!(details.error_info().unwrap().metadata["acr_values"], "urn:countersign:acr:1");
    assert_eq!(reason(world.change_password(&session.access_token, change("wrong", "")).await), "INVALID_CREDENTIALS");
    world.change_password(&session.access_token, change(PASSWORD, "")).await.unwrap();
    assert!(world.is_good(&session.access_token).await);
    assert!(!world.is_good(&other.access_token).await);
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "INVALID_CREDENTIALS");
    assert!(world.local_auth(ALICE, NEW).await.is_ok());
}

#[tokio::test]
async fn with_a_factor_a_stale_session_changes_the_password_by_a_code() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    world.advance(301);
    let (_, details) = refusal(world.change_password(&token, change("", "")).await);
    assert_eq!(details.error_info().unwrap().metadata["acr_values"], "urn:countersign:acr:2");
    let open = world.challenge(ALICE).await;
    assert_eq!(reason(world.change_password(&token, change("", &app.wrong_code())).await), "INVALID_CODE");
    world.change_password(&token, change("", &app.code())).await.unwrap();
    assert_eq!(reason(world.verify(&open, &app.code_in(1)).await), "CHALLENGE_EXPIRED", "set meanwhile");
    assert!(world.local_auth(ALICE, NEW).await.unwrap().two_fa_required);
}

#[tokio::test]
async fn guesses_at_the_present_password_climb_the_ladder_of_sign_ins() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    for _ in 0..5 {
        assert_eq!(
            reason(world.change_password(&session.access_token, change("wrong", "")).await),
            "INVALID_CREDENTIALS"
        );
    }
    assert_eq!(world.audited("authn_login_lock").await, 1);
    assert_eq!(retry_after(world.change_password(&session.access_token, change(PASSWORD, "")).await), 30);
    assert_eq!(retry_after(world.local_auth(ALICE, PASSWORD).await), 30);
}

#[tokio::test]
async fn a_bad_new_password_is_rejected_with_the_reason() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    for (new, why) in
        [("short", "8 to 256"), ("Password1", "most common"), ("alice2026", "made of"), ("countersign!", "made of")]
    {
        let request = pb::ChangePasswordRequest { new_password: new.to_owned(), ..Default::default() };
        let refused = world.change_password(&session.access_token, request).await;
        assert!(refused.as_ref().unwrap_err().message().contains(why), "{new}: {refused:?}");
        let (code, details) = refusal(refused);
        assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::InvalidArgument, "PASSWORD_REJECTED"));
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "new_password");
    }
}

#[tokio::test]
async fn a_password_token_sets_a_password_once_and_ends_every_session() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let (old, token) = (world.password_token(ALICE).await, world.password_token(ALICE).await);
    assert_eq!(reason(world.set_password(set(&old, "", "")).await), "UNAUTHENTICATED", "a new one ends the old");
    let bad = pb::SetPasswordRequest { token: token.clone(), new_password: "short".into(), ..Default::default() };
    assert_eq!(reason(world.set_password(bad).await), "PASSWORD_REJECTED");
    let done = world.set_password(set(&token, "", "")).await.unwrap();
    assert!(!done.two_fa_required && done.challenge_id.is_empty());
    assert!(!world.is_good(&session.access_token).await);
    assert!(world.local_auth(ALICE, NEW).await.is_ok());
    for none in [token.as_str(), "", "pwt_", "pwt_AAAA", &session.refresh_token] {
        assert_eq!(reason(world.set_password(set(none, "", "")).await), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_password_token_lives_a_day() {
    let world = World::new().await;
    let token = world.password_token(ALICE).await;
    world.advance(24 * 60 * 60);
    assert_eq!(reason(world.set_password(set(&token, "", "")).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn with_a_factor_a_password_token_alone_changes_nothing() {
    let world = World::new().await;
    let (app, access) = world.enrol(ADMIN).await;
    let token = world.password_token(ADMIN).await;
    let asked = world.set_password(set(&token, "", "")).await.unwrap();
    assert!(asked.two_fa_required && asked.expire_time.is_some());
    assert_eq!(asked.methods().collect::<Vec<_>>(), [pb::Method::Totp, pb::Method::BackupCode]);
    assert!(world.is_good(&access).await && world.local_auth(ADMIN, PASSWORD).await.is_ok());

    let challenge = asked.challenge_id;
    assert_eq!(
        reason(world.verify(&challenge, &app.code_in(1)).await),
        "CHALLENGE_EXPIRED",
        "Verify does not answer it"
    );
    let login = world.challenge(ADMIN).await;
    assert_eq!(reason(world.set_password(set(&token, &app.code_in(1), &login)).await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.set_password(set(&token, &app.code_in(1), "")).await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.set_password(set(&token, &app.wrong_code(), &challenge)).await), "INVALID_CODE");
    assert!(world.local_auth(ADMIN, PASSWORD).await.is_ok());
    world.set_password(set(&token, &app.code_in(1), &challenge)).await.unwrap();
    assert!(!world.is_good(&access).await);
    assert!(world.local_auth(ADMIN, NEW).await.unwrap().two_fa_required);
    assert_eq!(reason(world.set_password(set(&token, "", "")).await), "UNAUTHENTICATED");
}
