//! Signing in: password, then code; and what is refused on the way.

use countersign::wire::pb;
use tonic::Code;

use crate::world::{ALICE, BOB, PASSWORD, World, answer, reason, refusal, retry_after, with_token};

#[tokio::test]
async fn a_used_step_an_older_one_and_the_enrolment_code_are_refused() {
    let world = World::new().await;
    world.advance(300);
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &app.code()).await), "INVALID_CODE", "the code that confirmed it");
    assert_eq!(reason(world.verify(&challenge, &app.code_in(-1)).await), "INVALID_CODE", "an older one");
    let next = app.code_in(1);
    assert!(world.verify(&challenge, &next).await.is_ok());

    let challenge = world.challenge(ALICE).await;
    for used in [next.clone(), format!("{} {}", &next[..3], &next[3..]), format!("{}-{}", &next[..3], &next[3..])] {
        assert_eq!(reason(world.verify(&challenge, &used).await), "INVALID_CODE", "{used:?}");
    }
    assert_eq!(reason(world.verify(&challenge, &app.code()).await), "INVALID_CODE", "a step before the used one");
    assert_eq!(world.audited("replay").await, 6);
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0, "a replay climbs no ladder");
}

#[tokio::test]
async fn a_code_in_groups_is_right_the_first_time() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let next = app.code_in(1);
    assert!(world.verify(&challenge, &format!(" {}-{} ", &next[..3], &next[3..])).await.is_ok());
}

#[tokio::test]
async fn what_is_no_code_is_refused_cleanly() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    world.advance(30);
    for bad in ["+12345", "١٢٣٤٥٦", "１２３４５６", "", "12345", "1234567", "1e5", &"9".repeat(10_000)] {
        let challenge = world.challenge(ALICE).await;
        assert_eq!(reason(world.verify(&challenge, bad).await), "INVALID_CODE", "{bad:.20}");
        world.advance(3600);
    }
    assert_eq!(reason(world.verify("", "").await), "CHALLENGE_EXPIRED", "empty equals nothing");
    let challenge = world.challenge(ALICE).await;
    let (code, details) = refusal(world.verify(&challenge, &"9".repeat(70_000)).await);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    assert!(world.verify(&challenge, &app.code()).await.is_ok(), "the connection and the challenge stand");
}

#[tokio::test]
async fn a_challenge_works_once() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    world.advance(30);
    assert!(world.verify(&challenge, &app.code()).await.is_ok());
    world.advance(30);
    assert_eq!(reason(world.verify(&challenge, &app.code()).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn a_challenge_ends_after_five_minutes() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    world.advance(5 * 60);
    assert_eq!(reason(world.verify(&challenge, &app.code()).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn a_sixth_open_challenge_ends_the_oldest() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut challenges = Vec::new();
    for _ in 0..6 {
        challenges.push(world.challenge(ALICE).await);
    }
    world.advance(30);
    assert_eq!(reason(world.verify(&challenges[0], &app.code()).await), "CHALLENGE_EXPIRED");
    assert!(world.verify(&challenges[1], &app.code()).await.is_ok());
}

#[tokio::test]
async fn five_wrong_codes_end_a_challenge_and_nothing_resets_the_count() {
    let mut world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    for _ in 0..5 {
        assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE");
    }
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "CHALLENGE_EXPIRED");

    let challenge = world.challenge(ALICE).await;
    for _ in 0..10 {
        assert_eq!(retry_after(world.verify(&challenge, &app.code_in(1)).await), 30, "a new sign-in resets nothing");
    }
    world = world.restarted().await;
    let challenge = world.challenge(ALICE).await;
    assert_eq!(retry_after(world.verify(&challenge, &app.code_in(1)).await), 30, "nor does a restart");
    world.advance(29);
    assert_eq!(retry_after(world.verify(&challenge, &app.code()).await), 1);
    world.advance(1);
    assert!(world.verify(&challenge, &app.code_in(1)).await.is_ok(), "and the challenge has stood");
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0);
}

#[tokio::test]
async fn the_waits_grow_and_the_hundredth_failure_ends_the_method() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut waits = Vec::new();
    for failure in 1..100 {
        let challenge = world.challenge(ALICE).await;
        assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE", "{failure}");
        let challenge = world.challenge(ALICE).await;
        if failure >= 5 {
            let wait = retry_after(world.verify(&challenge, &app.code()).await);
            waits.push(wait);
            world.advance(wait);
        }
    }
    assert_eq!(waits[..9], [30, 60, 120, 300, 900, 1800, 3600, 3600, 3600]);
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE");
    world.advance(365 * 24 * 3600);
    let challenge = world.challenge(ALICE).await;
    let (code, details) = refusal(world.verify(&challenge, &app.code()).await);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"));
    assert!(details.retry_info().is_none(), "waiting does not help any more");
}

