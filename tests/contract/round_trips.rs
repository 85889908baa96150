//! How often the stores are asked.

use std::time::Duration;

use countersign::{
    flow::{self, EnableRequest, SignIn, VerifyRequest},
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
    let SignIn::Tokens(tokens) = sign_in(&bench).await else { panic!("no factor yet") };
    let token = tokens.access_token.expose();
    let caller = bench.admit("TwoFaService/Enable", token, NOW).await.unwrap();
    let request = EnableRequest { method: None, label: String::new(), replaces: None };
    let enabled = flow::enable(&bench.kit, &caller, request, &call(NOW)).await.unwrap();
    let key = totp_rs::Totp::from_url(enabled.enrolment.uri.expose()).unwrap();
    let answer = |challenge_id: String, seconds: i64| VerifyRequest {
        code: key.generate(seconds.cast_unsigned()).to_string(),
        challenge_id,
        method: None,
    };
    let caller = bench.admit("TwoFaService/Verify", token, NOW).await.unwrap();
    let confirm = answer(String::new(), NOW.seconds());
    flow::verify(&bench.kit, &caller, &confirm, &call(NOW)).await.unwrap();

    let SignIn::Challenge(challenge) = sign_in(&bench).await else { panic!("a factor") };
    let later = NOW.plus(Duration::from_secs(30));
    let before = now(&bench);
    let anonymous = bench.admit("TwoFaService/Verify", "", later).await.unwrap();
    let right = answer(challenge.handle.to_text(), later.seconds());
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
