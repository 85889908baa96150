//! What the readers of the audit log put into the outbox and what they leave out: how old, how often, how much at once.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
    config::{Config, Layers},
    flow::{
        audit::{Sealer, seal_audit},
        notify,
    },
    mail::Mail,
    model::{Email, Event, EventKind, Method, NEW_NETWORK, SessionId},
    webhook::Webhook,
};

use crate::kit::{Bench, NOW, call};

const ALICE: &str = "alice@example.com";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// When a challenge of now has been left for long enough.
const LATER: Timestamp = Timestamp::from_seconds(1_800_000_000 + 400);

/// A bench that tells a webhook and sends mail, both of which nobody takes; its readers have begun.
async fn bench() -> (Bench, Sealer) {
    let mut bench = Bench::new(&[ALICE]).await;
    let sets = [
        "webhook.url=http://127.0.0.1:9/",
        "webhook.secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=",
        "mail.host=127.0.0.1",
        "mail.security=none",
        "mail.from=no-reply@example.com",
    ];
    let config = Config::read(Layers::load(None, &sets.map(str::to_owned))).unwrap();
    bench.kit.webhook = Some(Webhook::new(&config.webhook.unwrap()).unwrap());
    bench.kit.mail = Some(Mail::new(&config.mail.unwrap(), "Countersign").unwrap());
    assert_eq!(collect(&bench, NOW).await, [true; 3]);
    (bench, Sealer::new(&call(NOW)))
}

/// Lets each reader go on; answers which of them could.
async fn collect(bench: &Bench, now: Timestamp) -> [bool; 3] {
    let call = call(now);
    [
        notify::collect_events(&bench.kit, &call).await.is_ok(),
        notify::collect_notices(&bench.kit, &call).await.is_ok(),
        notify::collect_abandoned(&bench.kit, &call).await.is_ok(),
    ]
}

