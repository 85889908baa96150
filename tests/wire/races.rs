//! Many at once: exactly one succeeds.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use crate::world::{ALICE, World, reason};

#[tokio::test(flavor = "multi_thread")]
async fn one_code_sixty_times_at_once_over_five_challenges_works_once() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    world.advance(30);
    let mut challenges = Vec::new();
    for _ in 0..5 {
        challenges.push(world.challenge(ALICE).await);
    }
    let code = app.code();
    let before = world.count("SELECT COUNT(*) AS n FROM sessions").await;
    let successes_before = world.audited("authn_login_success").await;

    let mut calls = JoinSet::new();
    for n in 0..60 {
        let (mut client, request) = (world.twofa.clone(), crate::world::answer(&challenges[n % 5], &code));
        calls.spawn(async move { client.verify(request).await });
    }
    let (mut successes, mut reasons) = (0, BTreeSet::new());
    while let Some(call) = calls.join_next().await {
        match call.unwrap() {
            Ok(_) => successes += 1,
            Err(status) => {
                reasons.insert(reason::<()>(Err(status)));
            }
        }
    }
    assert_eq!(successes, 1);
    assert!(
        reasons.iter().all(|reason| matches!(reason.as_str(), "INVALID_CODE" | "CHALLENGE_EXPIRED")),
        "{reasons:?}"
    );
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM sessions").await, before + 1);
    assert_eq!(world.audited("authn_login_success").await, successes_before + 1);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM spent_challenges").await, 2, "the enrolment and the sign-in");
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0, "replays climb no ladder");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_made_at_once_are_counted_before_they_are_judged() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut challenges = Vec::new();
    for _ in 0..5 {
        challenges.push(world.challenge(ALICE).await);
    }
    let mut calls = JoinSet::new();
    for n in 0..60 {
        let (mut client, request) = (world.twofa.clone(), crate::world::answer(&challenges[n % 5], &app.wrong_code()));
        calls.spawn(async move { client.verify(request).await });
    }
    let mut judged = 0;
    while let Some(call) = calls.join_next().await {
        judged += usize::from(reason(call.unwrap()) == "INVALID_CODE");
    }
    assert_eq!(judged, 5, "the sixth waits");
    assert_eq!(world.audited("authn_code_fail").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_enrolment_confirmed_forty_times_at_once_makes_one_factor() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let enabled = world.enable(&session.access_token).await.unwrap();
    let code = world.authenticator(&enabled).code();
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let request = crate::world::with_token(crate::world::answer("", &code), &session.access_token);
        let mut client = world.twofa.clone();
        calls.spawn(async move { client.verify(request).await });
    }
    let mut successes = 0;
    while let Some(call) = calls.join_next().await {
        successes += usize::from(call.unwrap().is_ok());
    }
    assert_eq!(successes, 1);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM factors WHERE method = 'totp'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_token_forty_times_at_once_has_one_successor() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let mut client = world.sessions.clone();
        let request = countersign::wire::pb::RefreshSessionRequest { refresh_token: session.refresh_token.clone() };
        calls.spawn(async move { client.refresh_session(request).await.unwrap().into_inner().refresh_token });
    }
    let mut successors = BTreeSet::new();
    while let Some(call) = calls.join_next().await {
        successors.insert(call.unwrap());
    }
    assert_eq!(successors.len(), 1);
    assert!(!successors.contains(&session.refresh_token));
    assert_eq!(world.audited("session_renewed").await, 1);
    assert_eq!(world.audited("session_renewal_repeated").await, 39, "no answer without a row");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_password_token_twenty_times_at_once_sets_one_password() {
    let world = World::new().await;
    let token = world.password_token(ALICE).await;
    let mut calls = JoinSet::new();
    for n in 0..20 {
        let mut client = world.sessions.clone();
        let request = countersign::wire::pb::SetPasswordRequest {
            token: token.clone(),
            new_password: format!("the password number {n}"),
            ..Default::default()
        };
        calls.spawn(async move { client.set_password(request).await.is_ok().then_some(n) });
    }
    let set: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    assert_eq!(set.len(), 1);
    assert!(world.local_auth(ALICE, &format!("the password number {}", set[0])).await.is_ok());
    assert_eq!(world.audited("authn_password_change").await, 1);
}
