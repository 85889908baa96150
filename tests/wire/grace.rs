//! A factor that is required of users: they may do without for a while, and not a moment longer.

use countersign::wire::pb;

use crate::world::{ADMIN, ALICE, BOB, World, reason};

const DAY: u64 = 24 * 60 * 60;

/// A world in which an administrator asks everyone for a factor now.
async fn asking_everyone() -> (World, i64, String) {
    let world = World::new().await;
    world.advance(100 * DAY);
    let (_, confirmed) = world.enrol_whole(ADMIN).await;
    let (admin, code) = (confirmed.access_token, confirmed.backup_codes[0].clone());
    let asked = pb::Settings { required_for: pb::RequiredFor::All.into(), ..Default::default() };
    world.update_settings(&admin, asked).await.unwrap();
    let now = i64::try_from(100 * DAY).unwrap();
    (world, crate::world::NOW.seconds() + now, code)
}

#[tokio::test]
async fn within_the_grace_a_password_gives_a_session_and_says_until_when() {
    let (world, asked, _) = asking_everyone().await;
    let signed_in = world.sign_in(ALICE).await;
    let end = asked + i64::try_from(7 * DAY).unwrap();
    assert_eq!(signed_in.grace_end_time.map(|time| time.seconds), Some(end), "old accounts have all of it");
    assert!(!signed_in.access_token.is_empty() && !signed_in.enrollment_required);
    let status = world.status(&signed_in.access_token).await.unwrap();
    assert!(status.required && !status.enabled);
    assert_eq!(status.grace_end_time.map(|time| time.seconds), Some(end));
    assert!(world.is_good(&signed_in.access_token).await);

    let (_, confirmed) = world.enrol_whole(BOB).await;
    let status = world.status(&confirmed.access_token).await.unwrap();
    assert!(status.grace_end_time.is_none() && status.enabled, "whoever has one has no more to do");
    assert_eq!(reason(world.disable(&confirmed.access_token, pb::DisableRequest::default()).await), "TWO_FA_REQUIRED");
}

#[tokio::test]
async fn at_its_end_sign_in_leads_to_an_enrolment_and_the_session_is_good_no_more() {
    let (world, _, _) = asking_everyone().await;
    world.advance(7 * DAY - 60);
    let token = world.sign_in(ALICE).await.access_token;
    assert!(world.is_good(&token).await);
    world.advance(59);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
    world.advance(1);
    let late = world.sign_in(ALICE).await;
    assert!(late.enrollment_required && late.access_token.is_empty() && late.grace_end_time.is_none());
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Requires2fa);
    let (_, confirmed) = world.enrol_whole(ALICE).await;
    assert!(world.is_good(&confirmed.access_token).await, "nobody is stranded");
}

#[tokio::test]
async fn the_switch_turned_off_and_on_gives_users_their_grace_anew() {
    let (world, _, code) = asking_everyone().await;
    world.advance(8 * DAY);
    assert!(world.sign_in(ALICE).await.enrollment_required);
    let admin = world.sign_in_with(ADMIN, &code).await;
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(false), ..Default::default() }).await.unwrap();
    let off = world.sign_in(ALICE).await;
    assert!(!off.access_token.is_empty() && off.grace_end_time.is_none());
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(true), ..Default::default() }).await.unwrap();
    let on = world.sign_in(ALICE).await;
    assert!(!on.access_token.is_empty() && on.grace_end_time.is_some());
}

#[tokio::test]
async fn a_session_of_the_time_without_two_fa_is_no_longer_good_for_whoever_has_a_factor() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(false), ..Default::default() }).await.unwrap();
    let token = world.sign_in(ALICE).await.access_token;
    assert!(world.is_good(&token).await);
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(true), ..Default::default() }).await.unwrap();
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Requires2fa);
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    let proven = world.verify_as(&token, &challenge, &app.code_in(1)).await.unwrap().access_token;
    assert!(world.is_good(&proven).await);
}
