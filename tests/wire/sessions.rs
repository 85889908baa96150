//! What a sign-in has given: refreshed, ended, run out.

use countersign::wire::pb;

use crate::{
    stack,
    world::{ALICE, BOB, World, reason, with_token},
};

const DAY: u64 = 24 * 60 * 60;

#[tokio::test]
async fn a_refresh_gives_new_tokens_of_the_same_session_and_moves_no_proof() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let before = world.validate(&session.access_token).await.claims.unwrap();
    world.advance(600);
    let renewed = world.refresh(&session.refresh_token).await.unwrap();
    let after = world.validate(&renewed.access_token).await.claims.unwrap();
    assert_eq!(
        (after.sid, after.auth_time, after.amr, after.acr),
        (before.sid, before.auth_time, before.amr, before.acr)
    );
    assert_eq!(after.exp, before.exp + 600);
    assert_ne!(renewed.refresh_token, session.refresh_token);
    assert_eq!((renewed.token_type.as_str(), renewed.expires_in), ("Bearer", 900));
}

#[tokio::test]
async fn a_lost_answer_can_be_asked_for_again_for_ten_seconds() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let first = world.refresh(&session.refresh_token).await.unwrap();
    world.advance(9);
    let again = world.refresh(&session.refresh_token).await.unwrap();
    assert_eq!(again.refresh_token, first.refresh_token);
    assert_eq!(world.audited("session_renewal_repeated").await, 1);
    world.advance(1);
    assert_eq!(reason(world.refresh(&session.refresh_token).await), "UNAUTHENTICATED");
    assert_eq!(reason(world.refresh(&first.refresh_token).await), "UNAUTHENTICATED", "reuse ends the session");
    assert!(!world.is_good(&first.access_token).await);
    assert_eq!(world.audited("authn_token_reuse").await, 1);
}

#[tokio::test]
async fn a_predecessor_shown_after_its_successor_was_used_ends_the_session() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let second = world.refresh(&session.refresh_token).await.unwrap();
    let third = world.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(reason(world.refresh(&session.refresh_token).await), "UNAUTHENTICATED");
    assert!(!world.is_good(&third.access_token).await);
}

#[tokio::test]
async fn a_forged_refresh_token_of_a_known_session_harms_nobody() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    // The same session, another secret: a letter in the part that all tokens of the session share, and one at the end.
    for at in [30, session.refresh_token.len() - 2] {
        let mut forged = session.refresh_token.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(reason(world.refresh(&forged).await), "UNAUTHENTICATED");
        if at == 30 {
            assert!(world.is_good(&session.access_token).await);
        }
    }
    for none in ["", "rft_", "rft_AAAA", &session.access_token, "chl_AAAA"] {
        assert_eq!(reason(world.refresh(none).await), "UNAUTHENTICATED", "{none:.10}");
    }
}

#[tokio::test]
async fn a_refresh_token_may_come_as_bearer_token() {
    let world = World::new().await;
    let session = world.sign_in(ALICE).await;
    let request = with_token(pb::RefreshSessionRequest::default(), &session.refresh_token);
    assert!(world.sessions.clone().refresh_session(request).await.is_ok());
}

#[tokio::test]
async fn a_session_ends_when_idle_for_seven_days_and_after_thirty_in_any_case() {
    let world = World::new().await;
    let idle = world.sign_in(ALICE).await;
    world.advance(7 * DAY);
    assert_eq!(reason(world.refresh(&idle.refresh_token).await), "UNAUTHENTICATED");

    let mut token = world.sign_in(ALICE).await.refresh_token;
    for _ in 0..4 {
        world.advance(6 * DAY);
        token = world.refresh(&token).await.unwrap().refresh_token;
    }
    world.advance(6 * DAY);
    assert_eq!(reason(world.refresh(&token).await), "UNAUTHENTICATED");
}

