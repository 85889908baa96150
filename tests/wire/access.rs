//! Who may call what.

use countersign::wire::pb;
use tonic::{Code, Request, Status};

use crate::world::{ADMIN, ALICE, World, answer, reason, refusal};

#[tokio::test]
async fn without_a_token_nothing_that_needs_one_answers() {
    let world = World::new().await;
    let mut sessions = world.sessions.clone();
    let mut twofa = world.twofa.clone();
    assert_eq!(reason(twofa.enable(pb::EnableRequest::default()).await), "UNAUTHENTICATED");
    assert_eq!(reason(twofa.get_two_fa_status(pb::GetTwoFaStatusRequest {}).await), "UNAUTHENTICATED");
    assert_eq!(reason(sessions.end_session(pb::EndSessionRequest::default()).await), "UNAUTHENTICATED");
    assert_eq!(reason(sessions.get_current_user(pb::GetCurrentUserRequest {}).await), "UNAUTHENTICATED");
    assert_eq!(reason(sessions.refresh_session(pb::RefreshSessionRequest::default()).await), "UNAUTHENTICATED");
    assert_eq!(reason(twofa.verify(answer("", "123456")).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn an_authorization_that_is_no_bearer_token_is_not_passed_over() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let ask = |headers: &[String]| {
        let mut request = Request::new(pb::GetTwoFaStatusRequest {});
        for header in headers {
            request.metadata_mut().append("authorization", header.parse().unwrap());
        }
        let mut client = world.twofa.clone();
        async move { client.get_two_fa_status(request).await }
    };
    for header in ["", "Bearer", "Bearer ", "Basic YTpi", &token, &format!("Token {token}")] {
        assert_eq!(reason(ask(&[header.to_owned()]).await), "UNAUTHENTICATED", "{header:.10}");
    }
    let good = format!("Bearer {token}");
    assert_eq!(reason(ask(&[good.clone(), good.clone()]).await), "UNAUTHENTICATED", "two of them");
    assert!(ask(&[good]).await.is_ok());
    assert!(ask(&[format!("bearer {token}")]).await.is_ok());
}

#[tokio::test]
async fn enrolling_needs_a_fresh_password_while_there_is_no_factor() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    world.advance(300);
    assert!(world.enable(&session.access_token).await.is_ok());
    world.advance(1);
    assert_eq!(step_up(world.enable(&session.access_token).await), ("urn:countersign:acr:1".into(), "300".into()));
}

#[tokio::test]
async fn enrolling_a_further_factor_needs_a_fresh_second_factor() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    assert!(world.enable(&token).await.is_ok());
    world.advance(301);
    let expected = ("urn:countersign:acr:2".to_owned(), "300".to_owned());
    assert_eq!(step_up(world.enable(&token).await), expected);
    let challenge = world.challenge(ALICE).await;
    let fresh = world.verify(&challenge, &app.code()).await.unwrap().access_token;
    assert!(world.enable(&fresh).await.is_ok());
}

#[tokio::test]
async fn highest_is_judged_by_the_account_and_not_by_the_token() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    // The token still says that two factors were proven; the session, as a restored backup may hold it, does not.
    world.execute("UPDATE sessions SET factor_count = 1, amr = 'pwd'").await;
    assert_eq!(step_up(world.enable(&token).await).0, "urn:countersign:acr:2");
}

#[tokio::test]
async fn an_admin_may_do_what_a_user_may() {
    let world = World::new().await;
    let (_, token) = world.enrol(ADMIN).await;
    assert_eq!(world.validate(&token).await.claims.unwrap().role, "admin");
    assert!(world.status(&token).await.is_ok());
}

/// `acr_values` and `max_age` of a refusal that asks for a step-up.
fn step_up<T>(result: Result<T, Status>) -> (String, String) {
    let (code, details) = refusal(result);
    assert_eq!(code, Code::Unauthenticated);
    let info = details.error_info().unwrap().clone();
    assert_eq!(info.reason, "STEP_UP_REQUIRED");
    (info.metadata["acr_values"].clone(), info.metadata["max_age"].clone())
}
