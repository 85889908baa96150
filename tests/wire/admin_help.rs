//! Users whom administrators block, help and remove.

use countersign::wire::pb;
use prost_reflect::prost::Message;

use crate::{
    admin_users::{block, create, delete, find, list, password_reset, reset, user},
    provider::Provider,
    world::{ADMIN, ALICE, BOB, PASSWORD, World, optional_token, reason, with_token},
};

#[tokio::test]
async fn whoever_is_blocked_is_out_at_once_and_until_they_are_let_in() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (app, token) = world.enrol(ALICE).await;
    let (challenge, another) = (world.challenge(ALICE).await, world.challenge(ALICE).await);
    let id = find(&world, &admin, ALICE).await.user_id;
    let bob = find(&world, &admin, BOB).await.user_id;
    block(&world, &admin, &bob).await.unwrap();
    let leaked = password_reset(&world, &admin, &id).await.password_token;
    assert!(block(&world, &admin, &id).await.unwrap().blocked);
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::UserBlocked);
    assert_eq!(reason(world.status(&token).await), "UNAUTHENTICATED");
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "USER_BLOCKED");
    assert_eq!(reason(world.local_auth(ALICE, "wrong password 1").await), "INVALID_CREDENTIALS");
    let request = pb::UnblockUserRequest { user_id: id, reason: String::new() };
    world.admin.clone().unblock_user(with_token(request, &admin)).await.unwrap();
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Unauthenticated, "what has ended stays so");
    assert_eq!(reason(world.verify(&another, &app.code_in(1)).await), "CHALLENGE_EXPIRED", "also when they are back");
    let given = password_reset(&world, &admin, &bob).await.password_token;
    let request = pb::UnblockUserRequest { user_id: bob, reason: String::new() };
    world.admin.clone().unblock_user(with_token(request, &admin)).await.unwrap();
    let set = pb::SetPasswordRequest { token: given, new_password: PASSWORD.to_owned(), ..Default::default() };
    assert!(world.set_password(set).await.is_ok(), "what was given while they were out is good when they are back");
    let set = pb::SetPasswordRequest { token: leaked, new_password: PASSWORD.to_owned(), ..Default::default() };
    assert_eq!(reason(world.set_password(set).await), "UNAUTHENTICATED");
    assert!(world.verify(&world.challenge(ALICE).await, &app.code_in(1)).await.is_ok());
    let noted = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'user_blocked' AND note IS NOT NULL";
    assert_eq!(world.count(noted).await, 2);
}

#[tokio::test]
async fn a_lock_is_shown_and_ended() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (app, _) = world.enrol(ALICE).await;
    let id = find(&world, &admin, ALICE).await.user_id;
    let locks = async || {
        let request = with_token(pb::GetUserRequest { user_id: id.clone() }, &admin);
        world.admin.clone().get_user(request).await.unwrap().into_inner().locks
    };
    assert!(locks().await.is_empty());
    let challenge = world.challenge(ALICE).await;
    for _ in 0..5 {
        assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE");
    }
    let shown = locks().await;
    assert_eq!((shown.len(), shown[0].method(), shown[0].failures), (1, pb::Method::Totp, 5));
    assert!(shown[0].end_time.is_some());
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &app.code_in(1)).await), "RATE_LIMITED");
    let request = pb::UnlockUserRequest { user_id: id.clone(), reason: "at the desk".to_owned() };
    world.admin.clone().unlock_user(with_token(request, &admin)).await.unwrap();
    assert!(locks().await.is_empty());
    assert!(world.verify(&world.challenge(ALICE).await, &app.code_in(1)).await.is_ok());
}

