//! What somebody writes into the audit log that no record can be: it is named, and holds nothing else up.

use std::time::Duration;

use countersign::{flow::audit::Finding, wire::pb};

use crate::{
    audit::{findings, follow, list, next, sealed, verify, world},
    stack::Stack,
    world::{ADMIN, ALICE, World, reason},
};

/// The other databases refuse what a column cannot hold.
fn takes_anything() -> bool {
    Stack::chosen() == Stack::Sqlite
}

/// One more record, sealed.
async fn one_more(world: &World) {
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    sealed(world).await;
}

#[tokio::test]
async fn a_sealed_record_that_cannot_be_read_any_more_is_named_and_the_rest_is_verified_and_sealed() {
    if !takes_anything() {
        return;
    }
    let world = world().await;
    let end = verify(&world).await.end;
    let damages = [
        "kind = CAST(x'ff' AS TEXT)",
        "source = x'fffe'",
        "create_time = 'yesterday'",
        "subject_id = x'00'",
        "seal_time = 'never'",
        "count = 'many'",
    ];
    for damage in damages {
        world.execute("CREATE TABLE kept AS SELECT * FROM audit_events WHERE position = 4").await;
        world.execute(&format!("UPDATE audit_events SET {damage} WHERE position = 4")).await;
        let verdict = verify(&world).await;
        assert!(
            verdict.findings.iter().any(|one| matches!(one, Finding::Altered { position: Some(4), .. })),
            "{damage}: {:?}",
            verdict.findings
        );
        assert_eq!(i64::try_from(verdict.sealed), Ok(verdict.end), "{damage}: all the others are looked at");
        one_more(&world).await;
        world.execute("DELETE FROM audit_events WHERE position = 4").await;
        world.execute("INSERT INTO audit_events SELECT * FROM kept").await;
        world.execute("DROP TABLE kept").await;
    }
    let verdict = verify(&world).await;
    assert!(verdict.findings.is_empty() && verdict.end > end, "as it was before: {verdict:?}");
}

/// Adds a record of which these are time, kind and source; the first of those that are not sealed.
async fn plant(world: &World, values: &str) {
    let insert = format!(
        "INSERT INTO audit_events (id, create_time, kind, source, user_agent, request_id) \
         VALUES (x'00000000000070008000000000000001', {values}, x'', '')"
    );
    world.execute(&insert).await;
}

