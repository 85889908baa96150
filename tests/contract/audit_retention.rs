//! The audit log is kept for as long as is configured, in whole ranges, and is verified from where it then begins.

use std::time::Duration;

use countersign::{
    flow::audit::{Finding, Sealer, Verdict, retire_audit, seal_audit, verify_audit},
    model::{Event, EventKind},
};

use crate::kit::{Bench, NOW, call};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn record(bench: &Bench, count: usize, age: Duration) {
    let call = call(NOW.minus(age));
    let tx = bench.kit.store.begin().await.unwrap();
    for _ in 0..count {
        tx.record(&Event::about_nobody(EventKind::LoginFail, &call.origin), call.now).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn verify(bench: &Bench) -> Verdict {
    verify_audit(&bench.kit.store, &bench.kit.ring, &bench.kit.access.keys()).await.unwrap()
}

#[tokio::test]
async fn whole_ranges_go_when_all_of_them_is_old_and_the_rest_is_verified_as_before() {
    let bench = Bench::new(&[]).await;
    let sealer = Sealer::new(&call(NOW));
    for (count, age) in [(1500, DAY * 3), (700, DAY * 2), (300, Duration::ZERO)] {
        record(&bench, count, age).await;
        while seal_audit(&bench.kit, &sealer, &call(NOW), NOW).await.unwrap() > 0 {}
    }
    let all = verify(&bench).await;
    assert_eq!((all.sealed, all.findings.len()), (2500, 0));
    // Whoever makes a record older has nothing dropped by that.
    bench.execute("UPDATE audit_events SET create_time = 0 WHERE position = 2400").await;
    bench.execute("UPDATE audit_events SET create_time = create_time + 1 WHERE position = 900").await;
    retire_audit(&bench.kit, DAY, &call(NOW)).await.unwrap();
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events").await, 2500);
    bench.execute("UPDATE audit_events SET create_time = create_time - 1 WHERE position = 900").await;
    for _ in 0..2 {
        retire_audit(&bench.kit, DAY, &call(NOW)).await.unwrap();
        let count = bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE position IS NOT NULL").await;
        assert_eq!(count, 500, "2200 are old, and of them 2000 are whole ranges");
    }
    let young = NOW.millis();
    bench.execute(&format!("UPDATE audit_events SET create_time = {young} WHERE position = 2400")).await;
    let rest = verify(&bench).await;
    assert_eq!((rest.sealed, rest.unsealed, rest.end), (500, 1, 2500), "and that they went is recorded, once");
    assert!(rest.findings.is_empty(), "{:?}", rest.findings);

    // Whoever removes more cannot say that it was dropped.
    bench.execute("DELETE FROM audit_events WHERE position <= 2100").await;
    assert_eq!(verify(&bench).await.findings, [Finding::Missing { from: 2001, to: 2100 }]);
    let begin = "UPDATE audit_chain SET anchor_position = position, anchor_hash = hash, anchor_key_id = key_id, \
                 anchor_signature = signature";
    bench.execute(begin).await;
    assert!(verify(&bench).await.findings.contains(&Finding::Unsigned { position: 2500 }), "an end is no beginning");
}

#[tokio::test]
async fn whoever_sets_where_the_log_begins_has_nothing_dropped_by_that() {
    let bench = Bench::new(&[]).await;
    record(&bench, 3, Duration::ZERO).await;
    while seal_audit(&bench.kit, &Sealer::new(&call(NOW)), &call(NOW), NOW).await.unwrap() > 0 {}
    for anchor in [3, i64::MAX] {
        bench.execute(&format!("UPDATE audit_chain SET anchor_position = {anchor}")).await;
        retire_audit(&bench.kit, DAY, &call(NOW)).await.unwrap();
        assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events").await, 3, "{anchor}");
        assert!(verify(&bench).await.findings.contains(&Finding::Unsigned { position: anchor }));
    }
}

#[tokio::test]
async fn a_record_at_the_first_or_the_last_place_that_there_is_ends_no_round() {
    let bench = Bench::new(&[]).await;
    record(&bench, 3, Duration::ZERO).await;
    while seal_audit(&bench.kit, &Sealer::new(&call(NOW)), &call(NOW), NOW).await.unwrap() > 0 {}
    for place in [i64::MIN, i64::MIN + 1, i64::MAX] {
        bench
            .execute(&format!(
                "UPDATE audit_events SET position = {place} WHERE position = (SELECT MIN(position) FROM audit_events)"
            ))
            .await;
        for now in [NOW, NOW.plus(DAY * 3)] {
            retire_audit(&bench.kit, DAY, &call(now)).await.unwrap();
        }
    }
}
