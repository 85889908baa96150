//! Proving a second factor anew in a session.

use countersign::wire::pb;
use tonic::Code;

use crate::world::{ALICE, BOB, World, reason, refusal, with_token};

#[tokio::test]
async fn it_keeps_the_session_and_its_refresh_token_and_moves_the_proof() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    world.advance(30);
    let session = world.verify(&world.challenge(ALICE).await, &app.code()).await.unwrap();
    let before = world.validate(&session.access_token).await.claims.unwrap();
    world.advance(400);
    assert_eq!(reason(world.enable(&session.access_token).await), "STEP_UP_REQUIRED");

    let challenge = world.step_up(&session.access_token).await.unwrap();
    assert!(challenge.two_fa_required && challenge.expire_time.is_some());
    assert_eq!(challenge.methods().collect::<Vec<_>>(), [pb::Method::Totp, pb::Method::BackupCode]);
    let stepped = world.verify_as(&session.access_token, &challenge.challenge_id, &app.code()).await.unwrap();
    assert_eq!(stepped.purpose(), pb::Purpose::StepUp);
    assert!(stepped.refresh_token.is_empty());
    let after = world.validate(&stepped.access_token).await.claims.unwrap();
    assert_eq!((after.sid, after.auth_time), (before.sid, before.auth_time + 400));
    assert!(world.enable(&stepped.access_token).await.is_ok());
    assert!(world.enable(&session.access_token).await.is_ok(), "the session is what was proven, not the token");
    let renewed = world.refresh(&session.refresh_token).await.unwrap();
    let renewed = world.validate(&renewed.access_token).await.claims.unwrap();
    assert_eq!(renewed.auth_time, after.auth_time, "a refresh moves nothing");
}

#[tokio::test]
async fn its_challenge_is_good_in_its_own_session_alone() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    world.advance(30);
    let other = world.verify(&world.challenge(ALICE).await, &app.code()).await.unwrap().access_token;
    let (_, bob) = world.enrol(BOB).await;
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    world.advance(30);
    for _ in 0..6 {
        assert_eq!(reason(world.verify(&challenge, &app.code()).await), "CHALLENGE_EXPIRED", "without a token");
        for foreign in [&other, &bob] {
            assert_eq!(reason(world.verify_as(foreign, &challenge, &app.code()).await), "CHALLENGE_EXPIRED");
        }
    }
    assert_eq!(reason(world.verify_as(&token, "", &app.code()).await), "CHALLENGE_EXPIRED", "it always needs its id");
    assert!(world.verify_as(&token, &challenge, &app.code()).await.is_ok(), "and nobody has used its attempts");
}

#[tokio::test]
async fn codes_of_another_user_are_wrong_codes_of_the_one_who_is_asked() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    let (bob, _) = world.enrol(BOB).await;
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    let (code, details) = refusal(world.verify_as(&token, &challenge, &bob.code_in(1)).await);
    assert_eq!(code, Code::PermissionDenied);
    assert_eq!(details.error_info().unwrap().reason, "INVALID_CODE");
    let failures = "SELECT COUNT(*) AS n FROM factor_failures WHERE failures = 1";
    assert_eq!(world.count(failures).await, 1);
    assert!(world.verify(&world.challenge(BOB).await, &bob.code_in(1)).await.is_ok());
    assert_eq!(world.count(failures).await, 1, "of Alice's");
}

#[tokio::test]
async fn without_a_factor_there_is_nothing_to_prove() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    assert_eq!(reason(world.step_up(&token).await), "TWO_FA_NOT_ENABLED");
    let (_, token) = world.enrol(BOB).await;
    let request = pb::CreateChallengeRequest { method: pb::Method::BackupCode.into() };
    let challenge = world.twofa.clone().create_challenge(with_token(request, &token)).await.unwrap().into_inner();
    assert_eq!(challenge.methods().collect::<Vec<_>>(), [pb::Method::BackupCode]);
}

#[tokio::test]
async fn an_enrolment_code_answers_no_login_and_a_login_code_no_enrolment() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let enabled = world.enable(&token).await.unwrap();
    let new = world.authenticator(&enabled);
    let login = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&login, &new.code()).await), "INVALID_CODE", "not confirmed yet");
    assert_eq!(reason(world.verify_as(&token, &enabled.challenge_id, &app.code_in(1)).await), "INVALID_CODE");
    assert_eq!(reason(world.verify(&enabled.challenge_id, &new.code()).await), "CHALLENGE_EXPIRED");
    assert!(world.verify_as(&token, &enabled.challenge_id, &new.code()).await.is_ok());
}

#[tokio::test]
async fn no_text_messages_are_sent_and_a_challenge_keeps_its_attempts() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let send = |challenge_id: &str| {
        let request = pb::SendCodeRequest { challenge_id: challenge_id.to_owned(), method: 0 };
        let mut client = world.twofa.clone();
        async move { client.send_code(request).await }
    };
    for _ in 0..7 {
        assert_eq!(reason(send(&challenge).await), "SMS_NOT_CONFIGURED");
    }
    for none in ["", "chl_", "chl_AAAA", &token] {
        assert_eq!(reason(send(none).await), "CHALLENGE_EXPIRED");
    }
    let step_up = world.step_up(&token).await.unwrap().challenge_id;
    assert_eq!(reason(send(&step_up).await), "CHALLENGE_EXPIRED", "without the token of its session");
    assert!(world.verify(&challenge, &app.code_in(1)).await.is_ok());
}
