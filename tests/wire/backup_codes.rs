//! Backup codes.

use std::collections::BTreeSet;

use countersign::wire::pb;
use tokio::task::JoinSet;
use tonic::Code;

use crate::world::{ALICE, World, answer, reason, refusal, retry_after};

#[tokio::test]
async fn ten_come_with_the_first_factor_and_none_with_the_next() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    assert_eq!((confirmed.backup_codes.len(), confirmed.backup_codes_remaining), (10, 10));
    assert_eq!(confirmed.backup_codes.iter().collect::<BTreeSet<_>>().len(), 10);
    for code in &confirmed.backup_codes {
        assert_eq!(code.len(), 8);
        assert!(code.bytes().all(|b| b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789".contains(&b)), "{code}");
        assert!(code.bytes().any(|b| b.is_ascii_uppercase()));
    }
    let token = confirmed.access_token;
    let enabled = world.enable(&token).await.unwrap();
    let second = world.verify_as(&token, "", &world.authenticator(&enabled).code()).await.unwrap();
    assert_eq!((second.backup_codes.len(), second.backup_codes_remaining), (0, 10));
    let status = world.status(&second.access_token).await.unwrap();
    assert_eq!((status.factors.len(), status.backup_codes_remaining), (2, 10), "the set is no factor");
}

#[tokio::test]
async fn each_works_once_in_any_case_and_with_separators() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    for (used, code) in confirmed.backup_codes.iter().enumerate() {
        let typed = match used % 3 {
            0 => code.clone(),
            1 => code.to_lowercase(),
            _ => format!(" {}-{} {}", &code[..2], &code[2..6].to_lowercase(), &code[6..]),
        };
        let verified = world.verify(&world.challenge(ALICE).await, &typed).await.unwrap();
        assert_eq!(verified.backup_codes_remaining, 9 - i32::try_from(used).unwrap());
        let claims = world.validate(&verified.access_token).await.claims.unwrap();
        assert_eq!(claims.amr, ["pwd", "mfa", "urn:countersign:amr:backup_code"]);
        assert_eq!(claims.acr, "urn:countersign:acr:2");
        if used < 9 {
            assert_eq!(reason(world.verify(&world.challenge(ALICE).await, code).await), "INVALID_CODE", "used");
        }
    }
    let challenge = world.sign_in(ALICE).await;
    assert_eq!(challenge.methods().collect::<Vec<_>>(), [pb::Method::Totp], "an empty set answers nothing");
    assert_eq!(reason(world.verify(&challenge.challenge_id, &confirmed.backup_codes[0]).await), "INVALID_CODE");
    assert_eq!(world.audited("replay").await, 9);
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0);
}

#[tokio::test]
async fn a_new_set_ends_the_old_one() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    let new = world.backup_codes(&confirmed.access_token, "", "").await.unwrap();
    assert_eq!(new.len(), 10);
    let challenge = world.challenge(ALICE).await;
    assert_eq!(reason(world.verify(&challenge, &confirmed.backup_codes[0]).await), "INVALID_CODE");
    assert_eq!(world.verify(&challenge, &new[0]).await.unwrap().backup_codes_remaining, 9);
}

#[tokio::test]
async fn a_session_without_a_fresh_second_factor_needs_a_code_in_the_call() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    world.advance(301);
    assert_eq!(reason(world.backup_codes(&token, "", "").await), "STEP_UP_REQUIRED");
    let (code, details) = refusal(world.backup_codes(&token, &app.wrong_code(), "").await);
    assert_eq!(code, Code::PermissionDenied);
    assert_eq!(details.error_info().unwrap().reason, "INVALID_CODE");
    let new = world.backup_codes(&token, &app.code(), "").await.unwrap();
    assert_eq!(reason(world.backup_codes(&token, &app.code(), "").await), "INVALID_CODE", "a code works once");
    let newer = world.backup_codes(&token, &new[4], "").await.unwrap();
    assert_eq!(newer.len(), 10, "a backup code does too, and the set that it was of ends");
    assert_eq!(reason(world.backup_codes(&token, &new[5], "").await), "INVALID_CODE");
}

#[tokio::test]
async fn a_code_in_the_call_may_answer_a_step_up_challenge() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    world.advance(301);
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    assert!(world.backup_codes(&token, &app.code(), &challenge).await.is_ok());
    world.advance(30);
    assert_eq!(reason(world.backup_codes(&token, &app.code(), &challenge).await), "CHALLENGE_EXPIRED", "once");
    let login = world.challenge(ALICE).await;
    assert_eq!(reason(world.backup_codes(&token, &app.code(), &login).await), "CHALLENGE_EXPIRED", "another purpose");
    assert!(world.verify(&login, &app.code()).await.is_ok(), "which has kept its attempts");
}

