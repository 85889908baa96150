//! The audit log where its numbers end: it says so, and nothing comes round again.

use countersign::{
    audit,
    error::Error,
    flow::audit::{Finding, Sealer, seal_audit, verify_audit},
    model::{ChainPoint, Event, EventKind},
    seal::hex,
};

use crate::kit::{Bench, NOW, call};

async fn record(bench: &Bench, count: usize) {
    let tx = bench.kit.store.begin().await.unwrap();
    for _ in 0..count {
        let origin = call(NOW).origin;
        tx.record(&Event::about_nobody(EventKind::LoginFail, &origin), NOW).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn seal(bench: &Bench, sealer: &Sealer) -> Result<usize, Error> {
    seal_audit(&bench.kit, sealer, &call(NOW), NOW).await
}

async fn findings(bench: &Bench) -> Vec<Finding> {
    verify_audit(&bench.kit.store, &bench.kit.ring, &bench.kit.access.keys()).await.unwrap().findings
}

/// Puts the end of the chain somewhere, signed as the service would sign it.
async fn end_at(bench: &Bench, position: i64) {
    let (_, end) = bench.kit.store.audit_chain().await.unwrap();
    let end = ChainPoint { position, ..end };
    let (key_id, signature) = bench.kit.access.keys().sign(&audit::head(&end)).unwrap();
    let signature = hex(&signature);
    let set = format!("UPDATE audit_chain SET position = {position}, key_id = '{key_id}', signature = x'{signature}'");
    bench.execute(&set).await;
}

#[tokio::test]
async fn a_chain_that_is_as_long_as_it_can_be_is_gone_on_from_no_further() {
    let (bench, sealer) = (Bench::new(&[]).await, Sealer::new(&call(NOW)));
    record(&bench, 2).await;
    end_at(&bench, i64::MAX - 1).await;
    // Two records, and room for one.
    let fault = seal(&bench, &sealer).await.unwrap_err();
    assert!(format!("{fault:?}").contains("as long as it can be"), "{fault:?}");
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM audit_events WHERE position IS NULL").await, 2, "all or nothing");
    bench.execute("DELETE FROM audit_events WHERE id = (SELECT MAX(id) FROM audit_events)").await;
    assert_eq!(seal(&bench, &sealer).await.unwrap(), 1);
    assert_eq!(bench.count("SELECT MAX(position) AS n FROM audit_events").await, i64::MAX);
    record(&bench, 1).await;
    assert!(seal(&bench, &sealer).await.is_err());
    assert_eq!(findings(&bench).await, [Finding::Missing { from: 1, to: i64::MAX - 1 }]);
    // Two at that place.
    bench.execute(&format!("UPDATE audit_events SET position = {} WHERE position IS NULL", i64::MAX)).await;
    let found = findings(&bench).await;
    let is_replaced = |one: &Finding| matches!(one, Finding::Replaced { position: i64::MAX, .. });
    assert!(found.iter().any(is_replaced), "{found:?}");
}
