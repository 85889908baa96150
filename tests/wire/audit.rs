//! The audit log: sealed, verified, listed and followed; and what is found of whoever changes it behind the service's back.

use std::time::Duration;

use countersign::{
    app::{Schema, open_store},
    clock::Clock,
    flow::audit::{Finding, Verdict, verify_audit},
    token::keys::SigningKeys,
    wire::pb,
};
use tonic::{Response, Status, Streaming};

use crate::{
    stack::Stack,
    world::{ADMIN, ALICE, BOB, PASSWORD, World, reason, with_token},
};

/// Waits until every record is sealed.
pub async fn sealed(world: &World) {
    for _ in 0..400 {
        if world.count("SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL").await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the records are not sealed");
}

pub async fn verify(world: &World) -> Verdict {
    let (store, ring) = open_store(&world.config, Schema::AsConfigured, world.clock.now()).await.unwrap();
    let verdict = verify_audit(&store, &ring, &SigningKeys::from_ring(&ring).unwrap()).await.unwrap();
    store.close().await.unwrap();
    verdict
}

/// A world in which some things have happened, all of them sealed.
pub async fn world() -> World {
    let world = World::new().await;
    world.enrol(ALICE).await;
    for _ in 0..3 {
        assert_eq!(reason(world.local_auth(ALICE, "wrong password 1").await), "INVALID_CREDENTIALS");
    }
    sealed(&world).await;
    world
}

pub async fn findings(world: &World) -> Vec<Finding> {
    verify(world).await.findings
}

#[tokio::test]
async fn what_has_happened_is_sealed_and_nothing_is_found() {
    let world = world().await;
    let verdict = verify(&world).await;
    assert_eq!((verdict.findings, verdict.unsealed, verdict.old), (Vec::new(), 0, 0));
    assert!(verdict.sealed > 8 && i64::try_from(verdict.sealed) == Ok(verdict.end));
    world.sign_in(ALICE).await;
    sealed(&world).await;
    let later = verify(&world).await;
    assert!(later.findings.is_empty() && later.end > verdict.end && later.end_hash != verdict.end_hash);
}

#[tokio::test]
async fn a_record_that_is_altered_is_named_in_whatever_it_was() {
    for change in [
        "reason = NULL",
        "create_time = create_time + 1",
        "source = '192.0.2.1'",
        "subject_id = NULL",
        "kind = 'authn_login_success'",
        "request_id = ''",
        "mac = NULL",
    ] {
        let world = world().await;
        let failed = "SELECT MAX(position) AS n FROM audit_events WHERE kind = 'authn_login_fail'";
        let at = world.count(failed).await;
        world.execute(&format!("UPDATE audit_events SET {change} WHERE position = {at}")).await;
        let found = findings(&world).await;
        assert!(!found.is_empty(), "{change}");
        let is_named = |finding: &Finding| match finding {
            Finding::Altered { position, .. } | Finding::Unauthenticated { position, .. } => *position == Some(at),
            Finding::Replaced { position, .. } => *position == at,
            Finding::Missing { .. } | Finding::Unsigned { .. } | Finding::Outside { .. } | Finding::End { .. } => false,
        };
        assert!(found.iter().all(is_named), "{change}: {found:?}");
    }
}

#[tokio::test]
async fn records_that_are_removed_are_named_by_their_places() {
    let world = world().await;
    world.execute("DELETE FROM audit_events WHERE position = 3 OR position = 4 OR position = 7").await;
    let expected = [Finding::Missing { from: 3, to: 4 }, Finding::Missing { from: 7, to: 7 }];
    assert_eq!(findings(&world).await, expected);
}

#[tokio::test]
async fn the_last_ones_cannot_be_removed_either() {
    let world = world().await;
    let end = verify(&world).await.end;
    world.execute(&format!("DELETE FROM audit_events WHERE position > {}", end - 2)).await;
    assert_eq!(findings(&world).await, [Finding::End { signed: end, found: end - 2 }]);
    // Nor when the end is set back: nobody but the service can sign it.
    world.execute(&format!("UPDATE audit_chain SET position = {}", end - 2)).await;
    assert!(findings(&world).await.contains(&Finding::Unsigned { position: end - 2 }));
}

#[tokio::test]
async fn records_that_change_places_are_found() {
    let world = world().await;
    for (from, to) in [(5, -1), (6, 5), (-1, 6)] {
        world.execute(&format!("UPDATE audit_events SET position = {to} WHERE position = {from}")).await;
    }
    let found = findings(&world).await;
    let replaced =
        |at| move |finding: &Finding| matches!(finding, Finding::Replaced { position, .. } if *position == at);
    assert!(found.iter().any(replaced(5)) && found.iter().any(replaced(6)), "{found:?}");
}

#[tokio::test]
async fn a_record_that_the_service_has_not_written_is_found() {
    let world = world().await;
    let copy = "INSERT INTO audit_events (id, create_time, kind, source, user_agent, request_id) \
                SELECT user_id, 1, 'authn_login_success', '192.0.2.1', label, '' FROM factors WHERE method = 'totp'";
    world.execute(copy).await;
    sealed(&world).await;
    let found = findings(&world).await;
    assert!(matches!(found.as_slice(), [Finding::Unauthenticated { .. }]), "{found:?}");
}

pub async fn list(world: &World, token: &str, request: pb::ListAuditEventsRequest) -> pb::ListAuditEventsResponse {
    world.admin.clone().list_audit_events(with_token(request, token)).await.unwrap().into_inner()
}

#[tokio::test]
async fn it_is_listed_the_last_first_by_page_and_by_what_is_looked_for() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    let any = pb::ListAuditEventsRequest::default;
    let all = list(&world, &admin, any()).await.audit_events;
    let positions: Vec<_> = all.iter().map(|event| event.position).collect();
    assert!(positions.is_sorted_by(|a, b| a > b) && positions.last() == Some(&1), "{positions:?}");
    let (mut token, mut paged) = (String::new(), Vec::new());
    loop {
        let page = list(&world, &admin, pb::ListAuditEventsRequest { page_size: 3, page_token: token, ..any() }).await;
        paged.extend(
            page.audit_events.iter().map(|event| event.position).filter(|position| positions.contains(position)),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(paged, positions);
    let kinds = vec!["authn_login_fail".to_owned()];
    let failed = list(&world, &admin, pb::ListAuditEventsRequest { kinds: kinds.clone(), ..any() }).await.audit_events;
    assert_eq!(failed.len(), 3);
    assert!(failed.iter().all(|event| event.reason == "INVALID_CREDENTIALS" && event.user_id.starts_with("usr_")));
    let user_id = failed[0].user_id.clone();
    let own = list(&world, &admin, pb::ListAuditEventsRequest { user_id, ..any() }).await.audit_events;
    assert!(own.len() > failed.len() && own.iter().all(|event| event.user_id == failed[0].user_id));
    let source = "192.0.2.1".to_owned();
    assert!(list(&world, &admin, pb::ListAuditEventsRequest { source, ..any() }).await.audit_events.is_empty());
    let before_time = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
    assert!(list(&world, &admin, pb::ListAuditEventsRequest { before_time, ..any() }).await.audit_events.is_empty());
    let malformed = pb::ListAuditEventsRequest { user_id: "nobody".to_owned(), ..any() };
    let refused = world.admin.clone().list_audit_events(with_token(malformed, &admin)).await;
    assert_eq!(reason(refused), "INVALID_ARGUMENT");
}

/// Follows the log over gRPC, whatever wire the world speaks.
pub async fn follow(
    world: &World,
    token: &str,
    resume_token: &str,
) -> Result<Streaming<pb::WatchAuditEventsResponse>, Status> {
    let request = pb::WatchAuditEventsRequest { resume_token: resume_token.to_owned(), ..Default::default() };
    let mut client = pb::admin_service_client::AdminServiceClient::new(world.channel.clone());
    client.watch_audit_events(with_token(request, token)).await.map(Response::into_inner)
}

pub async fn next(
    stream: &mut Streaming<pb::WatchAuditEventsResponse>,
) -> Result<Option<pb::WatchAuditEventsResponse>, Status> {
    tokio::time::timeout(Duration::from_secs(10), stream.message()).await.expect("nothing came")
}

#[tokio::test]
async fn whoever_follows_it_sees_every_record_in_order_and_goes_on_where_they_were() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    let mut stream = follow(&world, &admin, "0").await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(next(&mut stream).await.unwrap().unwrap());
    }
    drop(stream);
    let mut stream = follow(&world, &admin, &seen.last().unwrap().resume_token).await.unwrap();
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    while seen.last().unwrap().audit_event.as_ref().unwrap().kind != "authn_login_fail" || seen.len() < 16 {
        seen.push(next(&mut stream).await.unwrap().unwrap());
    }
    let positions: Vec<_> = seen.iter().map(|event| event.audit_event.as_ref().unwrap().position).collect();
    assert_eq!(positions, (1..).take(seen.len()).collect::<Vec<_>>(), "each, once, in order");
    assert_eq!(reason(follow(&world, &admin, "nonsense").await), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn it_is_followed_from_now_on_and_no_longer_than_the_session_lives() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    let mut stream = follow(&world, &admin, "").await.unwrap();
    world.local_auth("nobody@example.com", PASSWORD).await.unwrap_err();
    loop {
        let event = next(&mut stream).await.unwrap().unwrap().audit_event.unwrap();
        // What the call itself and the enrolment have left may come first.
        if event.kind == "authn_login_fail" {
            assert_eq!(event.user_id, "");
            break;
        }
    }
    world.end(&admin, false).await.unwrap();
    let ended = loop {
        match next(&mut stream).await {
            Ok(Some(_)) => {}
            ended => break ended,
        }
    };
    assert_eq!(reason(ended), "UNAUTHENTICATED");
}

#[tokio::test]
async fn nobody_can_have_the_service_sign_what_they_have_made_of_the_chain() {
    // The end is set where somebody wants it: it is not gone on from, and stays unsigned.
    let world = world().await;
    let end = verify(&world).await.end;
    world.execute(&format!("DELETE FROM audit_events WHERE position > {}", end - 1)).await;
    world.execute(&format!("UPDATE audit_chain SET position = {}", end - 1)).await;
    // Also by a process that has seen no more than that.
    let world = world.restarted().await;
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(
        world.count("SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL").await > 0,
        "nothing is sealed"
    );
    assert!(findings(&world).await.contains(&Finding::Unsigned { position: end - 1 }));
}

#[tokio::test]
async fn a_chain_that_is_set_back_to_its_beginning_is_not_sealed_anew() {
    let world = world().await;
    world.execute("DELETE FROM audit_events WHERE position = 2").await;
    world.execute("UPDATE audit_events SET position = NULL, chain_hash = NULL, seal_time = NULL").await;
    let nothing = if Stack::chosen() == Stack::Postgres { "'\\x'" } else { "x''" };
    let zeros = if Stack::chosen() == Stack::Postgres {
        format!("'\\x{}'", "00".repeat(32))
    } else {
        format!("x'{}'", "00".repeat(32))
    };
    let back = format!("UPDATE audit_chain SET position = 0, hash = {zeros}, key_id = '', signature = {nothing}");
    world.execute(&back).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let unsealed = world.count("SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL").await;
    assert!(unsealed > 5, "this process has seen a longer one");
    // A process that has not seals it, late, and verifying says so.
    world.advance(120);
    let world = world.restarted().await;
    sealed(&world).await;
    let verdict = verify(&world).await;
    assert!(verdict.late > 5 && verdict.late_time.is_some(), "{verdict:?}");
}

#[tokio::test]
async fn a_record_where_the_log_does_not_reach_is_found_and_shown_to_nobody() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    let far = "UPDATE audit_events SET position = 1000000000 WHERE position = 1";
    world.execute(far).await;
    let found = findings(&world).await;
    assert!(found.contains(&Finding::Outside { position: 1_000_000_000 }), "{found:?}");
    assert!(found.contains(&Finding::Missing { from: 1, to: 1 }), "{found:?}");
    let listed = list(&world, &admin, pb::ListAuditEventsRequest::default()).await.audit_events;
    assert!(listed.iter().all(|event| event.position < 1000));
    let mut stream = follow(&world, &admin, "").await.unwrap();
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    assert!(next(&mut stream).await.unwrap().unwrap().audit_event.unwrap().position < 1000);
}

