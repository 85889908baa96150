//! A factor that is required of users: they may do without for a while, and not a moment longer.

use countersign::wire::pb;

use crate::world::{ADMIN, ALICE, BOB, World, reason, with_token};

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
    let session = world.sign_in(ALICE).await;
    let token = session.access_token;
    assert!(world.is_good(&token).await);
    let renewed = world.refresh(&session.refresh_token).await.unwrap().refresh_token;
    world.advance(59);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
    world.advance(1);
    let late = world.sign_in(ALICE).await;
    assert!(late.enrollment_required && late.access_token.is_empty() && late.grace_end_time.is_none());
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Requires2fa);
    assert_eq!(reason(world.refresh(&renewed).await), "UNAUTHENTICATED", "nor does it go on by being refreshed");
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
    let (signed_in, other) = (world.sign_in(ALICE).await, world.sign_in(ALICE).await);
    let token = signed_in.access_token;
    assert!(world.is_good(&token).await);
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(true), ..Default::default() }).await.unwrap();
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Requires2fa);
    let challenge = world.step_up(&token).await.unwrap().challenge_id;
    let proven = world.verify_as(&token, &challenge, &app.code_in(1)).await.unwrap().access_token;
    assert!(world.is_good(&proven).await);
    assert!(world.refresh(&signed_in.refresh_token).await.is_ok(), "it has two factors now");
    assert_eq!(
        reason(world.refresh(&other.refresh_token).await),
        "UNAUTHENTICATED",
        "the factor is not waived for ever"
    );
    assert!(!world.is_good(&other.access_token).await, "and that session has ended");
}

#[tokio::test]
async fn whoever_becomes_an_administrator_has_the_grace_of_one_from_then_on() {
    let (world, _, code) = asking_everyone().await;
    let admin = world.sign_in_with(ADMIN, &code).await;
    let day = Some(prost_types::Duration { seconds: i64::try_from(DAY).unwrap(), nanos: 0 });
    world.update_settings(&admin, pb::Settings { admin_grace_period: day, ..Default::default() }).await.unwrap();
    let list = pb::ListUsersRequest { search: ALICE.to_owned(), ..Default::default() };
    let alice = world.admin.clone().list_users(with_token(list, &admin)).await.unwrap().into_inner().users.remove(0);
    let user = Some(pb::User { user_id: alice.user_id, role: pb::Role::Admin.into(), ..Default::default() });
    let promote = pb::UpdateUserRequest { user, update_mask: None };
    world.admin.clone().update_user(with_token(promote, &admin)).await.unwrap();
    world.advance(DAY - 1);
    let signed_in = world.sign_in(ALICE).await;
    assert!(signed_in.grace_end_time.is_some() && !signed_in.access_token.is_empty());
    world.advance(1);
    assert!(world.sign_in(ALICE).await.enrollment_required);
}

#[tokio::test]
async fn an_enrolment_that_was_begun_before_its_method_was_switched_off_is_not_confirmed() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let token = world.sign_in(ALICE).await.access_token;
    let enabled = world.enable(&token).await.unwrap();
    let app = world.authenticator(&enabled);
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(false), ..Default::default() }).await.unwrap();
    assert_eq!(reason(world.verify_as(&token, "", &app.code()).await), "TWO_FA_UNAVAILABLE");
    assert!(!world.status(&token).await.unwrap().enabled);
    world.update_settings(&admin, pb::Settings { two_fa_enabled: Some(true), ..Default::default() }).await.unwrap();
    assert!(world.verify_as(&token, "", &app.code()).await.is_ok(), "nothing was used up");
}
