//! The outbox: each delivery in one hand at a time, and what is put in together with how far the audit log was read for it.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
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

/// The one that is due.
async fn due(store: &Store, now: Timestamp) -> Option<Delivery> {
    let mut due = store.due_deliveries(Channel::Webhook, now, 10).await.unwrap();
    assert!(due.len() < 2);
    due.pop()
}

#[tokio::test]
async fn whoever_takes_one_to_try_it_is_the_only_one_until_it_is_due_again() {
    on_every_home(async |store| {
        insert(&store).await;
        let (one, same) = (due(&store, NOW).await.unwrap(), due(&store, NOW).await.unwrap());
        let tried = |attempts: i64| Delivery { attempts, ..due_like(&same) };
        let due_at = |due_time: Timestamp| Delivery { due_time: Some(due_time), ..due_like(&same) };
        // As it looked to whoever looked at another time.
        for other in [tried(1), due_at(seconds(1)), due_at(seconds(0).minus(Duration::from_secs(1)))] {
            assert_eq!(store.claim_delivery(&other, seconds(60)).await.unwrap(), Swap::Stale);
        }
        assert_eq!(store.claim_delivery(&one, seconds(60)).await.unwrap(), Swap::Done);
        assert_eq!(store.claim_delivery(&same, seconds(60)).await.unwrap(), Swap::Stale, "it is in another hand");
        assert!(due(&store, seconds(59)).await.is_none());
        let again = due(&store, seconds(60)).await.unwrap();
        assert_eq!((again.id, again.attempts), (one.id, 1), "whoever took it has died");
        assert_eq!(store.claim_delivery(&again, seconds(120)).await.unwrap(), Swap::Done);
        // The one that was thought dead has nothing to say of it any more.
        store.put_delivery_off(one.id, 1, None, "too late").await.unwrap();
        let kept = due(&store, seconds(120)).await.unwrap();
        assert_eq!((kept.attempts, kept.failure), (2, None));
        store.put_delivery_off(one.id, 2, Some(seconds(130)), "it answered 503").await.unwrap();
        assert!(due(&store, seconds(129)).await.is_none());
        assert_eq!(due(&store, seconds(130)).await.unwrap().failure.as_deref(), Some("it answered 503"));
    })
    .await;
}

fn due_like(one: &Delivery) -> Delivery {
    let Delivery { id, channel, create_time, due_time, attempts, .. } = *one;
    Delivery { id, channel, kind: one.kind.clone(), body: None, create_time, due_time, attempts, failure: None }
}

#[tokio::test]
async fn one_that_was_given_up_and_is_tried_again_is_as_new() {
    on_every_home(async |store| {
        insert(&store).await;
        let one = due(&store, NOW).await.unwrap();
        assert_eq!(store.claim_delivery(&one, seconds(60)).await.unwrap(), Swap::Done);
        store.put_delivery_off(one.id, 1, None, "it answered 410").await.unwrap();
        assert!(due(&store, seconds(1_000_000)).await.is_none());
        let later = seconds(900_000);
        assert_eq!(store.revive_deliveries(Some(one.id), later).await.unwrap(), 1);
        let again = due(&store, later).await.unwrap();
        assert_eq!((again.id, again.attempts, again.create_time), (one.id, 0, later), "for three days from now on");
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

#[tokio::test]
async fn one_that_is_on_its_way_is_tried_by_nobody_else() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = bench(&silent.local_addr().unwrap().to_string()).await;
    insert(&bench.kit.store).await;
    let now = call(NOW);
    let sending = notify::hand_over(&bench.kit, Channel::Webhook, &now);
    let meanwhile = async {
        let (stream, _) = silent.accept().await.unwrap();
        for at in [NOW, seconds(59)] {
            notify::hand_over(&bench.kit, Channel::Webhook, &call(at)).await.unwrap();
        }
        assert_eq!(bench.count("SELECT attempts AS n FROM deliveries").await, 1);
        drop(stream);
    };
    let (sent, ()) = tokio::join!(sending, meanwhile);
    sent.unwrap();
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'the connection broke'").await, 1);
}

#[tokio::test]
async fn one_that_is_older_than_three_days_is_not_sent_any_more() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = bench(&silent.local_addr().unwrap().to_string()).await;
    insert(&bench.kit.store).await;
    // The service was down for that long.
    let late = call(seconds(3 * 24 * 3600 + 1));
    tokio::select! {
        biased;
        done = notify::hand_over(&bench.kit, Channel::Webhook, &late) => { done.unwrap(); }
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
    let now = call(NOW);
    let answer = async {
        let (mut stream, _) = here.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let there = there.local_addr().unwrap();
        let led = format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{there}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(led.as_bytes()).await.unwrap();
        stream
    };
    let sending = async { tokio::join!(notify::hand_over(&bench.kit, Channel::Webhook, &now), answer) };
    tokio::select! {
        biased;
        (sent, _) = sending => assert!(!sent.unwrap()),
        _ = there.accept() => panic!("it was led on"),
    }
    assert_eq!(bench.count("SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'it answered 307'").await, 1);
}