#[tokio::test]
async fn a_success_sets_the_count_back() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    for round in 1..4 {
        let challenge = world.challenge(ALICE).await;
        for _ in 0..4 {
            assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE");
        }
        world.advance(30);
        assert!(world.verify(&challenge, &app.code()).await.is_ok(), "round {round}");
    }
}

#[tokio::test]
async fn a_challenge_that_is_over_is_told_of_before_a_wait_is() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let other = world.challenge(ALICE).await;
    for _ in 0..5 {
        assert_eq!(reason(world.verify(&other, &app.wrong_code()).await), "INVALID_CODE");
    }
    assert_eq!(retry_after(world.verify(&challenge, &app.code_in(1)).await), 30);
    world.execute("UPDATE users SET security_version = security_version + 1").await;
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn failures_of_one_user_are_not_those_of_another() {
    let world = World::new().await;
    let (alice, _) = world.enrol(ALICE).await;
    let (bob, _) = world.enrol(BOB).await;
    let challenge = world.challenge(ALICE).await;
    world.advance(30);
    for _ in 0..5 {
        // Bob's right code on Alice's challenge is a wrong code of Alice's.
        assert_eq!(reason(world.verify(&challenge, &bob.code()).await), "INVALID_CODE");
    }
    assert!(world.verify(&world.challenge(BOB).await, &bob.code()).await.is_ok());
    assert_eq!(retry_after(world.verify(&world.challenge(ALICE).await, &alice.code()).await), 30);
}

#[tokio::test]
async fn a_token_of_somebody_else_answers_no_challenge() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let stranger = world.sign_in(BOB).await;
    let challenge = world.challenge(ALICE).await;
    world.advance(30);
    for _ in 0..6 {
        let refused = world.verify_as(&stranger.access_token, &challenge, &app.code()).await;
        assert_eq!(reason(refused), "CHALLENGE_EXPIRED");
    }
    let refused = world.verify_as("not a token", &challenge, &app.code()).await;
    assert_eq!(reason(refused), "UNAUTHENTICATED", "a bad token is not passed over");
    assert!(world.verify(&challenge, &app.code()).await.is_ok());
}

#[tokio::test]
async fn a_method_that_is_named_is_the_one_that_is_judged() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    let request = pb::VerifyRequest { method: pb::Method::Totp.into(), ..answer(&challenge, &app.code()) };
    assert!(world.twofa.clone().verify(request).await.is_ok());
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_the_same_bytes() {
    let world = World::new().await;
    let wrong = world.local_auth(ALICE, "not the password").await.unwrap_err();
    let unknown = world.local_auth("nobody@example.com", PASSWORD).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(
        (wrong.code(), wrong.message(), wrong.details()),
        (unknown.code(), unknown.message(), unknown.details())
    );
    let names = |status: &tonic::Status| {
        let mut names: Vec<_> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
        names.sort();
        names
    };
    assert_eq!(names(&wrong), names(&unknown));
    assert_eq!(world.audited("authn_login_fail").await, 2);
}

#[tokio::test]
async fn a_blocked_user_is_told_so_only_after_the_right_password() {
    let world = World::new().await;
    let before = world.sign_in(ALICE).await;
    world.execute("UPDATE users SET blocked = TRUE").await;
    assert_eq!(reason(world.local_auth(ALICE, "not the password").await), "INVALID_CREDENTIALS");
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "USER_BLOCKED");
    assert_eq!(reason(world.status(&before.access_token).await), "USER_BLOCKED");
    assert_eq!(reason(world.refresh(&before.refresh_token).await), "USER_BLOCKED");
    assert_eq!(world.validate(&before.access_token).await.status(), pb::TokenStatus::UserBlocked);
}

#[tokio::test]
async fn case_and_composition_do_not_make_another_user() {
    let world = World::new().await;
    assert!(world.local_auth(" ALICE@Example.COM ", PASSWORD).await.is_ok());
    for (field, email, password) in
        [("email", "no address", PASSWORD), ("password", ALICE, ""), ("email", "", PASSWORD)]
    {
        let (code, details) = refusal(world.local_auth(email, password).await);
        assert_eq!(code, Code::InvalidArgument);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    let (_, details) = refusal(world.local_auth(ALICE, &"ä".repeat(257)).await);
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "password");
}

#[tokio::test]
async fn a_password_alone_changes_nothing_for_the_sessions_that_are() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    for _ in 0..7 {
        world.challenge(ALICE).await;
        world.local_auth(ALICE, "not the password").await.unwrap_err();
    }
    assert!(world.is_good(&token).await);
    let request = with_token(pb::GetCurrentUserRequest {}, &token);
    let user = world.sessions.clone().get_current_user(request).await.unwrap().into_inner();
    assert_eq!((user.email.as_str(), user.role()), (ALICE, pb::Role::User));
}
