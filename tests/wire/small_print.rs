//! Limits to the last second and character, and what the columns of the audit log say.

use countersign::wire::pb;
use tonic::Status;

use crate::world::{ALICE, NOW, World, answer, reason, with_token};

const DAY: u64 = 24 * 60 * 60;

/// How many audit rows there are of a kind, with this condition.
async fn rows(world: &World, kind: &str, condition: &str) -> i64 {
    world.count(&format!("SELECT COUNT(*) AS n FROM audit_events WHERE kind = '{kind}' AND {condition}")).await
}

async fn enable(world: &World, token: &str, label: String) -> Result<pb::EnableResponse, Status> {
    let request = pb::EnableRequest { label, ..Default::default() };
    world.twofa.clone().enable(with_token(request, token)).await.map(tonic::Response::into_inner)
}

fn with_method(method: pb::Method, challenge_id: &str, code: &str) -> pb::VerifyRequest {
    pb::VerifyRequest { method: method.into(), ..answer(challenge_id, code) }
}

#[tokio::test]
async fn a_label_has_at_most_64_characters_however_many_bytes_they_are() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    assert_eq!(reason(enable(&world, &token, "🦀".repeat(65)).await), "INVALID_ARGUMENT");
    let enabled = enable(&world, &token, "🦀".repeat(64)).await.unwrap();
    let code = world.authenticator(&enabled).code();
    let confirmed = world.verify_as(&token, "", &code).await.unwrap();
    assert_eq!(world.status(&confirmed.access_token).await.unwrap().factors[0].label, "🦀".repeat(64));
}

