//! What an ephemeral store promises of sources that are wrong.

use std::{sync::Arc, time::Duration};

use countersign::ephemeral::{Payment, SourceHash, SourceWindow, Try};
use tokio::task::JoinSet;

use crate::ephemeral::{NOW, on_every_home};

const SOURCE: SourceHash = [1; 32];
const OTHER_SOURCE: SourceHash = [2; 32];
const WINDOW: SourceWindow = SourceWindow { capacity: 3, span: Duration::from_secs(600) };

#[tokio::test]
async fn a_source_that_was_wrong_as_often_as_it_may_is_told_until_when() {
    on_every_home(async |store| {
        for second in 0..3 {
            let now = NOW.plus(Duration::from_secs(second));
            assert_eq!(store.pay(SOURCE, WINDOW, now).await.unwrap(), Payment::Paid);
            store.settle(SOURCE, Try::Failed, now).await.unwrap();
        }
        let end_time = NOW.plus(WINDOW.span);
        let last = NOW.plus(WINDOW.span - Duration::from_millis(1));
        assert_eq!(store.pay(SOURCE, WINDOW, last).await.unwrap(), Payment::Full { end_time });
        assert_eq!(store.pay(OTHER_SOURCE, WINDOW, last).await.unwrap(), Payment::Paid);
        assert_eq!(store.pay(SOURCE, WINDOW, end_time).await.unwrap(), Payment::Paid);
    })
    .await;
}

#[tokio::test]
async fn a_try_waits_while_others_under_way_may_still_fill_the_window() {
    on_every_home(async |store| {
        for _ in 0..3 {
            assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
        }
        assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Wait);
        store.settle(SOURCE, Try::Failed, NOW).await.unwrap();
        assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Wait);
        store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_is_taken_back_was_never_made() {
    on_every_home(async |store| {
        for _ in 0..10 {
            assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
            store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_is_never_settled_counts_until_the_window_ends() {
    on_every_home(async |store| {
        for _ in 0..3 {
            assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
        }
        let last = NOW.plus(WINDOW.span - Duration::from_millis(1));
        assert_eq!(store.pay(SOURCE, WINDOW, last).await.unwrap(), Payment::Wait);
        let end = NOW.plus(WINDOW.span);
        // They have nothing to take back in the next window.
        store.settle(SOURCE, Try::TakenBack, end).await.unwrap();
        for _ in 0..3 {
            assert_eq!(store.pay(SOURCE, WINDOW, end).await.unwrap(), Payment::Paid);
        }
        assert_eq!(store.pay(SOURCE, WINDOW, end).await.unwrap(), Payment::Wait);
    })
    .await;
}

#[tokio::test]
async fn settling_what_was_not_paid_makes_no_room() {
    on_every_home(async |store| {
        store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
        for _ in 0..5 {
            store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        }
        for _ in 0..3 {
            assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Paid);
        }
        assert_eq!(store.pay(SOURCE, WINDOW, NOW).await.unwrap(), Payment::Wait);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_made_at_once_are_never_more_than_there_is_room() {
    on_every_home(async |store| {
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let store = Arc::clone(&store);
            calls.spawn(async move { store.pay(SOURCE, WINDOW, NOW).await.unwrap() });
        }
        let paid = calls.join_all().await.into_iter().filter(|payment| *payment == Payment::Paid).count();
        assert_eq!(paid, 3);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_there_answers() {
    on_every_home(async |store| {
        store.ping().await.unwrap();
        store.sweep(NOW).await.unwrap();
    })
    .await;
}