#[tokio::test]
async fn a_second_factor_is_reset_with_a_reason_and_never_ones_own() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (_, alice) = world.enrol(ALICE).await;
    let (own, id) = (find(&world, &admin, ADMIN).await.user_id, find(&world, &admin, ALICE).await.user_id);
    for why in ["", "  ", &"x".repeat(257), "a\nb"] {
        assert_eq!(reason(reset(&world, &admin, &id, why).await), "INVALID_ARGUMENT", "{why:?}");
    }
    assert_eq!(reason(reset(&world, &admin, &own, "convenience").await), "INVALID_ARGUMENT");
    assert!(world.is_good(&alice).await, "nothing has changed yet");
    let token = password_reset(&world, &admin, &id).await.password_token;
    assert_eq!(reset(&world, &admin, &id, "showed a passport").await.unwrap(), 1, "without the set of backup codes");
    let set = pb::SetPasswordRequest { token, new_password: PASSWORD.to_owned(), ..Default::default() };
    assert_eq!(reason(world.set_password(set).await), "UNAUTHENTICATED", "it was one of two, and is not enough alone");
    assert!(!world.is_good(&alice).await);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
    assert_eq!(reset(&world, &admin, &id, "again").await.unwrap(), 0);
    let noted = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_factor_reset' AND note IS NOT NULL \
                 AND admin_id IS NOT NULL";
    assert_eq!(world.count(noted).await, 2);
}

#[tokio::test]
async fn sessions_are_revoked_all_at_once_with_what_would_become_one() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (bob, _) = world.enrol(BOB).await;
    let challenge = world.challenge(BOB).await;
    let id = find(&world, &admin, BOB).await.user_id;
    let request = pb::RevokeSessionsRequest { user_id: id, reason: String::new() };
    world.admin.clone().revoke_sessions(with_token(request, &admin)).await.unwrap();
    assert_eq!(reason(world.verify(&challenge, &bob.code_in(1)).await), "CHALLENGE_EXPIRED");
    let tokens = [world.sign_in(ALICE).await.access_token, world.sign_in(ALICE).await.access_token];
    let id = find(&world, &admin, ALICE).await.user_id;
    let request = pb::RevokeSessionsRequest { user_id: id, reason: String::new() };
    let revoke = async || {
        let request = with_token(request.clone(), &admin);
        world.admin.clone().revoke_sessions(request).await.unwrap().into_inner().ended_sessions
    };
    assert_eq!(revoke().await, 2);
    for token in tokens {
        assert!(!world.is_good(&token).await);
    }
    assert_eq!(revoke().await, 0);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_and_the_second_factor_stays() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (app, session) = world.enrol(ALICE).await;
    let id = find(&world, &admin, ALICE).await.user_id;
    let first = password_reset(&world, &admin, &id).await;
    let token = password_reset(&world, &admin, &id).await.password_token;
    assert!(world.is_good(&session).await, "nothing ends before a password is set");
    let new = "another password 77";
    let request = pb::SetPasswordRequest { token, new_password: new.to_owned(), ..Default::default() };
    let superseded = pb::SetPasswordRequest { token: first.password_token, ..request.clone() };
    assert_eq!(reason(world.set_password(superseded).await), "UNAUTHENTICATED");
    let asked = world.set_password(request.clone()).await.unwrap();
    assert!(asked.two_fa_required, "the token alone is not enough");
    let wrong =
        pb::SetPasswordRequest { code: app.wrong_code(), challenge_id: asked.challenge_id.clone(), ..request.clone() };
    assert_eq!(reason(world.set_password(wrong).await), "INVALID_CODE");
    let right = pb::SetPasswordRequest { code: app.code_in(1), challenge_id: asked.challenge_id, ..request };
    world.set_password(right).await.unwrap();
    assert!(!world.is_good(&session).await);
    let signed_in = world.local_auth(ALICE, new).await.unwrap();
    assert!(signed_in.two_fa_required, "and the factor is asked for as before");
    world.advance(60);
    assert!(world.verify(&signed_in.challenge_id, &app.code()).await.is_ok());
}

