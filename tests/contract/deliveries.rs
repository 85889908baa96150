//! The outbox: each delivery in one hand at a time, and what is put in together with how far the audit log was read for it.

use std::time::Duration;

use countersign::{
    clock::{ManualClock, Timestamp},
    config::{Config, Layers},
    flow::notify,
    model::{Channel, Cursor, Delivery},
    store::{NewDelivery, Store},
    swap::Swap,
    webhook::Webhook,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    home::on_every_home,
    kit::{Bench, NOW, call},
};

fn seconds(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

async fn insert(store: &Store) {
    let tx = store.begin().await.unwrap();
    let new = NewDelivery { channel: Channel::Webhook, kind: "factor.created", body: b"{}" };
    tx.insert_delivery(&new, NOW).await.unwrap();
    tx.commit().await.unwrap();
}

/// Takes the one that is due, until a moment; None = there is none.
async fn claim(store: &Store, now: Timestamp, until: Timestamp) -> Option<Delivery> {
    let mut claimed = store.claim_due_deliveries(Channel::Webhook, 10, until, now).await.unwrap();
    assert!(claimed.len() < 2);
    claimed.pop()
}

#[tokio::test]
async fn whoever_takes_one_to_try_it_is_the_only_one_until_it_is_due_again() {
    on_every_home(async |store| {
        insert(&store).await;
        let (one, two, three) = tokio::join!(
            claim(&store, NOW, seconds(60)),
            claim(&store, NOW, seconds(60)),
            claim(&store, NOW, seconds(60))
        );
        let mut taken = [one, two, three].into_iter().flatten();
        let one = taken.next().unwrap();
        assert!(taken.next().is_none(), "one of three");
        assert!(claim(&store, seconds(59), seconds(119)).await.is_none());
        let again = claim(&store, seconds(60), seconds(120)).await.unwrap();
        assert_eq!((again.id, one.attempts, again.attempts), (one.id, 1, 2), "whoever took it has died");
        // The one that was thought dead has nothing to say of it any more.
        store.put_delivery_off(&one, None, "too late", seconds(61)).await.unwrap();
        let kept = claim(&store, seconds(120), seconds(125)).await.unwrap();
        assert_eq!((kept.attempts, kept.failure.clone()), (3, None));
        store.put_delivery_off(&kept, Some(seconds(130)), "it answered 503", seconds(121)).await.unwrap();
        assert!(claim(&store, seconds(129), seconds(200)).await.is_none());
        let last = claim(&store, seconds(130), seconds(200)).await.unwrap();
        assert_eq!(last.failure.as_deref(), Some("it answered 503"));
    })
    .await;
}

#[tokio::test]
async fn one_that_was_given_up_and_is_tried_again_is_as_new() {
    on_every_home(async |store| {
        insert(&store).await;
        let one = claim(&store, NOW, seconds(60)).await.unwrap();
        store.put_delivery_off(&one, None, "it answered 410", NOW).await.unwrap();
        assert!(claim(&store, seconds(1_000_000), seconds(1_000_060)).await.is_none());
        let later = seconds(900_000);
        assert_eq!(store.given_up_deliveries(None, 10).await.unwrap()[0].give_up_time, Some(NOW));
        assert_eq!(store.revive_deliveries(Some(one.id), later).await.unwrap(), 1);
        let again = claim(&store, later, seconds(900_060)).await.unwrap();
        assert_eq!((again.id, again.attempts, again.create_time), (one.id, 1, later), "for three days from now on");
        assert_eq!(store.revive_deliveries(None, later).await.unwrap(), 0, "what waits is left as it is");
    })
    .await;
}

#[tokio::test]
async fn a_reader_goes_on_from_where_it_was_and_from_nowhere_else() {
    on_every_home(async |store| {
        let at = |position| Cursor { position, failures: 3, window_end: NOW };
        store.begin_delivery_cursor("webhook", 7).await.unwrap();
        store.begin_delivery_cursor("webhook", 9).await.unwrap();
        assert_eq!(store.delivery_cursor("webhook").await.unwrap().unwrap().position, 7, "it has begun");
        for (from, to, swap) in [(6, 20, Swap::Stale), (7, 8, Swap::Done), (7, 20, Swap::Stale)] {
            let tx = store.begin().await.unwrap();
            assert_eq!(tx.move_delivery_cursor("webhook", &at(from), &at(to)).await.unwrap(), swap);
            tx.commit().await.unwrap();
        }
        assert_eq!(store.delivery_cursor("webhook").await.unwrap(), Some(at(8)));
    })
    .await;
}

/// A bench that tells a webhook at this address.
async fn bench(address: &str) -> Bench {
    let mut bench = Bench::new(&[]).await;
    let sets = [
        format!("webhook.url=http://{address}/"),
        "webhook.secret=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=".to_owned(),
    ];
    let config = Config::read(Layers::load(None, &sets)).unwrap();
    bench.kit.webhook = Some(Webhook::new(&config.webhook.unwrap()).unwrap());
    bench
}

/// Takes what is due and hands it over, as a service does.
async fn hand_over(bench: &Bench, now: Timestamp) -> usize {
    let due = notify::claim_due(&bench.kit, Channel::Webhook, 10, &call(now)).await.unwrap();
    let clock = ManualClock::at(now);
    for one in &due {
        notify::hand_over(&bench.kit, one, &clock).await.unwrap();
    }
    due.len()
}

#[tokio::test]
async fn one_that_is_on_its_way_is_tried_by_nobody_else() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = bench(&silent.local_addr().unwrap().to_string()).await;
    insert(&bench.kit.store).await;
    let meanwhile = async {
        let (stream, _) = silent.accept().await.unwrap();
        for at in [NOW, seconds(179)] {
            assert_eq!(hand_over(&bench, at).await, 0);
        }
        assert_eq!(bench.count("SELECT attempts AS n FROM deliveries").await, 1);
        drop(stream);
    };
    let (sent, ()) = tokio::join!(hand_over(&bench, NOW), meanwhile);
    assert_eq!(sent, 1);
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'the connection broke'").await, 1);
}

#[tokio::test]
async fn one_that_is_older_than_three_days_is_not_sent_any_more() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = bench(&silent.local_addr().unwrap().to_string()).await;
    insert(&bench.kit.store).await;
    // The service was down for that long.
    tokio::select! {
        biased;
        done = hand_over(&bench, seconds(3 * 24 * 3600 + 1)) => assert_eq!(done, 1),
        _ = silent.accept() => panic!("it was sent"),
    }
    let given_up = "SELECT COUNT(*) AS n FROM deliveries WHERE due_time IS NULL AND failure = 'it is too old'";
    assert_eq!(bench.count(given_up).await, 1);
}

#[tokio::test]
async fn an_event_goes_to_the_address_that_is_configured_and_is_led_to_no_other() {
    let (here, there) =
        (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let bench = bench(&here.local_addr().unwrap().to_string()).await;
    insert(&bench.kit.store).await;
    let answer = async {
        let (mut stream, _) = here.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let there = there.local_addr().unwrap();
        let led = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{there}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(led.as_bytes()).await.unwrap();
        stream
    };
    let sending = async { tokio::join!(hand_over(&bench, NOW), answer) };
    tokio::select! {
        biased;
        (sent, _) = sending => assert_eq!(sent, 1),
        _ = there.accept() => panic!("it was led on"),
    }
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'it answered 307'").await, 1);
}
