//! Accounts that must have a second factor: an administrator without one enrols before a session is given.

use countersign::wire::pb;

use crate::world::{ADMIN, ALICE, World, answer, reason, with_token};

#[tokio::test]
async fn an_enrolment_token_leads_to_a_session_and_to_nothing_else() {
    let world = World::new().await;
    let response = world.sign_in(ADMIN).await;
    assert!(response.enrollment_required && response.expire_time.is_some());
    assert!(response.access_token.is_empty() && response.refresh_token.is_empty() && !response.two_fa_required);
    let token = response.enrollment_token;
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Requires2fa);
    let status = world.status(&token).await.unwrap();
    assert_eq!((status.enabled, status.required), (false, true));

    let mut sessions = world.sessions.clone();
    let refused = sessions.get_current_user(with_token(pb::GetCurrentUserRequest {}, &token)).await;
    assert_eq!(reason(refused), "ENROLLMENT_REQUIRED");
    assert_eq!(
        reason(sessions.list_sessions(with_token(pb::ListSessionsRequest::default(), &token)).await),
        "ENROLLMENT_REQUIRED"
    );
    assert_eq!(reason(world.step_up(&token).await), "ENROLLMENT_REQUIRED");
    assert_eq!(reason(world.backup_codes(&token, "", "").await), "ENROLLMENT_REQUIRED");
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "ENROLLMENT_REQUIRED");
    let change = pb::ChangePasswordRequest { new_password: "another password 77".into(), ..Default::default() };
    assert_eq!(reason(world.change_password(&token, change).await), "ENROLLMENT_REQUIRED");
    assert_eq!(reason(world.refresh(&token).await), "UNAUTHENTICATED");

    let enabled = world.enable(&token).await.unwrap();
    let app = world.authenticator(&enabled);
    let confirmed = world.verify_as(&token, "", &app.code()).await.unwrap();
    assert_eq!(confirmed.purpose(), pb::Purpose::Enrollment);
    assert_eq!(confirmed.backup_codes.len(), 10);
    let claims = world.validate(&confirmed.access_token).await.claims.unwrap();
    assert_eq!((claims.acr.as_str(), claims.role.as_str()), ("urn:countersign:acr:2", "admin"));
    assert!(world.refresh(&confirmed.refresh_token).await.is_ok(), "a new session");
    assert_eq!(world.audited("authn_login_success").await, 1);

    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Unauthenticated, "it has done its work");
    assert_eq!(reason(world.enable(&token).await), "UNAUTHENTICATED");
    assert!(world.sign_in(ADMIN).await.two_fa_required);
}