#[tokio::test]
async fn ending_a_session_is_seen_at_once_and_leaves_the_others() {
    let world = World::new().await;
    let (first, second, bob) = (world.sign_in(ALICE).await, world.sign_in(ALICE).await, world.sign_in(BOB).await);
    world.end(&first.access_token, false).await.unwrap();
    assert!(!world.is_good(&first.access_token).await);
    assert_eq!(reason(world.refresh(&first.refresh_token).await), "UNAUTHENTICATED");
    assert_eq!(reason(world.end(&first.access_token, false).await), "UNAUTHENTICATED");
    assert!(world.is_good(&second.access_token).await);
    let third = world.sign_in(ALICE).await;
    world.end(&second.access_token, true).await.unwrap();
    assert!(!world.is_good(&third.access_token).await);
    assert!(world.is_good(&bob.access_token).await);
}

#[tokio::test]
async fn sessions_and_keys_outlast_a_restart() {
    let mut world = World::new().await;
    let session = world.sign_in(ALICE).await;
    world = world.restarted().await;
    assert!(world.is_good(&session.access_token).await);
    assert!(world.refresh(&session.refresh_token).await.is_ok());
}

#[tokio::test]
async fn a_user_sees_and_ends_their_own_sessions_alone() {
    let world = World::new().await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        tokens.push(world.sign_in(ALICE).await);
        world.advance(1);
    }
    let bob = world.sign_in(BOB).await;
    world.refresh(&tokens[0].refresh_token).await.unwrap();
    let sessions = world.list_sessions(&tokens[1].access_token).await;
    assert_eq!(sessions.iter().map(|s| s.current).collect::<Vec<_>>(), [false, true, false], "newest first");
    assert_eq!(sessions.iter().map(|s| s.refresh_time.is_some()).collect::<Vec<_>>(), [false, false, true]);
    let own_name = if stack::speaks_rest() { "curl of a story" } else { "tonic" };
    assert!(sessions.iter().all(|s| s.source == "127.0.0.1" && s.amr == ["pwd"] && s.user_agent.contains(own_name)));
    assert_eq!(sessions[1].session_id, world.validate(&tokens[1].access_token).await.claims.unwrap().sid);

    let foreign = world.list_sessions(&bob.access_token).await[0].session_id.clone();
    assert_eq!(reason(world.delete_session(&tokens[1].access_token, &foreign).await), "NOT_FOUND");
    assert_eq!(reason(world.delete_session(&tokens[1].access_token, "").await), "INVALID_ARGUMENT");
    assert_eq!(reason(world.delete_session(&tokens[1].access_token, "ses_1").await), "INVALID_ARGUMENT");
    world.delete_session(&tokens[1].access_token, &sessions[0].session_id).await.unwrap();
    assert!(!world.is_good(&tokens[2].access_token).await);
    assert_eq!(reason(world.delete_session(&tokens[1].access_token, &sessions[0].session_id).await), "NOT_FOUND");
    assert!(world.is_good(&bob.access_token).await);
    assert_eq!(world.list_sessions(&tokens[1].access_token).await.len(), 2);
}

#[tokio::test]
async fn sessions_come_in_pages() {
    let world = World::new().await;
    let mut token = String::new();
    for _ in 0..5 {
        token = world.sign_in(ALICE).await.access_token;
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    for expected in [2, 2, 1] {
        let request = pb::ListSessionsRequest { page_size: 2, page_token: page_token.clone() };
        let page = world.sessions.clone().list_sessions(with_token(request, &token)).await.unwrap().into_inner();
        assert_eq!(page.sessions.len(), expected);
        assert_eq!(page.next_page_token.is_empty(), expected == 1);
        seen.extend(page.sessions.into_iter().map(|session| session.session_id));
        page_token = page.next_page_token;
    }
    seen.dedup();
    assert_eq!(seen.len(), 5);
    for bad in [
        pb::ListSessionsRequest { page_size: -1, ..Default::default() },
        pb::ListSessionsRequest { page_token: "x".to_owned(), ..Default::default() },
    ] {
        let refused = world.sessions.clone().list_sessions(with_token(bad, &token)).await;
        assert_eq!(reason(refused), "INVALID_ARGUMENT");
    }
}
