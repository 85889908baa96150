//! What an ephemeral store promises.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use countersign::{
    clock::Timestamp,
    ephemeral::{EntryHash, Ephemeral, Kind, Memory, NewEntry, Payment, Shelf, SourceWindow, Try},
    error::{Error, Refusal},
};
use tokio::task::JoinSet;

use crate::{redis, servers};

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const SHELF: Shelf = [1; 16];
const OTHER_SHELF: Shelf = [2; 16];
pub const LOGIN: Kind = Kind { name: "login", capacity: 3 };
const ENROLMENT: Kind = Kind { name: "enroll_totp", capacity: 1 };

pub fn entry(kind: Kind, name: u8, attempts: u32) -> NewEntry {
    let end_time = NOW.plus(Duration::from_secs(300));
    NewEntry { kind, hash: hash(name), sealed: vec![name], attempts, end_time }
}

pub fn hash(name: u8) -> EntryHash {
    [name; 32]
}

/// Runs a promise on every home.
async fn on_every_home<F: Future<Output = ()>>(promise: impl Fn(Arc<dyn Ephemeral>) -> F) {
    promise(Arc::new(Memory::new(1000))).await;
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("redis.key_prefix=promise-{}:", NUMBER.fetch_add(1, Ordering::Relaxed));
    promise(Arc::new(redis::store(&servers::redis::shared_url(), &[prefix]))).await;
}

#[tokio::test]
async fn an_entry_gives_as_many_attempts_as_it_has_and_no_more() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 2), NOW).await.unwrap();
        let first = store.take(SHELF, hash(1), NOW).await.unwrap().unwrap();
        assert_eq!((first.hash, first.sealed, first.attempts_left), (hash(1), vec![1], 1));
        assert_eq!(first.end_time, NOW.plus(Duration::from_secs(300)));
        assert_eq!(store.take(SHELF, hash(1), NOW).await.unwrap().unwrap().attempts_left, 0);
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
        store.give_back(SHELF, hash(1)).await.unwrap();
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_some());
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_taken_at_once_are_never_more_than_there_are() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..100 {
            let store = Arc::clone(&store);
            calls.spawn(async move { store.take(SHELF, hash(1), NOW).await.unwrap() });
        }
        let taken = calls.join_all().await.into_iter().flatten().count();
        assert_eq!(taken, 5);
    })
    .await;
}

