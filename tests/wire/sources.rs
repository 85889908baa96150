//! Where calls come from, and how often one source may be wrong.

use std::collections::BTreeMap;

use countersign::wire::pb;
use tokio::task::JoinSet;
use tonic::{Code, Request, Response, Status};

use crate::world::{ALICE, PASSWORD, World, reason, retry_after};

const PROXIED: [&str; 2] = ["limits.source_failures=3", "trusted_proxies=127.0.0.0/8"];

/// A sign-in that a proxy says to be of an address.
async fn sign_in(world: &World, from: &str, email: &str, password: &str) -> Result<pb::LocalAuthResponse, Status> {
    let mut request = Request::new(pb::LocalAuthRequest { email: email.to_owned(), password: password.to_owned() });
    if !from.is_empty() {
        request.metadata_mut().insert("x-forwarded-for", from.parse().unwrap());
    }
    world.twofa.clone().local_auth(request).await.map(Response::into_inner)
}

#[tokio::test]
async fn a_source_that_was_wrong_too_often_waits_whatever_name_it_tries() {
    let world = World::with(&PROXIED).await;
    let guess = async |from: &str, n: u32| sign_in(&world, from, &format!("u{n}@example.com"), "a wrong one").await;
    for n in 0..3 {
        assert_eq!(reason(guess("198.51.100.1", n).await), "INVALID_CREDENTIALS");
    }
    assert_eq!(retry_after(guess("198.51.100.1", 4).await), 600);
    assert_eq!(reason(sign_in(&world, "198.51.100.1", ALICE, PASSWORD).await), "RATE_LIMITED", "nothing is judged");
    assert!(sign_in(&world, "198.51.100.2", ALICE, PASSWORD).await.is_ok());
    assert_eq!(
        reason(guess("203.0.113.1, 198.51.100.1", 5).await),
        "RATE_LIMITED",
        "what it adds to itself is not believed"
    );
    world.advance(599);
    assert_eq!(retry_after(guess("198.51.100.1", 6).await), 1);
    world.advance(1);
    assert_eq!(reason(guess("198.51.100.1", 7).await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn what_was_right_or_not_judged_costs_a_source_nothing() {
    let world = World::with(&PROXIED).await;
    for _ in 0..10 {
        assert!(sign_in(&world, "198.51.100.1", ALICE, PASSWORD).await.is_ok());
    }
    // Five wrong passwords from elsewhere make the name wait; calls that are told to wait are not judged.
    for n in 0..5 {
        let from = format!("198.51.100.{}", 10 + n / 3);
        assert_eq!(reason(sign_in(&world, &from, ALICE, "a wrong one").await), "INVALID_CREDENTIALS");
    }
    for _ in 0..5 {
        assert_eq!(retry_after(sign_in(&world, "198.51.100.1", ALICE, "a wrong one").await), 30);
    }
    assert_eq!(reason(sign_in(&world, "198.51.100.1", "nobody@example.com", "wrong one").await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn an_address_from_an_untrusted_peer_is_ignored() {
    let world = World::with(&["limits.source_failures=3"]).await;
    for n in 0..3 {
        let (from, email) = (format!("198.51.100.{n}"), format!("u{n}@example.com"));
        assert_eq!(reason(sign_in(&world, &from, &email, "a wrong one").await), "INVALID_CREDENTIALS");
    }
    assert_eq!(reason(sign_in(&world, "203.0.113.7", "u9@example.com", "a wrong one").await), "RATE_LIMITED");
    let rows = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_login_fail' AND source = '127.0.0.1'";
    assert_eq!(world.count(rows).await, 3, "the peer is what is written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_of_a_source_at_once_are_counted_before_they_are_judged() {
    let world = World::with(&PROXIED).await;
    let mut calls = JoinSet::new();
    for n in 0..30 {
        let mut request = Request::new(pb::LocalAuthRequest {
            email: format!("u{n}@example.com"),
            password: "a wrong one".to_owned(),
        });
        request.metadata_mut().insert("x-forwarded-for", "198.51.100.1".parse().unwrap());
        let mut client = world.twofa.clone();
        calls.spawn(async move { reason(client.local_auth(request).await) });
    }
    let mut reasons = BTreeMap::new();
    for reason in calls.join_all().await {
        *reasons.entry(reason).or_insert(0) += 1;
    }
    assert_eq!(reasons, BTreeMap::from([("INVALID_CREDENTIALS".to_owned(), 3), ("RATE_LIMITED".to_owned(), 27)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_right_sign_ins_of_one_source_at_once_all_get_in() {
    let world = World::with(&PROXIED).await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let mut client = world.twofa.clone();
        let request = pb::LocalAuthRequest { email: ALICE.to_owned(), password: PASSWORD.to_owned() };
        calls.spawn(async move { client.local_auth(request).await.map_or_else(|status| status.code(), |_| Code::Ok) });
    }
    assert_eq!(calls.join_all().await, [Code::Ok; 20]);
}
