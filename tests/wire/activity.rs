//! What users see of what has happened to their account, and what administrators see of messages and keys.

use countersign::wire::pb;
use tonic::Response;

use crate::{
    admin_users::{block, find, reset},
    audit::sealed,
    phone::{NUMBER, enrol, world as world_with_phones},
    world::{ADMIN, ALICE, BOB, World, reason, with_token},
};

async fn events(world: &World, token: &str, size: i32, page: &str) -> pb::ListSecurityEventsResponse {
    let request = pb::ListSecurityEventsRequest { page_size: size, page_token: page.to_owned() };
    world.sessions.clone().list_security_events(with_token(request, token)).await.map(Response::into_inner).unwrap()
}

fn kinds(listed: &pb::ListSecurityEventsResponse) -> Vec<&str> {
    listed.security_events.iter().map(|event| event.kind.as_str()).collect()
}

#[tokio::test]
async fn a_user_sees_what_has_happened_to_their_account_alone() {
    let world = World::new().await;
    world.local_auth(ALICE, "wrong password 1").await.unwrap_err();
    world.sign_in(BOB).await;
    let (_, token) = world.enrol(ALICE).await;
    sealed(&world).await;
    let listed = events(&world, &token, 0, "").await;
    let kinds = kinds(&listed);
    assert_eq!(kinds.last(), Some(&"user_created"));
    for kind in ["authn_login_fail", "authn_login_success", "authn_factor_created", "authn_backup_codes_created"] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 1, "{kind}: {kinds:?}");
    }
    let created = listed.security_events.iter().find(|event| event.kind == "authn_factor_created").unwrap();
    assert_eq!((created.method.as_str(), created.source.as_str(), created.by_admin), ("totp", "127.0.0.1", false));
    let first = events(&world, &token, 2, "").await;
    let second = events(&world, &token, 2, &first.next_page_token).await;
    let pages = [first.security_events, second.security_events].concat();
    assert_eq!(pages, listed.security_events[..4]);
    let request = pb::ListSecurityEventsRequest { page_size: 0, page_token: "x".to_owned() };
    assert_eq!(
        reason(world.sessions.clone().list_security_events(with_token(request, &token)).await),
        "INVALID_ARGUMENT"
    );
}

#[tokio::test]
async fn of_an_administrator_they_see_what_was_done_and_not_from_where() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    let id = find(&world, &admin, ALICE).await.user_id;
    reset(&world, &admin, &id, "lost the phone").await.unwrap();
    let token = world.sign_in(ALICE).await.access_token;
    sealed(&world).await;
    let listed = events(&world, &token, 0, "").await;
    let by_admin: Vec<_> = listed.security_events.iter().filter(|event| event.by_admin).collect();
    assert!(by_admin.iter().any(|event| event.kind == "authn_factor_reset"), "{listed:?}");
    assert!(by_admin.iter().all(|event| event.source.is_empty() && event.user_agent.is_empty()));
    assert!(!kinds(&listed).contains(&"authz_admin"), "what was read is not theirs");
}

#[tokio::test]
async fn the_text_messages_of_the_day_are_shown_against_their_budget() {
    let (world, provider) = world_with_phones().await;
    let (_, admin) = world.enrol(ADMIN).await;
    enrol(&world, &provider, ALICE, NUMBER).await;
    let usage =
        world.admin.clone().get_sms_usage(with_token(pb::GetSmsUsageRequest {}, &admin)).await.unwrap().into_inner();
    assert_eq!((usage.configured, usage.sent_messages, usage.daily_budget, usage.running_low), (true, 1, 1000, false));
    let block = &usage.prefixes[0];
    assert_eq!((block.prefix.as_str(), block.sent_messages, block.verified_codes), ("3069123", 1, 1));
    assert!(!block.closed);
}

#[tokio::test]
async fn without_messages_that_is_said_and_keys_are_listed_without_their_secrets() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let usage = world.admin.clone().get_sms_usage(with_token(pb::GetSmsUsageRequest {}, &admin)).await.unwrap();
    assert_eq!(usage.into_inner(), pb::GetSmsUsageResponse::default());
    let listed = world.admin.clone().list_keys(with_token(pb::ListKeysRequest {}, &admin)).await.unwrap().into_inner();
    let mut uses: Vec<_> = listed.keys.iter().map(|key| (key.r#use.as_str(), key.state.as_str())).collect();
    uses.sort_unstable();
    assert_eq!(uses, [("index", "active"), ("seal", "active"), ("sign", "active")]);
    assert!(listed.replicas >= 1 && listed.keys.iter().all(|key| key.holding_replicas == listed.replicas));
    assert!(listed.sealed_values.is_empty());
    let status = world.status(&world.sign_in(ALICE).await.access_token).await.unwrap();
    assert_eq!(status.available_methods().collect::<Vec<_>>(), [pb::Method::Totp], "no messages, no phones");
}

#[tokio::test]
async fn a_right_password_that_no_code_followed_is_seen_and_a_step_up_is_not() {
    const ASKED: &str = "authn_challenge_created";
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    world.step_up(&token).await.unwrap();
    sealed(&world).await;
    assert!(!kinds(&events(&world, &token, 0, "").await).contains(&ASKED), "what a session asks for is its own");
    world.challenge(ALICE).await;
    world.challenge(ALICE).await;
    sealed(&world).await;
    let listed = events(&world, &token, 0, "").await;
    assert_eq!(kinds(&listed)[..2], [ASKED, ASKED], "{listed:?}");
    assert!(listed.security_events[..2].iter().all(|event| event.source == "127.0.0.1" && event.session_id.is_empty()));
    let pages = [events(&world, &token, 1, "").await, events(&world, &token, 2, "").await];
    assert_eq!(kinds(&pages[0]), [ASKED]);
    assert_eq!(kinds(&events(&world, &token, 1, &pages[0].next_page_token).await), [ASKED]);
    world.verify(&world.challenge(ALICE).await, &app.code_in(1)).await.unwrap();
}

#[tokio::test]
async fn a_user_sees_that_the_account_was_blocked_for_a_while() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let id = find(&world, &admin, ALICE).await.user_id;
    block(&world, &admin, &id).await.unwrap();
    let request = pb::UnblockUserRequest { user_id: id, reason: String::new() };
    world.admin.clone().unblock_user(with_token(request, &admin)).await.unwrap();
    sealed(&world).await;
    let listed = events(&world, &world.sign_in(ALICE).await.access_token, 0, "").await;
    for kind in ["user_blocked", "user_unblocked"] {
        assert!(listed.security_events.iter().any(|event| event.kind == kind && event.by_admin), "{kind}: {listed:?}");
    }
}