#[tokio::test]
async fn without_a_factor_there_are_none() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let (code, details) = refusal(world.backup_codes(&token, "", "").await);
    assert_eq!((code, details.error_info().unwrap().reason.as_str()), (Code::FailedPrecondition, "TWO_FA_NOT_ENABLED"));
}

#[tokio::test]
async fn five_new_sets_an_hour_are_enough() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    for _ in 0..5 {
        assert!(world.backup_codes(&token, "", "").await.is_ok());
    }
    assert_eq!(retry_after(world.backup_codes(&token, "", "").await), 3600);
    world.advance(3599);
    let token = world.verify(&world.challenge(ALICE).await, &app.code()).await.unwrap().access_token;
    assert_eq!(retry_after(world.backup_codes(&token, "", "").await), 1);
    let code = app.code_in(1);
    assert_eq!(retry_after(world.backup_codes(&token, &code, "").await), 1);
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &code).await), "INVALID_CODE", "judged, so used up");
    world.advance(1);
    assert!(world.backup_codes(&token, "", "").await.is_ok());
}

#[tokio::test]
async fn nonsense_costs_no_hash_and_a_new_set_starts_without_the_failures_of_the_old_one() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    let token = confirmed.access_token;
    for nonsense in ["x", "12345", "ABC"] {
        assert_eq!(reason(world.backup_codes(&token, nonsense, "").await), "INVALID_CODE");
        assert_eq!(reason(world.backup_codes(&token, "123456", nonsense).await), "CHALLENGE_EXPIRED");
    }
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM buckets WHERE failures > 0").await, 0, "no set was begun");
    let never = i64::MAX;
    world
        .execute(&format!(
            "UPDATE factor_failures SET failures = 100, locked_until = {never} WHERE failure_key = 'backup_code'"
        ))
        .await;
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &confirmed.backup_codes[0]).await), "RATE_LIMITED");
    let new = world.backup_codes(&token, "", "").await.unwrap();
    assert!(world.verify(&world.challenge(ALICE).await, &new[0]).await.is_ok());
}

#[tokio::test]
async fn their_failures_are_their_own() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    for guess in ["AAAAAAAA", "AAAAAAAB", "AAAAAAAC", "AAAAAAAD", "AAAAAAAE"] {
        assert_eq!(reason(world.verify(&challenge, guess).await), "INVALID_CODE");
    }
    let challenge = world.challenge(ALICE).await;
    assert_eq!(retry_after(world.verify(&challenge, &confirmed.backup_codes[0]).await), 30);
    assert!(world.verify(&challenge, &app.code_in(1)).await.is_ok(), "the other method does not wait");
    assert_eq!(retry_after(world.backup_codes(&confirmed.access_token, "AAAAAAAA", "").await), 30);
}

#[tokio::test]
async fn input_that_fits_nothing_costs_the_challenge_an_attempt_and_no_method_a_failure() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    for misfit in ["12345", "1234567", "23456789", "ABCDEFG", ""] {
        assert_eq!(reason(world.verify(&challenge, misfit).await), "INVALID_CODE", "{misfit:?}");
    }
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "CHALLENGE_EXPIRED");
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0);
    let challenge = world.challenge(ALICE).await;
    let named =
        |method: pb::Method, code: &str| pb::VerifyRequest { method: method.into(), ..answer(&challenge, code) };
    let as_totp = named(pb::Method::Totp, &confirmed.backup_codes[0]);
    assert_eq!(reason(world.verify_message("", as_totp).await), "INVALID_CODE", "the method that is named is judged");
    assert_eq!(world.count("SELECT failures AS n FROM factor_failures WHERE failure_key = 'totp'").await, 1);
    let as_backup = named(pb::Method::BackupCode, &app.code_in(1));
    assert_eq!(reason(world.verify_message("", as_backup).await), "INVALID_CODE");
    assert_eq!(world.count("SELECT failures AS n FROM factor_failures WHERE failure_key = 'backup_code'").await, 1);
    assert!(world.verify(&challenge, &confirmed.backup_codes[0]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_code_sixty_times_at_once_works_once() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    let mut challenges = Vec::new();
    for _ in 0..5 {
        challenges.push(world.challenge(ALICE).await);
    }
    let mut calls = JoinSet::new();
    for n in 0..60 {
        let (mut client, request) = (world.twofa.clone(), answer(&challenges[n % 5], &confirmed.backup_codes[0]));
        calls.spawn(async move { client.verify(request).await });
    }
    let results = calls.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(world.count("SELECT spent AS n FROM factors WHERE method = 'backup_code'").await.count_ones(), 1);
}