#[tokio::test]
async fn it_lives_ten_minutes_and_no_longer() {
    let world = World::new().await;
    let token = world.sign_in(ADMIN).await.enrollment_token;
    world.advance(599);
    assert!(world.enable(&token).await.is_ok(), "good for its whole life, however old the password");
    world.advance(1);
    assert_eq!(reason(world.enable(&token).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn it_is_ended_by_logging_out_and_by_what_ends_challenges() {
    let world = World::new().await;
    let token = world.sign_in(ADMIN).await.enrollment_token;
    world.end(&token, false).await.unwrap();
    assert_eq!(reason(world.status(&token).await), "UNAUTHENTICATED");
    let token = world.sign_in(ADMIN).await.enrollment_token;
    world.execute("UPDATE users SET security_version = security_version + 1").await;
    assert_eq!(reason(world.status(&token).await), "UNAUTHENTICATED");
    let token = world.sign_in(ADMIN).await.enrollment_token;
    world.execute("UPDATE users SET blocked = TRUE").await;
    assert_eq!(reason(world.status(&token).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn it_is_no_challenge_and_a_challenge_is_not_it() {
    let world = World::new().await;
    let token = world.sign_in(ADMIN).await.enrollment_token;
    let as_challenge = token.replacen("ent_", "chl_", 1);
    assert_eq!(reason(world.verify(&as_challenge, "123456").await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.verify(&token, "123456").await), "CHALLENGE_EXPIRED");
    world.enrol(ALICE).await;
    let as_token = world.challenge(ALICE).await.replacen("chl_", "ent_", 1);
    assert_eq!(reason(world.status(&as_token).await), "UNAUTHENTICATED");
    assert_eq!(world.validate(&as_token).await.status(), pb::TokenStatus::Unauthenticated);
}

#[tokio::test]
async fn only_the_token_that_began_an_enrolment_confirms_it() {
    let world = World::new().await;
    let (first, second) = (world.sign_in(ADMIN).await.enrollment_token, world.sign_in(ADMIN).await.enrollment_token);
    let enabled = world.enable(&first).await.unwrap();
    let code = world.authenticator(&enabled).code();
    for _ in 0..6 {
        assert_eq!(reason(world.verify_as(&second, &enabled.challenge_id, &code).await), "CHALLENGE_EXPIRED");
        assert_eq!(reason(world.verify(&enabled.challenge_id, &code).await), "CHALLENGE_EXPIRED");
    }
    assert!(world.verify_message(&first, answer(&enabled.challenge_id, &code)).await.is_ok());
    assert_eq!(reason(world.enable(&second).await), "UNAUTHENTICATED", "the factor has ended the other token");
}

#[tokio::test]
async fn a_session_from_before_two_fa_needs_a_code_for_what_is_sensitive() {
    let mut world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    world.execute("UPDATE settings SET two_fa_enabled = FALSE").await;
    world = world.restarted().await;
    let before = world.sign_in(ALICE).await;
    assert_eq!(world.validate(&before.access_token).await.claims.unwrap().acr, "urn:countersign:acr:1");
    world.execute("UPDATE settings SET two_fa_enabled = TRUE").await;
    world = world.restarted().await;

    let token = before.access_token;
    world.execute("UPDATE settings SET required_for = 'all'").await;
    world = world.restarted().await;
    assert_eq!(
        world.validate(&token).await.status(),
        pb::TokenStatus::Requires2fa,
        "one factor where policy asks for two"
    );
    world.execute("UPDATE settings SET required_for = 'admins'").await;
    world = world.restarted().await;
    assert_eq!(reason(world.enable(&token).await), "STEP_UP_REQUIRED");
    assert_eq!(reason(world.backup_codes(&token, "", "").await), "STEP_UP_REQUIRED");
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "STEP_UP_REQUIRED");
    let change = pb::ChangePasswordRequest { new_password: "another password 77".into(), ..Default::default() };
    assert_eq!(reason(world.change_password(&token, change).await), "STEP_UP_REQUIRED");

    assert!(world.backup_codes(&token, &confirmed.backup_codes[0], "").await.is_ok(), "a code in the call");
    assert_eq!(reason(world.enable(&token).await), "STEP_UP_REQUIRED", "is good for its call alone");
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    let token = world.verify_as(&token, &challenge, &app.code_in(1)).await.unwrap().access_token;
    assert!(world.enable(&token).await.is_ok());
    assert!(world.disable(&token, pb::DisableRequest::default()).await.is_ok());
}

#[tokio::test]
async fn switching_two_fa_off_as_a_whole_is_for_users_alone() {
    let mut world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    world.enrol(ADMIN).await;
    world.execute("UPDATE settings SET two_fa_enabled = FALSE").await;
    world = world.restarted().await;
    assert!(!world.sign_in(ALICE).await.access_token.is_empty(), "a password is enough for a user");
    assert!(world.sign_in(ADMIN).await.two_fa_required, "and not for an administrator");
    assert_eq!(reason(world.enable(&token).await), "TWO_FA_UNAVAILABLE");
    world.execute("UPDATE settings SET two_fa_enabled = TRUE, allowed_methods = 'phone'").await;
    world = world.restarted().await;
    assert!(world.sign_in(ALICE).await.two_fa_required, "an enrolled factor is never waived by the list of methods");
    assert!(
        world.enable(&token).await.is_ok(),
        "no text messages are sent here: whoever must enrol can enrol something"
    );
}
