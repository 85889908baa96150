//! Enrolling an authenticator app.

use countersign::wire::pb;

use crate::world::{ALICE, BOB, World, answer, reason, refusal, retry_after, with_token};

#[tokio::test]
async fn two_fa_is_never_on_before_a_code_has_confirmed_it() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    world.enable(&session.access_token).await.unwrap();
    assert!(!world.status(&session.access_token).await.unwrap().enabled);
    let again = world.sign_in(ALICE).await;
    assert!(!again.two_fa_required && !again.access_token.is_empty());
}

#[tokio::test]
async fn a_confirmed_factor_is_asked_for_at_the_next_sign_in() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let status = world.status(&token).await.unwrap();
    assert!(status.enabled);
    assert_eq!(status.factors.len(), 1);
    assert_eq!(status.factors[0].method(), pb::Method::Totp);
    assert!(status.factors[0].last_use_time.is_none());

    let response = world.sign_in(ALICE).await;
    assert_eq!(response.message, "2FA required");
    assert!(response.access_token.is_empty() && response.refresh_token.is_empty());
    assert_eq!(response.methods().collect::<Vec<_>>(), [pb::Method::Totp, pb::Method::BackupCode]);
    world.advance(30);
    let verified = world.verify(&response.challenge_id, &app.code()).await.unwrap();
    assert_eq!(verified.purpose(), pb::Purpose::Login);
    assert!(world.status(&verified.access_token).await.unwrap().factors[0].last_use_time.is_some());
}

#[tokio::test]
async fn the_secret_the_uri_and_the_picture_say_the_same() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let request = pb::EnableRequest { label: "my phone".to_owned(), ..Default::default() };
    let enabled = world.twofa.clone().enable(with_token(request, &session.access_token)).await.unwrap().into_inner();
    assert!(enabled.qr_code.starts_with("data:image/png;base64,iVBOR"));
    assert_eq!(
        enabled.otpauth_uri,
        format!("otpauth://totp/Countersign:alice%40example.com?secret={}&issuer=Countersign", enabled.secret)
    );
    assert_eq!(enabled.secret.len(), 32, "160 bits in base32");
    assert_eq!(enabled.method(), pb::Method::Totp);
    assert!(!enabled.message.is_empty() && enabled.expire_time.is_some());
    let app = world.authenticator(&enabled);
    let confirmed = world.verify_as(&session.access_token, "", &app.code()).await.unwrap();
    assert_eq!(world.status(&confirmed.access_token).await.unwrap().factors[0].label, "my phone");
}

#[tokio::test]
async fn the_confirming_session_is_lifted_and_the_others_end() {
    let world = World::new().await;
    let other = world.sign_in(ALICE).await;
    let session = world.sign_in(ALICE).await;
    let before = world.validate(&session.access_token).await.claims.unwrap();
    world.advance(10);
    let enabled = world.enable(&session.access_token).await.unwrap();
    let code = world.authenticator(&enabled).code();
    let confirmed = world.verify_as(&session.access_token, &enabled.challenge_id, &code).await.unwrap();

    assert_eq!(confirmed.purpose(), pb::Purpose::Enrollment);
    assert!(confirmed.refresh_token.is_empty(), "the session goes on with the refresh token that it has");
    let after = world.validate(&confirmed.access_token).await.claims.unwrap();
    assert_eq!(after.sid, before.sid);
    assert_eq!(after.auth_time, before.auth_time + 10);
    assert_eq!((before.acr.as_str(), after.acr.as_str()), ("urn:countersign:acr:1", "urn:countersign:acr:2"));
    assert_eq!(after.amr, ["pwd", "otp", "mfa"]);
    assert!(world.refresh(&session.refresh_token).await.is_ok());
    assert!(!world.is_good(&other.access_token).await);
    assert_eq!(reason(world.refresh(&other.refresh_token).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_new_enable_ends_the_pending_enrolment() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let first = world.enable(&session.access_token).await.unwrap();
    let second = world.enable(&session.access_token).await.unwrap();
    assert_ne!(first.secret, second.secret);
    let code = world.authenticator(&first).code();
    assert_eq!(reason(world.verify_as(&session.access_token, &first.challenge_id, &code).await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.verify_as(&session.access_token, "", &code).await), "INVALID_CODE");
    let code = world.authenticator(&second).code();
    assert!(world.verify_as(&session.access_token, "", &code).await.is_ok());
}

#[tokio::test]
async fn only_the_session_that_began_an_enrolment_confirms_it() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let other = world.sign_in(ALICE).await;
    let stranger = world.sign_in(BOB).await;
    let enabled = world.enable(&session.access_token).await.unwrap();
    let code = world.authenticator(&enabled).code();
    for _ in 0..10 {
        assert_eq!(reason(world.verify(&enabled.challenge_id, &code).await), "CHALLENGE_EXPIRED");
        for token in [&other.access_token, &stranger.access_token] {
            let refused = world.verify_as(token, &enabled.challenge_id, &code).await;
            assert_eq!(reason(refused), "CHALLENGE_EXPIRED");
        }
    }
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0);
    assert!(world.verify_as(&session.access_token, &enabled.challenge_id, &code).await.is_ok());
}

