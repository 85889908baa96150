//! Removing and replacing factors.

use countersign::wire::pb;

use crate::world::{ADMIN, ALICE, Authenticator, World, reason, with_token};

fn by_code(code: &str) -> pb::DisableRequest {
    pb::DisableRequest { code: code.to_owned(), ..Default::default() }
}

async fn enrol_further(world: &World, token: &str) -> (Authenticator, String) {
    world.advance(1);
    let enabled = world.enable(token).await.unwrap();
    let app = world.authenticator(&enabled);
    let confirmed = world.verify_as(token, "", &app.code()).await.unwrap();
    (app, confirmed.access_token)
}

#[tokio::test]
async fn with_a_code_everything_goes_and_the_password_is_enough_again() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    world.advance(301);
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "STEP_UP_REQUIRED");
    assert_eq!(reason(world.disable(&token, by_code(&app.wrong_code())).await), "INVALID_CODE");
    let open = world.challenge(ALICE).await;
    assert!(world.disable(&token, by_code(&app.code())).await.unwrap().contains("off"));
    assert_eq!(world.audited("authn_code_success").await, 1);
    let status = world.status(&token).await.unwrap();
    assert_eq!((status.enabled, status.factors.len(), status.backup_codes_remaining), (false, 0, 0));
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM factors").await, 0, "no backup codes without a factor");
    assert_eq!(reason(world.verify(&open, &confirmed.backup_codes[0]).await), "CHALLENGE_EXPIRED");
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "TWO_FA_NOT_ENABLED");
    let (_, again) = world.enrol_whole(ALICE).await;
    assert_eq!(again.backup_codes.len(), 10, "the first factor again");
}

#[tokio::test]
async fn one_factor_or_one_method_goes_and_the_others_stay() {
    let world = World::new().await;
    let (first, confirmed) = world.enrol_whole(ALICE).await;
    let (second, token) = enrol_further(&world, &confirmed.access_token).await;
    let factors = world.status(&token).await.unwrap().factors;
    let one = |id: &str| pb::DisableRequest { factor_id: id.to_owned(), ..Default::default() };
    assert_eq!(reason(world.disable(&token, one("fac_00000000000000000000000000000000")).await), "NOT_FOUND");
    assert_eq!(reason(world.disable(&token, one("nonsense")).await), "INVALID_ARGUMENT");
    let both = pb::DisableRequest { method: pb::Method::Totp.into(), ..one(&factors[0].factor_id) };
    assert_eq!(reason(world.disable(&token, both).await), "INVALID_ARGUMENT");
    assert!(world.disable(&token, one(&factors[0].factor_id)).await.unwrap().contains("still on"));
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &first.code()).await), "INVALID_CODE");
    assert!(world.verify(&challenge, &second.code()).await.is_ok());
    let codes = pb::DisableRequest { method: pb::Method::BackupCode.into(), ..Default::default() };
    assert!(world.disable(&token, codes.clone()).await.unwrap().contains("still on"));
    assert_eq!(world.status(&token).await.unwrap().backup_codes_remaining, 0);
    assert_eq!(reason(world.disable(&token, codes).await), "TWO_FA_NOT_ENABLED");
    assert!(world.is_good(&token).await, "removing a factor ends no session");
}

#[tokio::test]
async fn somebody_else_cannot_remove_it() {
    let world = World::new().await;
    let (_, alice) = world.enrol(ALICE).await;
    let (_, bob) = world.enrol(crate::world::BOB).await;
    let factor = world.status(&alice).await.unwrap().factors[0].factor_id.clone();
    let request = pb::DisableRequest { factor_id: factor.clone(), ..Default::default() };
    assert_eq!(reason(world.disable(&bob, request).await), "NOT_FOUND");
    let request = pb::EnableRequest { factor_id: factor, ..Default::default() };
    assert_eq!(reason(world.twofa.clone().enable(with_token(request, &bob)).await), "NOT_FOUND");
    assert_eq!(world.status(&alice).await.unwrap().factors.len(), 1);
}

#[tokio::test]
async fn what_has_the_form_of_no_code_is_refused_and_fills_no_log() {
    let world = World::new().await;
    let (_, alice) = world.enrol(ALICE).await;
    for code in ["12345", "not a code", "é"] {
        let request = pb::DisableRequest { code: code.to_owned(), ..Default::default() };
        assert_eq!(reason(world.disable(&alice, request).await), "INVALID_CODE", "{code}");
        assert_eq!(reason(world.backup_codes(&alice, code, "").await), "INVALID_CODE", "{code}");
    }
    assert_eq!(world.audited("authn_code_fail").await, 0);
}

#[tokio::test]
async fn an_account_that_must_have_a_factor_keeps_its_last() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ADMIN).await;
    let token = confirmed.access_token;
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "TWO_FA_REQUIRED");
    let code = by_code(&confirmed.backup_codes[0]);
    assert_eq!(reason(world.disable(&token, code).await), "TWO_FA_REQUIRED");
    assert_eq!(world.status(&token).await.unwrap().backup_codes_remaining, 10, "the code was not used up for nothing");
    let (_, token) = enrol_further(&world, &token).await;
    let factors = world.status(&token).await.unwrap().factors;
    let one = pb::DisableRequest { factor_id: factors[0].factor_id.clone(), ..Default::default() };
    assert!(world.disable(&token, one).await.is_ok());
    assert!(world.status(&token).await.unwrap().required);
}

#[tokio::test]
async fn a_factor_that_is_replaced_works_until_the_new_one_is_confirmed() {
    let world = World::new().await;
    let (old, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    let id = world.status(&token).await.unwrap().factors[0].factor_id.clone();
    let request = pb::EnableRequest { factor_id: id.clone(), ..Default::default() };
    let enabled = world.twofa.clone().enable(with_token(request, &token)).await.unwrap().into_inner();
    world.advance(30);
    assert!(world.verify(&world.challenge(ALICE).await, &old.code()).await.is_ok());
    let new = world.authenticator(&enabled);
    let token = world.verify_as(&token, "", &new.code()).await.unwrap().access_token;
    let factors = world.status(&token).await.unwrap().factors;
    assert_eq!(factors.len(), 1);
    assert_ne!(factors[0].factor_id, id);
    world.advance(30);
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &old.code()).await), "INVALID_CODE");
    assert!(world.verify(&challenge, &new.code()).await.is_ok());
    assert_eq!(world.status(&token).await.unwrap().backup_codes_remaining, 10, "the set stays");
}

#[tokio::test]
async fn five_factors_are_as_many_as_there_may_be() {
    let world = World::new().await;
    let (_, mut token) = world.enrol(ALICE).await;
    for _ in 0..4 {
        token = enrol_further(&world, &token).await.1;
    }
    assert_eq!(reason(world.enable(&token).await), "TWO_FA_UNAVAILABLE");
    let id = world.status(&token).await.unwrap().factors[2].factor_id.clone();
    let request = pb::EnableRequest { factor_id: id, ..Default::default() };
    let enabled = world.twofa.clone().enable(with_token(request, &token)).await.unwrap().into_inner();
    assert!(world.verify_as(&token, "", &world.authenticator(&enabled).code()).await.is_ok());
}