/// Records something of an account so many times, and seals it with all that there is.
async fn record(own: &(Bench, Sealer), kind: EventKind, event: impl Fn(Event<'_>) -> Event<'_>, count: usize) {
    record_at(NOW, own, kind, event, count).await;
}

async fn record_at(
    now: Timestamp,
    (bench, sealer): &(Bench, Sealer),
    kind: EventKind,
    event: impl Fn(Event<'_>) -> Event<'_>,
    count: usize,
) {
    let (call, alice) = (call(now), Email::parse(ALICE).unwrap());
    let alice = bench.kit.store.find_account_by_email(&alice).await.unwrap().unwrap().id;
    let tx = bench.kit.store.begin().await.unwrap();
    for _ in 0..count {
        tx.record(&event(Event::of(kind, alice, &call.origin)), now).await.unwrap();
    }
    tx.commit().await.unwrap();
    assert!(seal_audit(&bench.kit, sealer, &call, now).await.unwrap() >= count);
}

fn totp(event: Event<'_>) -> Event<'_> {
    event.method(Method::Totp)
}

async fn waiting(bench: &Bench, kind: &str) -> i64 {
    bench.count(&format!("SELECT COUNT(*) AS n FROM deliveries WHERE kind = '{kind}'")).await
}

async fn read(bench: &Bench) -> i64 {
    bench.count("SELECT SUM(position) AS n FROM delivery_cursors").await
}

#[tokio::test]
async fn what_could_not_be_put_in_is_read_again_and_put_in_once() {
    let own = bench().await;
    let bench = &own.0;
    record(&own, EventKind::FactorCreated, totp, 1).await;
    record(&own, EventKind::ChallengeCreated, |event| event, 1).await;
    let before = read(bench).await;
    let full = "CREATE TRIGGER full BEFORE INSERT ON deliveries BEGIN SELECT RAISE(ABORT, 'full'); END";
    bench.execute(full).await;
    assert_eq!(collect(bench, LATER).await, [false; 3]);
    assert_eq!(read(bench).await, before, "no reader is further than what it has put in");
    bench.execute("DROP TRIGGER full").await;
    for _ in 0..2 {
        assert_eq!(collect(bench, LATER).await, [true; 3]);
        for kind in ["factor.created", "factor_added", "one_factor_passed"] {
            assert_eq!(waiting(bench, kind).await, 1, "{kind}");
        }
    }
    assert!(read(bench).await > before);
}

#[tokio::test]
async fn what_is_older_than_three_days_when_it_is_read_is_not_told() {
    let own = bench().await;
    let bench = &own.0;
    record(&own, EventKind::FactorCreated, totp, 1).await;
    record(&own, EventKind::ChallengeCreated, |event| event, 1).await;
    let before = read(bench).await;
    assert_eq!(collect(bench, NOW.plus(DAY * 3)).await, [true; 3]);
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries").await, 0);
    assert!(read(bench).await > before, "nor looked at again");
}

#[tokio::test]
async fn a_user_is_told_of_five_new_networks_in_a_day_and_of_one_sign_in_an_hour() {
    let own = bench().await;
    let bench = &own.0;
    record(&own, EventKind::ChallengeCreated, |event| event.note(NEW_NETWORK), 7).await;
    assert_eq!(collect(bench, LATER).await, [true; 3]);
    assert_eq!((waiting(bench, "new_network").await, waiting(bench, "one_factor_passed").await), (5, 1));
}

#[tokio::test]
async fn a_challenge_of_a_session_that_nobody_answers_is_no_sign_in() {
    let own = bench().await;
    let bench = &own.0;
    let session = SessionId::new(NOW);
    record(&own, EventKind::ChallengeCreated, |event| event.session(session), 1).await;
    assert_eq!(collect(bench, LATER).await, [true; 3]);
    assert_eq!(waiting(bench, "one_factor_passed").await, 0);
}

#[tokio::test]
async fn an_outbox_that_is_full_takes_nothing_more_and_nothing_is_lost_by_that() {
    let own = bench().await;
    let bench = &own.0;
    let fill = "INSERT INTO deliveries (id, channel, kind, body, create_time, due_time, attempts) \
                WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
                SELECT randomblob(16), channel, 'old', x'', 1, 1, 1 FROM n, (SELECT 'webhook' AS channel UNION SELECT 'mail')";
    bench.execute(fill).await;
    record(&own, EventKind::FactorCreated, totp, 1).await;
    assert_eq!(collect(bench, LATER).await, [true; 3]);
    assert_eq!((waiting(bench, "factor.created").await, waiting(bench, "factor_added").await), (0, 0));
    let one = "DELETE FROM deliveries WHERE id IN (SELECT MIN(id) FROM deliveries GROUP BY channel)";
    bench.execute(one).await;
    assert_eq!(collect(bench, LATER).await, [true; 3]);
    assert_eq!((waiting(bench, "factor.created").await, waiting(bench, "factor_added").await), (1, 1));
}

#[tokio::test]
async fn a_sign_in_is_completed_by_a_success_while_its_challenge_is_open_and_by_no_other() {
    // Two replicas may have recorded them the wrong way round.
    for (seconds, is_before, told) in [(0, true, 0), (359, false, 0), (361, false, 1)] {
        let own = bench().await;
        let success = NOW.plus(Duration::from_secs(seconds));
        if is_before {
            record_at(success, &own, EventKind::LoginSuccess, |event| event, 1).await;
        }
        record(&own, EventKind::ChallengeCreated, |event| event, 1).await;
        if !is_before {
            record_at(success, &own, EventKind::LoginSuccess, |event| event, 1).await;
        }
        assert_eq!(collect(&own.0, LATER).await, [true; 3]);
        assert_eq!(waiting(&own.0, "one_factor_passed").await, told, "a success after {seconds} s");
    }
}

#[tokio::test]
async fn whoever_begins_to_read_begins_with_what_comes_then() {
    let own = bench().await;
    let bench = &own.0;
    record(&own, EventKind::FactorCreated, totp, 1).await;
    bench.execute("DELETE FROM delivery_cursors").await;
    for _ in 0..2 {
        assert_eq!(collect(bench, LATER).await, [true; 3]);
    }
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries").await, 0);
    record(&own, EventKind::FactorCreated, totp, 1).await;
    assert_eq!(collect(bench, LATER).await, [true; 3]);
    assert_eq!((waiting(bench, "factor.created").await, waiting(bench, "factor_added").await), (1, 1));
}