#[tokio::test]
async fn a_password_token_works_until_the_day_is_over() {
    let world = World::new().await;
    let request = |token: String| pb::SetPasswordRequest {
        token,
        new_password: "another password 77".to_owned(),
        ..Default::default()
    };
    let token = world.password_token(ALICE).await;
    world.advance(DAY - 1);
    world.set_password(request(token)).await.unwrap();
    let token = world.password_token(ALICE).await;
    world.advance(DAY);
    assert_eq!(reason(world.set_password(request(token)).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn ending_a_session_or_all_of_them_leaves_one_row() {
    let world = World::new().await;
    let (one, other) = (world.sign_in(ALICE).await, world.sign_in(ALICE).await);
    world.end(&one.access_token, false).await.unwrap();
    assert_eq!(rows(&world, "session_ended", "session_id IS NOT NULL").await, 1);
    assert_eq!(world.audited("session_ended").await, 1);
    world.sign_in(ALICE).await;
    world.end(&other.access_token, true).await.unwrap();
    assert_eq!(rows(&world, "session_ended", "session_id IS NULL").await, 1, "of all, none is named");
    assert_eq!(world.audited("session_ended").await, 2);
}

#[tokio::test]
async fn a_refused_code_is_recorded_with_the_method_that_it_was_judged_by() {
    let world = World::new().await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let refuse = async |code: &str| assert_eq!(reason(world.verify(&challenge, code).await), "INVALID_CODE");
    let refused = async |kind, method: &str| rows(&world, kind, &format!("reason = 'INVALID_CODE' AND {method}")).await;
    refuse(&app.wrong_code()).await;
    assert_eq!(refused("authn_code_fail", "method = 'totp'").await, 1);
    refuse("AAAAAAAA").await;
    assert_eq!(refused("authn_code_fail", "method = 'backup_code'").await, 1);
    refuse("nonsense that fits nothing").await;
    assert_eq!(refused("authn_code_fail", "method IS NULL").await, 1);
    refuse(&app.code()).await;
    assert_eq!(refused("replay", "method = 'totp'").await, 1, "it has confirmed the enrolment");
    assert_eq!(world.audited("authn_code_fail").await, 3);
    let token = confirmed.access_token;
    world.enable(&token).await.unwrap();
    assert_eq!(reason(world.verify_as(&token, "", &app.wrong_code()).await), "INVALID_CODE");
    assert_eq!(refused("authn_code_fail", "method = 'totp'").await, 2, "of an enrolment too");
}

#[tokio::test]
async fn a_refused_refresh_is_recorded_with_its_reason() {
    let world = World::new().await;
    let (blocked, stolen) = (world.sign_in(ALICE).await, world.sign_in(ALICE).await);
    let renewed = world.refresh(&stolen.refresh_token).await.unwrap();
    assert_eq!(rows(&world, "session_renewed", "reason IS NULL AND session_id IS NOT NULL").await, 1);
    world.refresh(&renewed.refresh_token).await.unwrap();
    assert_eq!(reason(world.refresh(&stolen.refresh_token).await), "UNAUTHENTICATED");
    assert_eq!(rows(&world, "authn_token_reuse", "reason = 'UNAUTHENTICATED' AND session_id IS NOT NULL").await, 1);
    world.execute("UPDATE users SET blocked = TRUE").await;
    assert_eq!(reason(world.refresh(&blocked.refresh_token).await), "USER_BLOCKED");
    assert_eq!(rows(&world, "session_renewed", "reason = 'USER_BLOCKED' AND session_id IS NOT NULL").await, 1);
}

#[tokio::test]
async fn a_new_factor_and_new_backup_codes_are_recorded_with_the_session() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    let of_session = "session_id IN (SELECT id FROM sessions) AND method =";
    assert_eq!(rows(&world, "authn_factor_created", &format!("{of_session} 'totp'")).await, 1);
    let created = async || rows(&world, "authn_backup_codes_created", &format!("{of_session} 'backup_code'")).await;
    assert_eq!(created().await, 1);
    world.backup_codes(&token, "", "").await.unwrap();
    assert_eq!(created().await, 2);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM sessions").await, 1);
}

#[tokio::test]
async fn an_enrolment_is_confirmed_by_its_own_method_when_one_is_named() {
    let world = World::new().await;
    let token = world.sign_in(ALICE).await.access_token;
    let enabled = world.enable(&token).await.unwrap();
    let code = world.authenticator(&enabled).code();
    let verify =
        async |method, challenge_id: &str| world.verify_message(&token, with_method(method, challenge_id, &code)).await;
    assert_eq!(reason(verify(pb::Method::BackupCode, &enabled.challenge_id).await), "INVALID_CODE");
    assert_eq!(reason(verify(pb::Method::BackupCode, "").await), "CHALLENGE_EXPIRED", "none is pending of that method");
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0, "nothing was judged");
    verify(pb::Method::Totp, &enabled.challenge_id).await.unwrap();
    let token = world.sign_in(ALICE).await;
    assert!(token.two_fa_required);
}

#[tokio::test]
async fn a_challenge_that_nothing_could_answer_is_not_opened() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    let open = async |method: pb::Method| {
        let request = pb::CreateChallengeRequest { method: method.into() };
        world.twofa.clone().create_challenge(with_token(request, &token)).await.map(tonic::Response::into_inner)
    };
    let opened = open(pb::Method::BackupCode).await.unwrap();
    assert_eq!(opened.methods().collect::<Vec<_>>(), [pb::Method::BackupCode]);
    world.execute("UPDATE factors SET spent = 1023 WHERE method = 'backup_code'").await;
    let opened_before = world.audited("authn_challenge_created").await;
    assert_eq!(reason(open(pb::Method::BackupCode).await), "TWO_FA_NOT_ENABLED", "every code is used");
    assert_eq!(world.audited("authn_challenge_created").await, opened_before);
    assert!(open(pb::Method::Totp).await.is_ok());
}

#[tokio::test]
async fn callers_who_are_told_to_wait_are_recorded_at_their_minute() {
    let mut world = World::new().await;
    world.advance(61);
    for _ in 0..5 {
        assert_eq!(reason(world.local_auth(ALICE, "wrong password").await), "INVALID_CREDENTIALS");
    }
    assert_eq!(reason(world.local_auth(ALICE, "wrong password").await), "RATE_LIMITED");
    world = world.restarted().await;
    let minute = NOW.seconds().div_euclid(60) * 60 + 60;
    assert_eq!(rows(&world, "excess_rate_limit", &format!("create_time = {}", minute * 1000)).await, 1);
    assert_eq!(world.audited("excess_rate_limit").await, 1);
}