#[tokio::test]
async fn a_record_that_could_never_be_read_is_sealed_with_the_others_and_named() {
    if !takes_anything() {
        return;
    }
    for values in [
        "1, CAST(x'ff' AS TEXT), '192.0.2.1'",
        "1, 'authn_login_fail', x'fffe'",
        "'yesterday', 'authn_login_fail', '192.0.2.1'",
    ] {
        let world = world().await;
        let at = verify(&world).await.end + 1;
        plant(&world, values).await;
        sealed(&world).await;
        one_more(&world).await;
        let verdict = verify(&world).await;
        let named = |one: &Finding| matches!(one, Finding::Altered { position, .. } if *position == Some(at));
        assert!(verdict.findings.iter().any(named), "{values}: {:?}", verdict.findings);
        assert!(verdict.unsealed == 0 && verdict.end > at, "{values}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_record_at_the_largest_place_that_there_is_is_found_and_holds_nothing_up() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    for position in [1, 2] {
        world.execute(&format!("UPDATE audit_events SET position = {} WHERE position = {position}", i64::MAX)).await;
    }
    one_more(&world).await;
    let found = findings(&world).await;
    assert!(found.contains(&Finding::Outside { position: i64::MAX }), "{found:?}");
    assert!(found.contains(&Finding::Missing { from: 1, to: 2 }), "{found:?}");
    let listed = list(&world, &admin, pb::ListAuditEventsRequest::default()).await.audit_events;
    assert!(!listed.is_empty() && listed.iter().all(|event| event.position < 1000));
    let end = verify(&world).await.end;
    let mut stream = follow(&world, &admin, "0").await.unwrap();
    one_more(&world).await;
    for position in 3..=end + 1 {
        let event = next(&mut stream).await.unwrap().unwrap().audit_event.unwrap();
        assert_eq!(event.position, position, "and nothing from beyond the end");
    }
    // And whoever asks to go on from there is shown nothing, rather than what comes round again.
    assert!(follow(&world, &admin, &i64::MAX.to_string()).await.is_ok());
}

#[tokio::test]
async fn an_end_at_the_largest_place_that_there_is_is_not_gone_on_from() {
    let world = world().await;
    let (_, admin) = world.enrol(ADMIN).await;
    sealed(&world).await;
    let end = verify(&world).await.end;
    world.execute(&format!("UPDATE audit_chain SET position = {}", i64::MAX)).await;
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let unsealed = "SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL";
    assert!(world.count(unsealed).await > 0, "nothing is sealed");
    let found = findings(&world).await;
    assert!(found.contains(&Finding::Unsigned { position: i64::MAX }), "{found:?}");
    assert!(found.contains(&Finding::End { signed: i64::MAX, found: end }), "{found:?}");
    let listed = list(&world, &admin, pb::ListAuditEventsRequest::default()).await.audit_events;
    assert!(!listed.is_empty());
    let mut stream = follow(&world, &admin, "0").await.unwrap();
    assert_eq!(next(&mut stream).await.unwrap().unwrap().audit_event.unwrap().position, 1);
    // When it is put back, the log goes on where it was.
    world.execute(&format!("UPDATE audit_chain SET position = {end}")).await;
    sealed(&world).await;
    assert_eq!(reason(world.local_auth(ALICE, "wrong password 2").await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_the_only_one_that_is_accused_and_whoever_reads_goes_on_past_it() {
    if !takes_anything() {
        return;
    }
    for damage in ["source = x'fffe'", "user_agent = 7", "seal_time = 'never'", "chain_hash = 7", "mac = 5"] {
        let world = world().await;
        let (_, admin) = world.enrol(ADMIN).await;
        sealed(&world).await;
        world.execute(&format!("UPDATE audit_events SET {damage} WHERE position = 4")).await;
        let found = findings(&world).await;
        assert!(
            found.iter().any(|one| matches!(one, Finding::Altered { position: Some(4), .. })),
            "{damage}: {found:?}"
        );
        if !damage.contains("chain_hash") {
            let is_about_it = |one: &Finding| {
                matches!(one, Finding::Altered { position: Some(4), .. } | Finding::Replaced { position: 4, .. })
            };
            assert!(found.iter().all(is_about_it), "{damage}: {found:?}");
        }
        let listed = list(&world, &admin, pb::ListAuditEventsRequest::default()).await.audit_events;
        assert!(listed.iter().any(|event| event.position == 4 && event.kind == "damaged"), "{damage}");
        let mut stream = follow(&world, &admin, "3").await.unwrap();
        for position in 4..7 {
            assert_eq!(next(&mut stream).await.unwrap().unwrap().audit_event.unwrap().position, position, "{damage}");
        }
    }
}

#[tokio::test]
async fn a_record_whose_id_or_place_cannot_be_read_holds_nothing_up_either() {
    if !takes_anything() {
        return;
    }
    let world = world().await;
    plant(&world, "1, 'authn_login_fail', '192.0.2.1'").await;
    world.execute("UPDATE audit_events SET id = x'00' WHERE id = x'00000000000070008000000000000001'").await;
    world.execute("UPDATE audit_events SET position = 'here' WHERE position = 4").await;
    world.execute("UPDATE audit_events SET id = x'ff' WHERE position = 5").await;
    let end = verify(&world).await.end;
    world.local_auth(ALICE, "wrong password 2").await.unwrap_err();
    let mut verdict = verify(&world).await;
    for _ in 0..400 {
        if verdict.end > end {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        verdict = verify(&world).await;
    }
    assert!(verdict.end > end, "it is sealed on");
    assert_eq!(verdict.unsealed, 1, "what has no id has no place");
    let found = &verdict.findings;
    assert!(found.contains(&Finding::Missing { from: 4, to: 4 }), "{found:?}");
    assert!(found.contains(&Finding::Outside { position: i64::MAX }), "{found:?}");
    assert!(found.iter().any(|one| matches!(one, Finding::Altered { position: Some(5), .. })), "{found:?}");
    let in_the_tail = |one: &Finding| {
        matches!(one, Finding::Altered { position: None, .. } | Finding::Unauthenticated { position: None, .. })
    };
    assert!(found.iter().any(in_the_tail), "{found:?}");
}
