//! Accounts, as administrators make, find and change them.

use countersign::wire::pb;
use tokio::task::JoinSet;
use tonic::{Response, Status};

use crate::world::{ADMIN, ALICE, BOB, PASSWORD, World, reason, with_token};

const NEW: &str = "new@example.com";

/// A user as it is sent.
pub fn user(email: &str) -> pb::User {
    pb::User { email: email.to_owned(), ..Default::default() }
}

pub async fn list(world: &World, token: &str, request: pb::ListUsersRequest) -> pb::ListUsersResponse {
    world.admin.clone().list_users(with_token(request, token)).await.unwrap().into_inner()
}

pub async fn find(world: &World, token: &str, email: &str) -> pb::User {
    let request = pb::ListUsersRequest { search: email.to_owned(), ..Default::default() };
    list(world, token, request).await.users.into_iter().next().unwrap()
}

pub async fn create(
    world: &World,
    token: &str,
    request: pb::CreateUserRequest,
) -> Result<pb::CreateUserResponse, Status> {
    world.admin.clone().create_user(with_token(request, token)).await.map(Response::into_inner)
}

pub async fn update(world: &World, token: &str, user: pb::User) -> Result<pb::User, Status> {
    let request = pb::UpdateUserRequest { user: Some(user), update_mask: None };
    let answer = world.admin.clone().update_user(with_token(request, token)).await;
    answer.map(|answer| answer.into_inner().user.unwrap())
}

pub async fn block(world: &World, token: &str, user_id: &str) -> Result<pb::User, Status> {
    let request = pb::BlockUserRequest { user_id: user_id.to_owned(), reason: "gone".to_owned() };
    let answer = world.admin.clone().block_user(with_token(request, token)).await;
    answer.map(|answer| answer.into_inner().user.unwrap())
}

pub async fn delete(world: &World, token: &str, user_id: &str, etag: &str) -> Result<(), Status> {
    let request = pb::DeleteUserRequest { user_id: user_id.to_owned(), etag: etag.to_owned(), reason: String::new() };
    world.admin.clone().delete_user(with_token(request, token)).await.map(|_| ())
}

pub async fn reset(world: &World, token: &str, user_id: &str, why: &str) -> Result<i32, Status> {
    let request = pb::ResetTwoFaRequest { user_id: user_id.to_owned(), reason: why.to_owned() };
    let answer = world.admin.clone().reset_two_fa(with_token(request, token)).await;
    answer.map(|answer| answer.into_inner().removed_factors)
}

pub async fn password_reset(world: &World, token: &str, user_id: &str) -> pb::IssuePasswordResetResponse {
    let request = pb::IssuePasswordResetRequest { user_id: user_id.to_owned(), reason: String::new() };
    world.admin.clone().issue_password_reset(with_token(request, token)).await.unwrap().into_inner()
}

pub fn role(role: pb::Role, user_id: &str) -> pb::User {
    pb::User { user_id: user_id.to_owned(), role: role.into(), ..Default::default() }
}

