//! Administrators see where an account is signed in.

use countersign::wire::pb;
use tonic::{Response, Status};

use crate::{
    admin_users::find,
    audit::{list, sealed},
    world::{ADMIN, ALICE, BOB, World, reason, with_token},
};

async fn sessions(
    world: &World,
    token: &str,
    user_id: &str,
    page_size: i32,
    page_token: &str,
) -> Result<pb::ListUserSessionsResponse, Status> {
    let (user_id, page_token) = (user_id.to_owned(), page_token.to_owned());
    let request = pb::ListUserSessionsRequest { user_id, page_size, page_token };
    world.admin.clone().list_user_sessions(with_token(request, token)).await.map(Response::into_inner)
}

#[tokio::test]
async fn the_sessions_of_an_account_are_listed_newest_first_and_in_pages() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let alice = find(&world, &admin, ALICE).await.user_id;
    assert!(sessions(&world, &admin, &alice, 0, "").await.unwrap().sessions.is_empty());
    let mut own = Vec::new();
    for _ in 0..3 {
        world.advance(1);
        own.push(world.sign_in(ALICE).await.access_token);
    }
    world.sign_in(BOB).await;
    let listed = sessions(&world, &admin, &alice, 0, "").await.unwrap();
    let mut expected = world.list_sessions(&own[2]).await;
    assert!(expected[0].current && listed.next_page_token.is_empty());
    expected.iter_mut().for_each(|session| session.current = false);
    assert_eq!(listed.sessions, expected, "as their owner sees them");
    let first = sessions(&world, &admin, &alice, 2, "").await.unwrap();
    let second = sessions(&world, &admin, &alice, 2, &first.next_page_token).await.unwrap();
    assert_eq!([first.sessions, second.sessions].concat(), expected);
    world.end(&own[0], false).await.unwrap();
    assert_eq!(sessions(&world, &admin, &alice, 0, "").await.unwrap().sessions, expected[..2]);
    let id = find(&world, &admin, ADMIN).await.user_id;
    let mine = sessions(&world, &admin, &id, 0, "").await.unwrap().sessions;
    assert!(mine.iter().any(|session| session.current), "that of the call");
    sealed(&world).await;
    let reads = pb::ListAuditEventsRequest { kinds: vec!["authz_admin".to_owned()], ..Default::default() };
    let reads = list(&world, &admin, reads).await.audit_events;
    let looks: Vec<_> = reads.iter().filter(|read| read.note == "ListUserSessions").collect();
    assert_eq!(looks.len(), 6, "every look is recorded: {reads:?}");
    assert_eq!(looks.iter().filter(|look| look.user_id == alice).count(), 5);
}

#[tokio::test]
async fn only_administrators_see_them_and_only_of_accounts_that_there_are() {
    let world = World::new().await;
    let (_, admin) = world.enrol(ADMIN).await;
    let alice = find(&world, &admin, ALICE).await.user_id;
    let own = world.sign_in(ALICE).await.access_token;
    assert_eq!(reason(sessions(&world, &own, &alice, 0, "").await), "PERMISSION_DENIED");
    let nobody = format!("usr_{}", "0".repeat(32));
    for (user, page, expected) in
        [("", "", "INVALID_ARGUMENT"), (&*alice, "x", "INVALID_ARGUMENT"), (&nobody, "", "NOT_FOUND")]
    {
        assert_eq!(reason(sessions(&world, &admin, user, 0, page).await), expected, "{user} {page}");
    }
}