#[tokio::test]
async fn an_entry_ends_at_its_own_end_time() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        assert!(store.take(SHELF, hash(1), NOW.plus(Duration::from_millis(299_999))).await.unwrap().is_some());
        assert!(store.take(SHELF, hash(1), NOW.plus(Duration::from_secs(300))).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_full_shelf_lets_the_oldest_of_the_kind_die() {
    on_every_home(async |store| {
        store.open(SHELF, entry(ENROLMENT, 9, 5), NOW).await.unwrap();
        for name in 1..=4 {
            store.open(SHELF, entry(LOGIN, name, 5), NOW).await.unwrap();
        }
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
        for name in [2, 3, 4, 9] {
            assert!(store.take(SHELF, hash(name), NOW).await.unwrap().is_some(), "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_newest_of_a_kind_is_found_without_its_name() {
    on_every_home(async |store| {
        assert!(store.take_newest(SHELF, ENROLMENT, NOW).await.unwrap().is_none());
        store.open(SHELF, entry(ENROLMENT, 1, 5), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 5), NOW).await.unwrap();
        store.open(SHELF, entry(ENROLMENT, 3, 5), NOW).await.unwrap();
        assert_eq!(store.take_newest(SHELF, ENROLMENT, NOW).await.unwrap().unwrap().hash, hash(3));
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none(), "a new one ends the one before");
        assert!(store.take_newest(OTHER_SHELF, ENROLMENT, NOW).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn looking_at_an_entry_takes_no_attempt() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 1), NOW).await.unwrap();
        for _ in 0..3 {
            let found = store.find(SHELF, hash(1), NOW).await.unwrap().unwrap();
            assert_eq!((found.sealed, found.attempts_left), (vec![1], 1));
        }
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_some());
        assert_eq!(store.find(SHELF, hash(1), NOW).await.unwrap().unwrap().attempts_left, 0);
        assert!(store.find(SHELF, hash(2), NOW).await.unwrap().is_none());
        assert!(store.find(SHELF, hash(1), NOW.plus(Duration::from_secs(300))).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_closed_entry_is_gone_and_its_neighbours_stay() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 5), NOW).await.unwrap();
        store.close(SHELF, hash(1)).await.unwrap();
        store.close(SHELF, hash(1)).await.unwrap();
        store.give_back(SHELF, hash(1)).await.unwrap();
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none());
        assert!(store.take(SHELF, hash(2), NOW).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn an_entry_is_found_on_its_own_shelf_alone() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        assert!(store.take(OTHER_SHELF, hash(1), NOW).await.unwrap().is_none());
        store.close(OTHER_SHELF, hash(1)).await.unwrap();
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn memory_is_bounded_and_what_has_ended_makes_room() {
    let store = Memory::new(10);
    for name in 0..10 {
        store.open([name; 16], entry(LOGIN, name, 5), NOW).await.unwrap();
    }
    let full = store.open([99; 16], entry(LOGIN, 99, 5), NOW).await;
    assert!(matches!(full, Err(Error::Refused(Refusal::RateLimited { retry_after: Some(_) }))));
    let later = NOW.plus(Duration::from_secs(300));
    let fresh = NewEntry { end_time: later.plus(Duration::from_secs(1)), ..entry(LOGIN, 99, 5) };
    store.open([99; 16], fresh, later).await.unwrap();
    store.close([99; 16], hash(99)).await.unwrap();
    store.sweep(later).await.unwrap();
    for name in 0..10 {
        let fresh = NewEntry { end_time: later.plus(Duration::from_secs(1)), ..entry(LOGIN, name, 5) };
        store.open([name; 16], fresh, later).await.unwrap();
    }
}

const WINDOW: SourceWindow = SourceWindow { capacity: 3, span: Duration::from_secs(600) };
const SOURCE: [u8; 32] = [1; 32];

#[tokio::test]
async fn a_source_may_be_wrong_so_often_in_a_window_and_no_more() {
    on_every_home(async |store| {
        let pay = async |now| store.pay(SOURCE, WINDOW, now).await.unwrap();
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        for _ in 0..3 {
            assert_eq!(pay(at(0)).await, Payment::Paid);
            store.settle(SOURCE, Try::Failed, at(1)).await.unwrap();
        }
        assert_eq!(pay(at(599)).await, Payment::Full { end_time: at(600) });
        assert_eq!(store.pay([2; 32], WINDOW, at(599)).await.unwrap(), Payment::Paid, "another source");
        assert_eq!(pay(at(600)).await, Payment::Paid, "a new window");
        store.settle(SOURCE, Try::Failed, at(600)).await.unwrap();
        assert_eq!((pay(at(601)).await, pay(at(601)).await), (Payment::Paid, Payment::Paid));
    })
    .await;
}

#[tokio::test]
async fn a_try_that_is_under_way_keeps_its_place_until_it_is_settled() {
    on_every_home(async |store| {
        let pay = async || store.pay(SOURCE, WINDOW, NOW).await.unwrap();
        assert_eq!((pay().await, pay().await, pay().await), (Payment::Paid, Payment::Paid, Payment::Paid));
        assert_eq!(pay().await, Payment::Wait);
        store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        assert_eq!((pay().await, pay().await), (Payment::Paid, Payment::Wait));
        for _ in 0..2 {
            store.settle(SOURCE, Try::Failed, NOW).await.unwrap();
        }
        assert_eq!(pay().await, Payment::Wait, "one was never settled");
        store.settle(SOURCE, Try::TakenBack, NOW).await.unwrap();
        assert_eq!(pay().await, Payment::Paid);
        for _ in 0..9 {
            store.settle([9; 32], Try::TakenBack, NOW).await.unwrap();
            store.settle([9; 32], Try::Failed, NOW).await.unwrap();
        }
        assert_eq!(store.pay([9; 32], WINDOW, NOW).await.unwrap(), Payment::Paid, "nothing was paid for these");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_paid_at_once_are_never_more_than_there_may_be() {
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
