//! What text messages may cost, whatever an attacker does.

use tonic::Code;

use crate::{
    phone::{NUMBER, OTHER, enable, enrol, send, world, wrong},
    provider::Provider,
    world::{ALICE, BOB, PASSWORD, World, reason, refusal, retry_after},
};

#[tokio::test]
async fn a_resend_kills_the_old_code_and_keeps_the_count() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let challenge = world.challenge(ALICE).await;
    let old = provider.code();
    for _ in 0..3 {
        assert_eq!(reason(world.verify(&challenge, &wrong(&old)).await), "INVALID_CODE");
    }
    assert_eq!(retry_after(send(&world, "", &challenge).await), 30);
    world.advance(29);
    assert_eq!(retry_after(send(&world, "", &challenge).await), 1);
    world.advance(1);
    let sent = send(&world, "", &challenge).await.unwrap();
    assert_eq!((sent.masked_phone_number.as_str(), sent.retry_after.unwrap().seconds), ("+**********78", 60));
    let new = provider.code();
    assert_eq!(reason(world.verify(&challenge, &old).await), "INVALID_CODE", "the fourth attempt");
    assert_eq!(reason(world.verify(&challenge, &wrong(&new)).await), "INVALID_CODE", "the fifth");
    assert_eq!(reason(world.verify(&challenge, &new).await), "CHALLENGE_EXPIRED", "a new code brings no attempt");
    assert_eq!(reason(send(&world, "", &challenge).await), "CHALLENGE_EXPIRED");
}

#[tokio::test]
async fn three_more_codes_can_be_asked_for_and_each_waits_longer() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let challenge = world.challenge(ALICE).await;
    for wait in [30, 60, 120] {
        assert_eq!(retry_after(send(&world, "", &challenge).await), wait);
        world.advance(wait);
        assert!(send(&world, "", &challenge).await.is_ok(), "{wait}");
    }
    assert_eq!(provider.count(), 5, "the enrolment, and four for the challenge");
    assert_eq!(retry_after(send(&world, "", &challenge).await), 90, "no more for this one: until it ends");
    assert!(world.verify(&challenge, &provider.code()).await.is_ok());
}

#[tokio::test]
async fn wrong_passwords_send_nothing() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    for _ in 0..3 {
        world.local_auth(ALICE, "not the password").await.unwrap_err();
        world.local_auth("nobody@example.com", PASSWORD).await.unwrap_err();
    }
    assert_eq!(reason(send(&world, "", "").await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(send(&world, "", "chl_nonsense").await), "CHALLENGE_EXPIRED");
    assert_eq!(provider.count(), 1);
}

#[tokio::test]
async fn numbers_that_are_not_served_cost_no_call() {
    let (world, provider) = world().await;
    let token = world.sign_in(ALICE).await.access_token;
    for number in [
        "+12025550123",
        "+302101234567",
        "+309012345678",
        "+870773111632",
        "6912345678",
        "+30 691 2345678",
        "x",
        &"9".repeat(5000),
    ] {
        let (code, details) = refusal(enable(&world, &token, number).await);
        assert_eq!(
            (code, details.bad_request().unwrap().field_violations[0].field.as_str()),
            (Code::InvalidArgument, "phone_number"),
            "{number:.20}"
        );
    }
    assert_eq!(reason(enable(&world, &token, "").await), "PHONE_NUMBER_REQUIRED");
    assert_eq!(provider.count(), 0);
    let without = World::new().await;
    let token = without.sign_in(ALICE).await.access_token;
    assert_eq!(reason(enable(&without, &token, NUMBER).await), "SMS_NOT_CONFIGURED");
}

#[tokio::test]
async fn five_unanswered_codes_an_hour_and_an_answered_one_gives_its_place_back() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    world.advance(3600);
    for _ in 0..3 {
        let challenge = world.challenge(ALICE).await;
        assert!(world.verify(&challenge, &provider.code()).await.is_ok());
        world.advance(1);
    }
    let sent = provider.count();
    // Five to a number in an hour, whoever asks: two are left.
    for _ in 0..4 {
        world.challenge(ALICE).await;
    }
    assert_eq!(provider.count(), sent + 2);
    let challenge = world.sign_in(ALICE).await;
    assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, ""), "the challenge stands");
    let wait = retry_after(send(&world, "", &challenge.challenge_id).await);
    assert!((3500..=3600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_budget_is_not_overdrawn_and_a_day_begins_anew() {
    let provider = Provider::start().await;
    let mut sets = provider.twilio();
    sets.push("sms.daily_budget=2".to_owned());
    let sets: Vec<_> = sets.iter().map(String::as_str).collect();
    let world = World::with(&sets).await;
    let alice = world.sign_in(ALICE).await.access_token;
    enable(&world, &alice, NUMBER).await.unwrap();
    let bob = world.sign_in(BOB).await.access_token;
    enable(&world, &bob, OTHER).await.unwrap();
    let refused = enable(&world, &bob, "+306912345670").await;
    let until_midnight = 24 * 3600 - 1_800_000_000 % (24 * 3600);
    assert_eq!(retry_after(refused), until_midnight);
    assert_eq!(provider.count(), 2);
    world.advance(until_midnight);
    let bob = world.sign_in(BOB).await.access_token;
    assert!(enable(&world, &bob, OTHER).await.is_ok());
}

#[tokio::test]
async fn numbers_that_begin_alike_share_a_limit_and_one_whose_codes_never_come_back_is_closed() {
    let (world, provider) = world().await;
    // As though an hour of pumping had gone by.
    enrol(&world, &provider, ALICE, NUMBER).await;
    world.execute("UPDATE sms_prefixes SET sent = 30, verified = 2").await;
    let bob = world.sign_in(BOB).await.access_token;
    let wait = retry_after(enable(&world, &bob, OTHER).await);
    assert!((3500..=3600).contains(&wait), "{wait}");
    assert_eq!(provider.count(), 1);
    assert!(enable(&world, &bob, "+4915123456789").await.is_ok(), "others are open");
    world.execute("UPDATE sms_prefixes SET verified = 3 WHERE sent = 30").await;
    assert!(enable(&world, &bob, OTHER).await.is_ok(), "a tenth comes back: that is people");
    world.execute("UPDATE sms_prefixes SET sent = 30, verified = 0").await;
    world.advance(3600);
    let bob = world.sign_in(BOB).await.access_token;
    assert!(enable(&world, &bob, OTHER).await.is_ok(), "and it opens by itself");
}
