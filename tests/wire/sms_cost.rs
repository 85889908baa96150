//! What text messages may cost, whatever an attacker does.

use countersign::wire::pb;
use tonic::Code;

use crate::{
    phone::{NUMBER, OTHER, enable, enrol, send, world, wrong},
    provider::Provider,
    world::{ALICE, BOB, PASSWORD, World, reason, refusal, retry_after, with_token},
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
    let token = world.sign_in(ALICE).await.access_token;
    let number = |n: u32| format!("+30691234567{n}");
    // Each to another number, so that it is the account's limit alone that is met.
    enable(&world, &token, &number(0)).await.unwrap();
    enable(&world, &token, &number(1)).await.unwrap();
    let token = world.verify_as(&token, "", &provider.code()).await.unwrap().access_token;
    let factor_id = world.status(&token).await.unwrap().factors.remove(0).factor_id;
    let replace = async |n: u32| {
        let request = pb::EnableRequest {
            method: pb::Method::Phone.into(),
            phone_number: number(n),
            factor_id: factor_id.clone(),
            ..Default::default()
        };
        world.twofa.clone().enable(with_token(request, &token)).await
    };
    for n in 2..6 {
        assert!(replace(n).await.is_ok(), "{n}: one of two was answered");
    }
    let wait = retry_after(replace(6).await);
    assert_eq!((wait, provider.count()), (3600, 6));
    let challenge = world.sign_in(ALICE).await;
    assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, ""), "the challenge stands");
    assert_eq!(retry_after(send(&world, "", &challenge.challenge_id).await), 3600);
}

#[tokio::test]
async fn a_stranger_who_enrols_a_number_takes_no_code_from_its_owner() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let bob = world.sign_in(BOB).await.access_token;
    let mut taken = 0;
    for _ in 0..6 {
        taken += usize::from(enable(&world, &bob, NUMBER).await.is_ok());
    }
    assert_eq!(taken, 4, "five to a number that is new, and the first confirmed it");
    for _ in 0..5 {
        let challenge = world.sign_in(ALICE).await;
        assert_eq!(challenge.masked_phone_number, "+**********78");
        assert!(world.verify(&challenge.challenge_id, &provider.code()).await.is_ok());
    }
    assert_eq!(world.sign_in(ALICE).await.masked_phone_number, "", "five an hour of the owner's");
}

#[tokio::test]
async fn twenty_a_minute_go_to_numbers_that_begin_alike() {
    let (world, provider) = world().await;
    let alice = world.sign_in(ALICE).await.access_token;
    enable(&world, &alice, NUMBER).await.unwrap();
    world.execute("UPDATE buckets SET failures = 19 WHERE failures = 1").await;
    let bob = world.sign_in(BOB).await.access_token;
    assert!(enable(&world, &bob, "+306912345670").await.is_ok());
    assert_eq!(retry_after(enable(&world, &bob, "+306912345671").await), 60);
    assert_eq!(provider.count(), 2);
    world.advance(60);
    assert!(enable(&world, &bob, "+306912345671").await.is_ok());
}

#[tokio::test]
async fn a_phone_that_has_to_wait_is_sent_nothing() {
    let (world, provider) = world().await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let challenge = world.challenge(ALICE).await;
    let code = provider.code();
    for _ in 0..5 {
        assert_eq!(reason(world.verify(&challenge, &wrong(&code)).await), "INVALID_CODE");
    }
    let sent = provider.count();
    let challenge = world.sign_in(ALICE).await;
    assert_eq!((challenge.two_fa_required, challenge.masked_phone_number.as_str()), (true, ""));
    assert_eq!(retry_after(send(&world, "", &challenge.challenge_id).await), 30);
    assert_eq!(provider.count(), sent, "no code that would not be judged");
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
    let told = ["sms_budget_alarm", "sms_budget_exhausted"];
    for kind in told {
        assert_eq!(world.audited(kind).await, 1, "{kind}: with the message that crosses the line, and once");
    }
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
