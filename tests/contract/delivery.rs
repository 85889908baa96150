//! What becomes of text messages when the service stops: one that was begun is seen through, one that waits costs nothing.

use std::{
    future::{Future, ready},
    sync::Arc,
};

use countersign::{
    clock::{Clock, ManualClock},
    config::{Config, Layers},
    error::{Error, Refusal},
    flow::{self, EnableRequest, Enabled, Kit, Letters, Outbox},
    model::{Caller, Method},
    sms::Sms,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

use crate::kit::{Bench, NOW, call};

const ALICE: &str = "alice@example.com";

/// A bench that sends by a gateway at this address, one who may enrol a phone, and what they would be sent.
async fn bench(gateway: &TcpListener) -> (Bench, Caller, Letters) {
    let mut bench = Bench::new(&[ALICE]).await;
    let sets = [
        "sms.provider=http".to_owned(),
        "sms.allowed_countries=GR".to_owned(),
        format!("sms.http.url=http://{}/?to={{to}}&text={{text}}", gateway.local_addr().unwrap()),
    ];
    let sms = Config::read(Layers::load(None, &sets)).unwrap().sms.unwrap();
    bench.kit.sms = Some(Sms::new(&sms, "Countersign").unwrap());
    let (outbox, letters) = Outbox::new();
    bench.kit.outbox = outbox;
    let token = bench.token(ALICE).await;
    let caller = bench.admit("TwoFaService/Enable", &token, NOW).await.unwrap();
    (bench, caller, letters)
}

async fn enable(kit: &Kit, caller: &Caller) -> Result<Enabled, Error> {
    let request = EnableRequest {
        method: Some(Method::Phone),
        phone_number: "+306912345678".to_owned(),
        label: String::new(),
        replaces: None,
    };
    flow::enable(kit, caller, request, &call(NOW)).await
}

async fn deliver(kit: &Arc<Kit>, letters: Letters, stop: impl Future<Output = ()>) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    flow::deliver(Arc::clone(kit), letters, clock, stop).await;
}

async fn sent_today(kit: &Kit) -> i64 {
    flow::sms_status(&kit.store, &kit.ring, 1000, NOW).await.unwrap().sent
}

#[tokio::test]
async fn a_message_that_waits_when_the_service_stops_is_not_sent_and_costs_nothing() {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (bench, caller, letters) = bench(&gateway).await;
    let kit = Arc::new(bench.kit);
    let (enabled, ()) = tokio::join!(enable(&kit, &caller), async {
        while letters.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sent_today(&kit).await, 1, "it is paid for");
        deliver(&kit, letters, ready(())).await;
        assert_eq!(sent_today(&kit).await, 0, "and paid back");
    });
    assert!(matches!(enabled, Err(Error::Refused(Refusal::SmsDeliveryFailed))));
    tokio::select! {
        biased;
        _ = gateway.accept() => panic!("it was sent"),
        () = ready(()) => {}
    }
}

#[tokio::test]
async fn a_message_that_was_begun_when_the_service_stops_is_seen_through() {
    let gateway = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (bench, caller, letters) = bench(&gateway).await;
    let kit = Arc::new(bench.kit);
    let (stop, stopped) = oneshot::channel::<()>();
    let answer = async {
        let (mut stream, _) = gateway.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        stop.send(()).unwrap();
        // The one that delivers learns of the stop, before the gateway answers.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    };
    let delivery = deliver(&kit, letters, async { stopped.await.unwrap() });
    let (enabled, (), ()) = tokio::join!(enable(&kit, &caller), delivery, answer);
    assert!(enabled.is_ok());
    assert_eq!(sent_today(&kit).await, 1);
    assert!(kit.outbox.is_closed(), "no more are taken");
}
