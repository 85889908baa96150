//! How often the stores are asked.

use std::time::Duration;

use countersign::{
    flow::{self, SignIn, Sources, VerifyRequest},
    secret::Secret,
};

use crate::kit::{Bench, NOW, PASSWORD, call};

const ALICE: &str = "alice@example.com";

async fn sign_in(bench: &Bench) -> SignIn {
    flow::local_auth(&bench.kit, ALICE, &Secret::new(PASSWORD.to_owned()), &call(NOW)).await.unwrap()
}

/// What has been asked of the database and of the ephemeral store since.
fn since(bench: &Bench, before: (u64, u64)) -> (u64, u64) {
    (bench.kit.store.statements_done() - before.0, bench.ephemeral.calls() - before.1)
}

fn now(bench: &Bench) -> (u64, u64) {
    (bench.kit.store.statements_done(), bench.ephemeral.calls())
}

#[tokio::test]
async fn a_verify_by_totp_is_seven_statements_and_two_calls() {
    let bench = Bench::new(&[ALICE]).await;
    let token = bench.token(ALICE).await;
    let app = bench.enable(&token).await;
    let answer = |challenge_id: String, now| VerifyRequest { code: app(now), challenge_id, method: None };
    let caller = bench.admit("TwoFaService/Verify", &token, NOW).await.unwrap();
    flow::verify(&bench.kit, &caller, &answer(String::new(), NOW), &call(NOW)).await.unwrap();

    let SignIn::Challenge(challenge) = sign_in(&bench).await else { panic!("a factor") };
    let later = NOW.plus(Duration::from_secs(30));
    let before = now(&bench);
    let anonymous = bench.admit("TwoFaService/Verify", "", later).await.unwrap();
    let right = answer(challenge.handle.to_text(), later);
    let verified = flow::verify(&bench.kit, &anonymous, &right, &call(later)).await.unwrap();
    assert_eq!(since(&bench, before), (7, 2));

    let token = verified.tokens.access_token.expose();
    let before = now(&bench);
    flow::validate_access_token(&bench.kit, token, &call(later)).await.unwrap();
    assert_eq!(since(&bench, before), (1, 0), "the session, by its primary key");
    let before = now(&bench);
    bench.admit("SessionService/GetCurrentUser", token, later).await.unwrap();
    assert_eq!(since(&bench, before), (1, 0));
    let before = now(&bench);
    assert!(bench.kit.access.read(token, later).is_some());
    assert!(!bench.kit.access.public_keys().is_empty());
    assert_eq!(since(&bench, before), (0, 0), "an offline check touches nothing");
}

#[tokio::test]
async fn a_stranger_costs_as_many_statements_and_hashes_as_a_wrong_password() {
    let bench = Bench::new(&[ALICE]).await;
    let mut costs = Vec::new();
    for email in [ALICE, "nobody@example.com"] {
        let (before, hashes) = (now(&bench), bench.kit.hasher.jobs_done());
        let wrong = Secret::new("a wrong password".to_owned());
        assert!(flow::local_auth(&bench.kit, email, &wrong, &call(NOW)).await.is_err());
        costs.push((since(&bench, before), bench.kit.hasher.jobs_done() - hashes));
    }
    assert_eq!(costs[0], costs[1]);
    assert_eq!(costs[0].1, 1);
}

/// What the README says of a call: (statements, calls of the ephemeral store).
fn told(call: &str) -> (u64, u64) {
    let readme = include_str!("../../README.md");
    let row = readme.lines().find(|line| line.starts_with(&format!("| {call} |"))).unwrap();
    let number = |column: usize| {
        let text = row.split('|').nth(column).unwrap().trim();
        text.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    (number(2), number(3))
}

#[tokio::test]
async fn the_readme_tells_how_often_the_stores_are_asked() {
    let mut bench = Bench::new(&[ALICE]).await;
    bench.kit.sources = Sources::new(Some(20));
    sign_in(&bench).await;
    let before = now(&bench);
    let SignIn::Tokens { tokens, .. } = sign_in(&bench).await else { panic!("no factor yet") };
    assert_eq!(since(&bench, before), told("sign-in by password, from a network that is known"));

    let before = now(&bench);
    let refresh = tokens.refresh_token.unwrap();
    let tokens = flow::refresh_session(&bench.kit, &refresh, &call(NOW)).await.unwrap();
    assert_eq!(since(&bench, before), told("RefreshSession"));

    let before = now(&bench);
    flow::validate_access_token(&bench.kit, tokens.access_token.expose(), &call(NOW)).await.unwrap();
    assert_eq!(since(&bench, before), told("ValidateAccessToken"));

    let before = now(&bench);
    let wrong = Secret::new("a wrong password".to_owned());
    let mut elsewhere = call(NOW);
    elsewhere.origin.source = "198.51.100.7".parse().unwrap();
    assert!(flow::local_auth(&bench.kit, ALICE, &wrong, &elsewhere).await.is_err());
    assert_eq!(since(&bench, before), told("wrong password from a new network, of a name that exists or not"));

    let token = tokens.access_token.expose();
    let app = bench.enable(token).await;
    let caller = bench.admit("TwoFaService/Verify", token, NOW).await.unwrap();
    let confirm = VerifyRequest { code: app(NOW), challenge_id: String::new(), method: None };
    flow::verify(&bench.kit, &caller, &confirm, &call(NOW)).await.unwrap();
    let before = now(&bench);
    let SignIn::Challenge(challenge) = sign_in(&bench).await else { panic!("a factor") };
    assert_eq!(since(&bench, before), told("sign-in that needs a second factor"));

    let later = NOW.plus(Duration::from_secs(30));
    let request = VerifyRequest { code: app(later), challenge_id: challenge.handle.to_text(), method: None };
    let anonymous = bench.admit("TwoFaService/Verify", "", later).await.unwrap();
    let before = now(&bench);
    flow::verify(&bench.kit, &anonymous, &request, &call(later)).await.unwrap();
    assert_eq!(since(&bench, before), told("Verify by TOTP"));
}