#[tokio::test]
async fn a_pending_enrolment_ends_after_ten_minutes() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let enabled = world.enable(&session.access_token).await.unwrap();
    let app = world.authenticator(&enabled);
    world.advance(10 * 60);
    assert_eq!(reason(world.verify_as(&session.access_token, "", &app.code()).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn wrong_codes_end_a_pending_enrolment_and_make_the_next_one_wait() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let enabled = world.enable(&session.access_token).await.unwrap();
    let wrong = world.authenticator(&enabled).wrong_code();
    for _ in 0..5 {
        let (code, details) = refusal(world.verify_as(&session.access_token, "", &wrong).await);
        assert_eq!(code, tonic::Code::PermissionDenied, "the caller is signed in, so the call is refused");
        assert_eq!(details.error_info().unwrap().reason, "INVALID_CODE");
    }
    assert_eq!(world.audited("authn_login_lock").await, 1);
    assert_eq!(reason(world.verify_as(&session.access_token, "", &wrong).await), "CHALLENGE_EXPIRED");
    let enabled = world.enable(&session.access_token).await.unwrap();
    let app = world.authenticator(&enabled);
    assert_eq!(retry_after(world.verify_as(&session.access_token, "", &app.code()).await), 30);
    world.advance(30);
    assert!(world.verify_as(&session.access_token, "", &app.code()).await.is_ok());
}

#[tokio::test]
async fn failures_of_an_enrolment_never_lock_the_working_factor() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let enabled = world.enable(&token).await.unwrap();
    let wrong = world.authenticator(&enabled).wrong_code();
    for _ in 0..5 {
        assert_eq!(reason(world.verify_as(&token, "", &wrong).await), "INVALID_CODE");
    }
    let challenge = world.challenge(ALICE).await;
    world.advance(30);
    assert!(world.verify(&challenge, &app.code()).await.is_ok());
}

#[tokio::test]
async fn input_of_no_form_costs_a_pending_enrolment_an_attempt_and_no_failure() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    world.enable(&session.access_token).await.unwrap();
    for misfit in ["12345", "1234567", "", "ABCDEFGH", "12 34"] {
        assert_eq!(reason(world.verify_as(&session.access_token, "", misfit).await), "INVALID_CODE");
    }
    assert_eq!(reason(world.verify_as(&session.access_token, "", "123456").await), "CHALLENGE_EXPIRED");
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0);
}

#[tokio::test]
async fn enrolling_is_never_locked_for_good() {
    let world = World::new().await;
    world.execute("INSERT INTO factor_failures SELECT id, 'enroll_totp', 1000, 0 FROM users").await;
    let session = world.sign_in(ALICE).await;
    let enabled = world.enable(&session.access_token).await.unwrap();
    let app = world.authenticator(&enabled);
    assert_eq!(reason(world.verify_as(&session.access_token, "", &app.wrong_code()).await), "INVALID_CODE");
    assert_eq!(retry_after(world.verify_as(&session.access_token, "", &app.code()).await), 3600);
}

#[tokio::test]
async fn a_second_authenticator_works_beside_the_first() {
    let world = World::new().await;
    let (first, token) = world.enrol(ALICE).await;
    let enabled = world.enable(&token).await.unwrap();
    let second = world.authenticator(&enabled);
    let token = world.verify_as(&token, "", &second.code()).await.unwrap().access_token;
    assert_eq!(world.status(&token).await.unwrap().factors.len(), 2);
    world.advance(30);
    for app in [first, second] {
        let challenge = world.challenge(ALICE).await;
        assert!(world.verify(&challenge, &app.code()).await.is_ok());
    }
    assert!(world.is_good(&token).await, "only the first factor ends the other sessions");
}

#[tokio::test]
async fn a_factor_confirmed_meanwhile_ends_the_open_challenges() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let enabled = world.enable(&token).await.unwrap();
    world.verify_as(&token, "", &world.authenticator(&enabled).code()).await.unwrap();
    world.advance(30);
    assert_eq!(reason(world.verify(&challenge, &app.code()).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn a_malformed_label_or_method_is_named() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let enable = |request| {
        let mut client = world.twofa.clone();
        let request = with_token(request, &session.access_token);
        async move { client.enable(request).await }
    };
    for label in ["x".repeat(65), "a\u{7}b".to_owned()] {
        let (code, details) = refusal(enable(pb::EnableRequest { label, ..Default::default() }).await);
        assert_eq!(code, tonic::Code::InvalidArgument);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "label");
    }
    let (_, details) = refusal(enable(pb::EnableRequest { method: 77, ..Default::default() }).await);
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "method");
    let mut client = world.twofa.clone();
    let request = pb::VerifyRequest { method: 77, ..answer("", "123456") };
    assert_eq!(reason(client.verify(request).await), "INVALID_ARGUMENT");
}