#[tokio::test]
async fn what_is_removed_is_gone_and_the_audit_log_knows_its_id_alone() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let (app, token) = world.enrol(ALICE).await;
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &app.wrong_code()).await), "INVALID_CODE");
    assert_eq!(reason(world.local_auth(ALICE, "wrong password 1").await), "INVALID_CREDENTIALS");
    let challenge = world.challenge(ALICE).await;
    let alice = find(&world, &admin, ALICE).await;
    password_reset(&world, &admin, &alice.user_id).await;
    assert_eq!(reason(delete(&world, &admin, &alice.user_id, "stale").await), "VERSION_MISMATCH");
    let buckets = world.count("SELECT COUNT(*) AS n FROM buckets").await;
    delete(&world, &admin, &alice.user_id, &alice.etag).await.unwrap();

    let tables = ["factors", "factor_failures", "sessions", "password_tokens"];
    for table in tables {
        let orphans = format!("SELECT COUNT(*) AS n FROM {table} WHERE user_id NOT IN (SELECT id FROM users)");
        assert_eq!(world.count(&orphans).await, 0, "{table}");
    }
    assert!(world.count("SELECT COUNT(*) AS n FROM buckets").await < buckets);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM users").await, 2);
    let kept = "SELECT COUNT(*) AS n FROM audit_events WHERE subject_id NOT IN (SELECT id FROM users)";
    assert!(world.count(kept).await > 5, "what has happened has happened");
    assert_eq!(world.audited("user_deleted").await, 1);
    assert_eq!(world.validate(&token).await.status(), pb::TokenStatus::Unauthenticated);
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "CHALLENGE_EXPIRED");
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "INVALID_CREDENTIALS");
    assert_eq!(reason(delete(&world, &admin, &alice.user_id, "").await), "NOT_FOUND");
    let again = pb::CreateUserRequest { user: Some(user(ALICE)), password: PASSWORD.to_owned(), ..Default::default() };
    assert_ne!(create(&world, &admin, again).await.unwrap().user.unwrap().user_id, alice.user_id);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty(), "a new account, with nothing of the old one");
}

#[tokio::test]
async fn no_answer_shows_a_secret_a_code_a_password_or_a_whole_number() {
    let provider = Provider::start().await;
    let sets = provider.twilio();
    let world = World::with(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (_, admin) = world.enrol(ADMIN).await;
    let session = world.sign_in(ALICE).await.access_token;
    let phone = pb::EnableRequest {
        method: pb::Method::Phone.into(),
        phone_number: "+306912345678".to_owned(),
        ..Default::default()
    };
    let enabled = world.twofa.clone().enable(with_token(phone, &session)).await.unwrap().into_inner();
    let confirmed = world.verify_as(&session, &enabled.challenge_id, &provider.code()).await.unwrap();
    let totp =
        pb::EnableRequest { method: pb::Method::Totp.into(), label: "phone app".to_owned(), ..Default::default() };
    let totp = world.twofa.clone().enable(optional_token(totp, &confirmed.access_token)).await.unwrap().into_inner();
    let app = world.authenticator(&totp);
    world.verify_as(&confirmed.access_token, &totp.challenge_id, &app.code()).await.unwrap();

    let id = find(&world, &admin, ALICE).await.user_id;
    let request = with_token(pb::GetUserRequest { user_id: id.clone() }, &admin);
    let one = world.admin.clone().get_user(request).await.unwrap().into_inner();
    let shown = one.user.clone().unwrap();
    assert_eq!(shown.factors.len(), 2);
    assert_eq!((shown.phone_number.as_str(), shown.backup_codes_remaining), ("+**********78", 10));
    let all = list(&world, &admin, pb::ListUsersRequest::default()).await;
    let blocked = block(&world, &admin, &id).await.unwrap();
    let bytes = [one.encode_to_vec(), all.encode_to_vec(), blocked.encode_to_vec()].concat();
    let text = String::from_utf8_lossy(&bytes);
    let backup = confirmed.backup_codes.iter().flat_map(|code| [code.clone(), code.replace('-', "")]);
    for secret in backup.chain([totp.secret, "306912345678".to_owned(), PASSWORD.to_owned(), "argon2".to_owned()]) {
        assert!(!text.contains(&secret), "{secret}");
    }
}

#[tokio::test]
async fn a_factor_that_is_damaged_does_not_hide_the_accounts() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    world.execute("UPDATE factors SET method = 'webauthn' WHERE method = 'backup_code'").await;
    let alice = find(&world, &admin, ALICE).await;
    assert_eq!((alice.factors.len(), alice.backup_codes_remaining), (1, 0));
    // The data of one in the row of another: it does not open there.
    world.execute("UPDATE factors SET data = label WHERE method = 'totp'").await;
    assert_eq!(find(&world, &admin, ALICE).await.factors[0].method(), pb::Method::Totp);
    assert_eq!(list(&world, &admin, pb::ListUsersRequest::default()).await.users.len(), 3);
    // And it can be taken away, with what a later release has left.
    assert_eq!(reset(&world, &admin, &alice.user_id, "damaged").await.unwrap(), 2);
    assert!(!world.sign_in(ALICE).await.access_token.is_empty());
}