#[tokio::test]
async fn a_lease_without_end_holds_nobody_up() {
    let world = world().await;
    world.execute("UPDATE audit_chain SET lease_holder = 'somebody', lease_end_time = 9000000000000000").await;
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    sealed(&world).await;
    assert!(findings(&world).await.is_empty());
}

/// Makes the database refuse every new record.
async fn refuse_records(world: &World) {
    let statements: &[&str] = match Stack::chosen() {
        Stack::Sqlite => {
            &["CREATE TRIGGER closed BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, 'closed'); END"]
        }
        // Not even a fault: the insert vanishes.
        Stack::Postgres => &["CREATE RULE closed AS ON INSERT TO audit_events DO INSTEAD NOTHING"],
        Stack::Mariadb => &[
            "CREATE TRIGGER closed BEFORE INSERT ON audit_events FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'closed'",
        ],
    };
    for statement in statements {
        world.execute(statement).await;
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_answer_and_nothing_changes() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    let bob = world.sign_in(BOB).await;
    let state = async || {
        let mut counts = Vec::new();
        for table in ["sessions", "factors", "spent_challenges", "buckets", "password_tokens", "audit_events"] {
            counts.push(world.count(&format!("SELECT COUNT(*) AS n FROM {table}")).await);
        }
        counts.push(world.count("SELECT COALESCE(SUM(security_version), 0) AS n FROM users").await);
        counts.push(world.count("SELECT COALESCE(SUM(spent), 0) AS n FROM factors").await);
        counts
    };
    sealed(&world).await;
    let before = state().await;
    refuse_records(&world).await;
    assert_eq!(reason(world.local_auth(BOB, PASSWORD).await), "INTERNAL");
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "INTERNAL");
    assert_eq!(reason(world.verify(&challenge, &app.code_in(1)).await), "INTERNAL");
    assert_eq!(reason(world.refresh(&bob.refresh_token).await), "INTERNAL");
    assert_eq!(reason(world.enable(&bob.access_token).await), "INTERNAL");
    assert_eq!(reason(world.disable(&token, pb::DisableRequest::default()).await), "INTERNAL");
    assert_eq!(reason(world.end(&token, true).await), "INTERNAL");
    assert!(world.is_good(&token).await && world.is_good(&bob.access_token).await);
    let mut after = state().await;
    // A password that was paid for may have left its place behind.
    after[3] = before[3];
    assert_eq!(after, before);
}

#[tokio::test]
async fn guessing_that_has_to_wait_leaves_a_record_of_its_own() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let challenge = world.challenge(ALICE).await;
    for n in 1..=5 {
        assert_eq!(world.audited("authn_login_lock").await, 0, "{n}");
        assert_eq!(reason(world.verify(&challenge, &app.wrong_code()).await), "INVALID_CODE");
    }
    assert_eq!(world.audited("authn_login_lock").await, 1);
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &app.code_in(1)).await), "RATE_LIMITED");
    assert_eq!(world.audited("authn_login_lock").await, 1, "a wait is told once");
    for email in [BOB, "nobody@example.com"] {
        for _ in 0..5 {
            assert_eq!(reason(world.local_auth(email, "wrong password 1").await), "INVALID_CREDENTIALS");
        }
        assert_eq!(reason(world.local_auth(email, PASSWORD).await), "RATE_LIMITED");
    }
    let known = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_login_lock' AND subject_id IS NOT NULL AND count = 5";
    assert_eq!(
        (world.audited("authn_login_lock").await, world.count(known).await),
        (3, 2),
        "of names that nobody has, too"
    );
}