#[tokio::test]
async fn one_is_made_with_a_password_or_with_a_token_to_set_one() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let request = pb::CreateUserRequest {
        user: Some(user("New@Example.com ")),
        password: PASSWORD.to_owned(),
        ..Default::default()
    };
    let made = create(&world, &admin, request).await.unwrap();
    assert!(made.password_token.is_empty() && made.password_token_expire_time.is_none());
    let shown = made.user.unwrap();
    assert_eq!((shown.email.as_str(), shown.role(), shown.password_set), ("New@Example.com", pb::Role::User, true));
    assert!(!world.sign_in(NEW).await.access_token.is_empty());

    let other = pb::CreateUserRequest { user: Some(user("other@example.com")), ..Default::default() };
    let made = create(&world, &admin, other).await.unwrap();
    assert!(!made.user.unwrap().password_set && made.password_token_expire_time.is_some());
    assert_eq!(reason(world.local_auth("other@example.com", PASSWORD).await), "INVALID_CREDENTIALS");
    let set =
        pb::SetPasswordRequest { token: made.password_token, new_password: PASSWORD.to_owned(), ..Default::default() };
    world.set_password(set).await.unwrap();
    assert!(!world.sign_in("other@example.com").await.access_token.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_new_one_is_told_by_its_field() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let of = |user: pb::User, password: &str| pb::CreateUserRequest {
        user: Some(user),
        password: password.to_owned(),
        ..Default::default()
    };
    for taken in [ALICE, "ALICE@EXAMPLE.COM", " alice@example.com"] {
        assert_eq!(reason(create(&world, &admin, of(user(taken), "")).await), "ALREADY_EXISTS");
    }
    assert_eq!(reason(create(&world, &admin, of(user(NEW), "password")).await), "PASSWORD_REJECTED");
    let phone = pb::User { phone_number: "12".to_owned(), ..user(NEW) };
    for (request, field) in [
        (pb::CreateUserRequest::default(), "user"),
        (of(user("nobody"), ""), "user.email"),
        (of(phone, ""), "user.phone_number"),
        (pb::CreateUserRequest { request_id: "a b".to_owned(), ..of(user(NEW), "") }, "request_id"),
    ] {
        let (_, details) = crate::world::refusal(create(&world, &admin, request).await);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    let none = pb::ListUsersRequest { search: NEW.to_owned(), ..Default::default() };
    assert!(list(&world, &admin, none).await.users.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_makes_one_however_often_and_from_however_many_at_once_it_comes() {
    let world = World::new().await;
    let (_, confirmed) = world.enrol_whole(ADMIN).await;
    let admin = confirmed.access_token;
    let request = pb::CreateUserRequest { user: Some(user(NEW)), request_id: "r-1".to_owned(), ..Default::default() };
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let (mut client, request) = (world.admin.clone(), with_token(request.clone(), &admin));
        calls.spawn(async move { client.create_user(request).await.map(Response::into_inner) });
    }
    let answers: Vec<_> = calls.join_all().await.into_iter().map(Result::unwrap).collect();
    let ids: std::collections::BTreeSet<_> =
        answers.iter().map(|answer| answer.user.as_ref().unwrap().user_id.clone()).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.audited("user_created").await, 4, "three were there before");
    let other = pb::CreateUserRequest { user: Some(user("b@example.com")), ..request.clone() };
    assert_eq!(reason(create(&world, &admin, other).await), "INVALID_ARGUMENT", "the name is taken by another request");
    // The token of the last answer is the one that works, until a password is set; then there is none.
    let again = create(&world, &admin, request.clone()).await.unwrap();
    let set = |token: &str| pb::SetPasswordRequest {
        token: token.to_owned(),
        new_password: PASSWORD.to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(world.set_password(set(&answers[0].password_token)).await), "UNAUTHENTICATED");
    world.set_password(set(&again.password_token)).await.unwrap();
    assert!(create(&world, &admin, request.clone()).await.unwrap().password_token.is_empty());
    world.advance(24 * 60 * 60);
    let admin = world.sign_in_with(ADMIN, &confirmed.backup_codes[0]).await;
    assert_eq!(reason(create(&world, &admin, request).await), "ALREADY_EXISTS", "after a day it is another request");
}

#[tokio::test]
async fn they_are_found_page_by_page_and_by_what_they_are() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    let bob = find(&world, &admin, BOB).await;
    block(&world, &admin, &bob.user_id).await.unwrap();
    let emails = async |request: pb::ListUsersRequest| {
        let mut found: Vec<_> = list(&world, &admin, request).await.users.into_iter().map(|user| user.email).collect();
        found.sort();
        found
    };
    let any = pb::ListUsersRequest::default;
    assert_eq!(emails(any()).await, [ADMIN, ALICE, BOB]);
    assert_eq!(emails(pb::ListUsersRequest { search: " LICE@".to_owned(), ..any() }).await, [ALICE]);
    assert_eq!(emails(pb::ListUsersRequest { search: "%".to_owned(), ..any() }).await, [""; 0]);
    assert_eq!(emails(pb::ListUsersRequest { search: "_".to_owned(), ..any() }).await, [""; 0]);
    assert_eq!(emails(pb::ListUsersRequest { role: pb::Role::Admin.into(), ..any() }).await, [ADMIN]);
    assert_eq!(emails(pb::ListUsersRequest { blocked: Some(true), ..any() }).await, [BOB]);
    assert_eq!(emails(pb::ListUsersRequest { blocked: Some(false), ..any() }).await, [ADMIN, ALICE]);
    assert_eq!(emails(pb::ListUsersRequest { enrolled: Some(true), ..any() }).await, [ADMIN, ALICE]);
    assert_eq!(emails(pb::ListUsersRequest { enrolled: Some(false), ..any() }).await, [BOB]);
    assert_eq!(emails(pb::ListUsersRequest { method: pb::Method::Totp.into(), ..any() }).await, [ADMIN, ALICE]);
    assert_eq!(emails(pb::ListUsersRequest { method: pb::Method::Phone.into(), ..any() }).await, [""; 0]);
    let narrow = pb::ListUsersRequest { enrolled: Some(true), role: pb::Role::User.into(), ..any() };
    assert_eq!(emails(narrow).await, [ALICE], "all filters hold");

    let (mut token, mut seen) = (String::new(), Vec::new());
    loop {
        let request = pb::ListUsersRequest { page_size: 1, page_token: token, ..any() };
        let page = list(&world, &admin, request).await;
        assert_eq!(page.users.len(), 1);
        seen.push(page.users[0].user_id.clone());
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    assert_eq!((seen.len(), seen), (3, sorted), "the newest first, each once");
    for (size, token) in [(-1, ""), (0, "nonsense")] {
        let request = pb::ListUsersRequest { page_size: size, page_token: token.to_owned(), ..any() };
        assert_eq!(reason(world.admin.clone().list_users(with_token(request, &admin)).await), "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn an_address_is_changed_only_as_it_was_when_it_was_read() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let alice = find(&world, &admin, ALICE).await;
    let token = password_reset(&world, &admin, &alice.user_id).await.password_token;
    let moved = |email: &str| pb::User { email: email.to_owned(), ..alice.clone() };
    assert_eq!(reason(update(&world, &admin, moved(BOB)).await), "ALREADY_EXISTS");
    let changed = update(&world, &admin, moved(NEW)).await.unwrap();
    assert_eq!((changed.email.as_str(), changed.role()), (NEW, pb::Role::User));
    assert_ne!(changed.etag, alice.etag);
    assert_eq!(reason(update(&world, &admin, moved("c@example.com")).await), "VERSION_MISMATCH");
    assert!(!world.sign_in(NEW).await.access_token.is_empty());
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "INVALID_CREDENTIALS");
    let set = pb::SetPasswordRequest { token, new_password: PASSWORD.to_owned(), ..Default::default() };
    assert_eq!(reason(world.set_password(set).await), "UNAUTHENTICATED", "it went to the old address");
    let without_etag = pb::User { etag: String::new(), ..moved("c@example.com") };
    assert!(update(&world, &admin, without_etag).await.is_ok());
    let case = pb::User { user_id: alice.user_id.clone(), email: "C@Example.com".to_owned(), ..Default::default() };
    assert_eq!(update(&world, &admin, case).await.unwrap().email, "C@Example.com", "only how it is written");
    assert_eq!(
        reason(update(&world, &admin, alice.clone()).await),
        "VERSION_MISMATCH",
        "the address of now, and an old etag"
    );
    let now = find(&world, &admin, "c@example.com").await;
    assert!(update(&world, &admin, now.clone()).await.is_ok(), "sent back whole, as it was read");
    for (user, field) in [
        (pb::User { blocked: true, ..now.clone() }, "user.blocked"),
        (pb::User { phone_number: "+306912345678".to_owned(), ..now.clone() }, "user.phone_number"),
        (pb::User { user_id: now.user_id.clone(), ..Default::default() }, "user"),
    ] {
        let (_, details) = crate::world::refusal(update(&world, &admin, user).await);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, field);
    }
    let masked = pb::UpdateUserRequest {
        user: Some(moved("d@example.com")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["blocked".to_owned()] }),
    };
    let refused = world.admin.clone().update_user(with_token(masked, &admin)).await;
    assert_eq!(reason(refused), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_role_counts_at_once_and_its_loss_ends_every_session() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (_, alice) = world.enrol(ALICE).await;
    let id = find(&world, &admin, ALICE).await.user_id;
    let ask = async |token: &str| {
        reason_or_ok(world.admin.clone().get_settings(with_token(pb::GetSettingsRequest {}, token)).await)
    };
    assert_eq!(ask(&alice).await, "PERMISSION_DENIED");
    update(&world, &admin, role(pb::Role::Admin, &id)).await.unwrap();
    assert_eq!(ask(&alice).await, "OK");
    update(&world, &admin, role(pb::Role::User, &id)).await.unwrap();
    assert_eq!(ask(&alice).await, "UNAUTHENTICATED");
    assert_eq!(world.audited("privilege_permissions_changed").await, 2);
}

pub fn reason_or_ok<T>(answer: Result<T, Status>) -> String {
    match answer {
        Ok(_) => "OK".to_owned(),
        refused => reason(refused),
    }
}

#[tokio::test]
async fn the_last_administrator_can_neither_go_nor_be_blocked_nor_lose_the_role() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (own, alice) = (find(&world, &admin, ADMIN).await.user_id, find(&world, &admin, ALICE).await.user_id);
    let all = async |world: &World| {
        [
            reason_or_ok(update(world, &admin, role(pb::Role::User, &own)).await),
            reason_or_ok(block(world, &admin, &own).await),
            reason_or_ok(delete(world, &admin, &own, "").await),
        ]
    };
    assert_eq!(all(&world).await, ["LAST_ADMIN"; 3]);
    let ghost = pb::User { role: pb::Role::Admin.into(), ..user("ghost@example.com") };
    let ghost = pb::CreateUserRequest { user: Some(ghost), ..Default::default() };
    let ghost = create(&world, &admin, ghost).await.unwrap().user.unwrap().user_id;
    assert_eq!(all(&world).await, ["LAST_ADMIN"; 3], "one without a password cannot sign in");
    update(&world, &admin, role(pb::Role::User, &ghost)).await.unwrap();
    update(&world, &admin, role(pb::Role::Admin, &alice)).await.unwrap();
    block(&world, &admin, &alice).await.unwrap();
    assert_eq!(all(&world).await, ["LAST_ADMIN"; 3], "nor one who is blocked");
    let tried = "SELECT COUNT(*) AS n FROM audit_events WHERE reason = 'LAST_ADMIN' AND subject_id IS NOT NULL";
    assert_eq!(world.count(tried).await, 9, "what was tried is known");
    let request = pb::UnblockUserRequest { user_id: alice.clone(), reason: String::new() };
    world.admin.clone().unblock_user(with_token(request, &admin)).await.unwrap();
    update(&world, &admin, role(pb::Role::User, &own)).await.unwrap();
    assert_eq!(reason(block(&world, &admin, &alice).await), "UNAUTHENTICATED", "and is none any more");
}
