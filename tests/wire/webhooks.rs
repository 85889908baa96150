//! The webhook: what is told, signed and in which words; and what becomes of it while nobody takes it.

use std::time::Duration;

use countersign::{
    app::{Schema, open_store},
    clock::Clock,
    flow::notify,
    model::Channel,
    wire::pb,
};

use crate::{
    provider::Provider,
    receiver::{Posted, Receiver, SECRETS},
    world::{ADMIN, ALICE, World, reason, with_token},
};

async fn world(more: &[&str]) -> (World, Receiver) {
    let receiver = Receiver::start().await;
    let mut sets = receiver.sets();
    sets.extend(more.iter().map(|set| (*set).to_owned()));
    let world = World::with(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    begun(&world).await;
    (world, receiver)
}

/// Waits until the log is read for the webhook: it is told of what happens from then on.
async fn begun(world: &World) {
    for _ in 0..400 {
        if world.count("SELECT COUNT(*) AS n FROM delivery_cursors").await > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("nobody reads the log");
}

async fn waiting(world: &World) -> i64 {
    world.count("SELECT COUNT(*) AS n FROM deliveries").await
}

async fn settled(world: &World, count: i64) {
    for _ in 0..800 {
        if waiting(world).await == count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{} wait, not {count}", waiting(world).await);
}

fn kinds(posted: &[Posted]) -> Vec<String> {
    posted.iter().map(Posted::kind).collect()
}

#[tokio::test]
async fn what_matters_is_told_once_signed_by_each_secret_and_without_one() {
    let (world, receiver) = world(&["webhook.failure_threshold=5"]).await;
    let (app, confirmed) = world.enrol_whole(ALICE).await;
    world.sign_in_with(ALICE, &confirmed.backup_codes[0]).await;
    for _ in 0..5 {
        assert!(world.local_auth(ALICE, "wrong password 1").await.is_err());
    }
    world.advance(3600);
    let challenge = world.challenge(ALICE).await;
    let token = world.verify(&challenge, &app.code()).await.unwrap().access_token;
    world.advance(30);
    let all = pb::DisableRequest { code: app.code(), ..pb::DisableRequest::default() };
    world.disable(&token, all).await.unwrap();
    let (_, admin) = world.enrol(ADMIN).await;
    let settings = pb::Settings {
        sms_code_life: Some(prost_types::Duration { seconds: 240, nanos: 0 }),
        ..pb::Settings::default()
    };
    world.update_settings(&admin, settings).await.unwrap();

    let expected = [
        "account.locked",
        "backup_code.used",
        "backup_codes.created",
        "backup_codes.created",
        "factor.created",
        "factor.created",
        "factor.deleted",
        "factor.deleted",
        "settings.updated",
        "sign_in_failures.exceeded",
    ];
    let posted = receiver.wait_for(expected.len()).await;
    settled(&world, 0).await;
    let mut told = kinds(&receiver.posted());
    told.sort();
    assert_eq!(told, expected);
    for one in &posted {
        assert!(SECRETS.into_iter().all(|secret| one.is_signed_with(secret)), "{one:?}");
        assert_eq!(one.header("content-type"), "application/json");
        let text = String::from_utf8_lossy(&one.body);
        for secret in [app.code().as_str(), &confirmed.backup_codes[0], "hunter2", ALICE, &token] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    let exceeded = posted.iter().find(|one| one.kind() == "sign_in_failures.exceeded").unwrap().json();
    assert_eq!(
        (exceeded["data"]["failures"].as_i64(), exceeded["data"]["windowSeconds"].as_i64()),
        (Some(5), Some(600))
    );
    let ids: std::collections::BTreeSet<_> = posted.iter().map(Posted::id).collect();
    assert_eq!(ids.len(), posted.len());
    // Each names the record that it tells of.
    for one in &posted {
        let (json, at) = (one.json(), one.position());
        let kind = json["data"]["kind"].as_str().unwrap();
        let of = format!("SELECT COUNT(*) AS n FROM audit_events WHERE position = {at} AND kind = '{kind}'");
        assert_eq!(world.count(&of).await, 1, "{json}");
    }
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_told() {
    let (world, receiver) = world(&["webhook.topics=policy_changes"]).await;
    let (_, admin) = world.enrol(ADMIN).await;
    let settings = pb::Settings {
        sms_code_life: Some(prost_types::Duration { seconds: 240, nanos: 0 }),
        ..pb::Settings::default()
    };
    world.update_settings(&admin, settings).await.unwrap();
    receiver.wait_for(1).await;
    // What else there was lies before it in the log, and would be on its way with it.
    settled(&world, 0).await;
    assert_eq!(kinds(&receiver.posted()), ["settings.updated"]);
}

#[tokio::test]
async fn failures_are_counted_anew_in_each_window() {
    let (world, receiver) = world(&["webhook.failure_threshold=3", "webhook.topics=sign_in_failures"]).await;
    for wait in [0, 0, 600, 0] {
        world.advance(wait);
        assert!(world.local_auth(ALICE, "wrong password 1").await.is_err());
    }
    assert!(world.local_auth(ALICE, "wrong password 1").await.is_err());
    let posted = receiver.wait_for(1).await;
    let last = world.count("SELECT MAX(position) AS n FROM audit_events WHERE kind = 'authn_login_fail'").await;
    assert_eq!(
        (posted[0].kind().as_str(), posted[0].position()),
        ("sign_in_failures.exceeded", last),
        "two, and three"
    );
}

#[tokio::test]
async fn what_nobody_takes_is_tried_again_and_all_of_it_comes_in_the_end() {
    let (world, receiver) = world(&[]).await;
    receiver.answers(503);
    world.enrol(ALICE).await;
    let first = receiver.wait_for(2).await;
    settled(&world, 2).await;
    // 5 s, 10 s, 20 s: not before.
    let mut tries = 2;
    for wait in [5, 10, 20] {
        world.advance(wait - 1);
        tokio::time::sleep(Duration::from_millis(1200)).await;
        assert_eq!(receiver.posted().len(), tries, "{wait}");
        world.advance(1);
        tries += 2;
        receiver.wait_for(tries).await;
        settled(&world, 2).await;
        // Each try is over before the clock moves on.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // What happens meanwhile is told too; and a restart forgets nothing.
    let world = world.restarted().await;
    world.enrol(ADMIN).await;
    receiver.wait_for(tries + 2).await;
    receiver.answers(204);
    world.advance(3600);
    settled(&world, 0).await;
    let posted = receiver.posted();
    let taken = &posted[tries + 2..];
    assert_eq!(taken.len(), 4, "each once: {:?}", kinds(taken));
    for one in &first {
        let again = taken.iter().find(|again| again.id() == one.id()).unwrap();
        assert_eq!(again.body, one.body, "the same event under the same id");
        assert_ne!(again.header("webhook-timestamp"), one.header("webhook-timestamp"));
        assert!(again.is_signed_with(SECRETS[0]));
    }
}

#[tokio::test]
async fn what_is_given_up_can_be_looked_at_and_tried_again() {
    let (world, receiver) = world(&[]).await;
    receiver.answers(500);
    world.enrol(ALICE).await;
    receiver.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.advance(3 * 24 * 3600 - 5);
    receiver.wait_for(4).await;
    let given_up = "SELECT COUNT(*) AS n FROM deliveries WHERE due_time IS NULL AND failure = 'it answered 500'";
    for _ in 0..400 {
        if world.count(given_up).await == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let (store, _) = open_store(&world.config, Schema::AsConfigured, world.clock.now()).await.unwrap();
    let letters = store.given_up_deliveries(None, 10).await.unwrap();
    assert_eq!(letters.iter().map(|one| one.attempts).collect::<Vec<_>>(), [2, 2]);
    let backlog = store.delivery_backlog(Channel::Webhook).await.unwrap();
    assert_eq!((backlog.waiting, backlog.given_up), (0, 2));
    receiver.answers(200);
    assert_eq!(notify::retry(&store, Some(letters[0].id), world.clock.now()).await.unwrap(), 1);
    assert_eq!(receiver.wait_for(5).await[4].id(), letters[0].id.to_string());
    assert_eq!(notify::retry(&store, None, world.clock.now()).await.unwrap(), 1);
    receiver.wait_for(6).await;
    settled(&world, 0).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_who_is_gone_is_not_asked_again() {
    let (world, receiver) = world(&["webhook.topics=factor_changes"]).await;
    receiver.answers(410);
    world.enrol(ALICE).await;
    receiver.wait_for(2).await;
    world.advance(3600);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(receiver.posted().len(), 2);
    assert_eq!(world.count("SELECT COUNT(*) AS n FROM deliveries WHERE due_time IS NULL").await, 2);
}

#[tokio::test]
async fn an_event_lies_sealed_and_one_that_was_changed_is_not_told() {
    let (world, receiver) = world(&[]).await;
    receiver.answers(500);
    world.enrol(ALICE).await;
    receiver.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let in_clear = "SELECT COUNT(*) AS n FROM deliveries WHERE body LIKE '%factor%'";
    if crate::stack::Stack::chosen() == crate::stack::Stack::Sqlite {
        assert_eq!(world.count(in_clear).await, 0);
    }
    // The body of one under the id of the other.
    world.execute("CREATE TABLE moved AS SELECT * FROM deliveries").await;
    world.execute("UPDATE deliveries SET body = (SELECT body FROM moved WHERE moved.kind <> deliveries.kind)").await;
    receiver.answers(200);
    world.advance(3600);
    let unreadable = "SELECT COUNT(*) AS n FROM deliveries WHERE failure = 'it cannot be read any more'";
    for _ in 0..400 {
        if world.count(unreadable).await == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!((world.count(unreadable).await, receiver.posted().len()), (2, 2));
    // Others go on.
    world.enrol(ADMIN).await;
    receiver.wait_for(4).await;
}

#[tokio::test]
async fn the_budget_of_text_messages_is_told_when_it_runs_low_and_out() {
    let provider = Provider::start().await;
    let mut sets = provider.twilio();
    sets.push("sms.daily_budget=2".to_owned());
    sets.push("webhook.topics=sms_budget".to_owned());
    let (world, receiver) = world(&sets.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let alice = world.sign_in(ALICE).await.access_token;
    for number in ["+306912345678", "+306987654321"] {
        let request = pb::EnableRequest {
            method: pb::Method::Phone.into(),
            phone_number: number.to_owned(),
            ..pb::EnableRequest::default()
        };
        world.twofa.clone().enable(with_token(request, &alice)).await.unwrap();
    }
    let mut told = kinds(&receiver.wait_for(2).await);
    told.sort();
    assert_eq!(told, ["sms_budget.exhausted", "sms_budget.low"]);
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_call() {
    // It takes connections, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("webhook.url=http://{}", silent.local_addr().unwrap());
    let secret = format!("webhook.secret={}", SECRETS[0]);
    let world = World::with(&[url.as_str(), secret.as_str()]).await;
    begun(&world).await;
    let (_, token) = world.enrol(ALICE).await;
    let _held = tokio::time::timeout(Duration::from_secs(20), silent.accept()).await.expect("nobody came").unwrap();
    assert!(world.is_good(&token).await);
    assert_eq!(reason(world.local_auth(ALICE, "wrong password 1").await), "INVALID_CREDENTIALS");
    assert_eq!(waiting(&world).await, 2);
}
