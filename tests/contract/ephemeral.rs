//! What an ephemeral store promises.

use std::{sync::Arc, time::Duration};

use countersign::{
    clock::Timestamp,
    ephemeral::{EntryHash, Ephemeral, Kind, Memory, NewEntry, Newest, Shelf, Taken},
    error::{Error, Refusal},
    swap::Swap,
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

/// The entry that was taken, if one was.
pub fn newest(newest: Result<Newest, Error>) -> Option<Taken> {
    match newest.unwrap() {
        Newest::Nothing => None,
        Newest::Taken(taken) => Some(taken),
        Newest::Several => panic!("several"),
    }
}

pub fn hash(name: u8) -> EntryHash {
    [name; 32]
}

/// Runs a promise on every home.
pub async fn on_every_home<F: Future<Output = ()>>(promise: impl Fn(Arc<dyn Ephemeral>) -> F) {
    promise(Arc::new(Memory::new(1000))).await;
    promise(Arc::new(redis::store(&servers::redis::url(servers::redis::shared())))).await;
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
async fn what_has_ended_or_is_opened_again_takes_no_place() {
    on_every_home(async |store| {
        let short = NewEntry { end_time: NOW.plus(Duration::from_secs(1)), ..entry(LOGIN, 1, 5) };
        store.open(SHELF, short, NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 5), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 3, 5), NOW).await.unwrap();
        let later = NOW.plus(Duration::from_secs(1));
        store.open(SHELF, entry(LOGIN, 4, 5), later).await.unwrap();
        store.open(SHELF, entry(LOGIN, 4, 7), later).await.unwrap();
        for (name, left) in [(2, 4), (3, 4), (4, 6)] {
            assert_eq!(store.take(SHELF, hash(name), later).await.unwrap().unwrap().attempts_left, left, "{name}");
        }
        // Opened again, it is the newest: the others die before it.
        store.open(SHELF, entry(LOGIN, 2, 5), later).await.unwrap();
        store.open(SHELF, entry(LOGIN, 5, 5), later).await.unwrap();
        assert!(store.find(SHELF, hash(3), later).await.unwrap().is_none());
        assert!(store.find(SHELF, hash(2), later).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn the_newest_gives_no_attempt_when_it_has_none_although_an_older_one_has() {
    on_every_home(async |store| {
        store.open(SHELF, entry(LOGIN, 1, 5), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 1), NOW).await.unwrap();
        assert_eq!(newest(store.take_newest(SHELF, &[LOGIN], NOW).await).unwrap().hash, hash(2));
        assert!(newest(store.take_newest(SHELF, &[LOGIN], NOW).await).is_none());
        store.give_back(SHELF, hash(2)).await.unwrap();
        assert!(newest(store.take_newest(SHELF, &[LOGIN], NOW.plus(Duration::from_secs(300))).await).is_none());
        assert!(newest(store.take_newest(SHELF, &[LOGIN], NOW).await).is_some());
    })
    .await;
}

#[tokio::test]
async fn any_bytes_can_be_kept() {
    on_every_home(async |store| {
        for length in [0, 1, 255, 70_000] {
            let sealed: Vec<u8> = (0..=255).cycle().take(length).collect();
            let new = NewEntry { sealed: sealed.clone(), ..entry(LOGIN, 0, 5) };
            store.open(SHELF, new, NOW).await.unwrap();
            assert_eq!(store.find(SHELF, hash(0), NOW).await.unwrap().unwrap().sealed, sealed);
        }
    })
    .await;
}

#[tokio::test]
async fn the_newest_of_a_kind_is_found_without_its_name() {
    on_every_home(async |store| {
        assert!(newest(store.take_newest(SHELF, &[ENROLMENT], NOW).await).is_none());
        store.open(SHELF, entry(ENROLMENT, 1, 5), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 5), NOW).await.unwrap();
        store.open(SHELF, entry(ENROLMENT, 3, 5), NOW).await.unwrap();
        assert_eq!(newest(store.take_newest(SHELF, &[ENROLMENT], NOW).await).unwrap().hash, hash(3));
        assert!(store.take(SHELF, hash(1), NOW).await.unwrap().is_none(), "a new one ends the one before");
        assert!(newest(store.take_newest(OTHER_SHELF, &[ENROLMENT], NOW).await).is_none());
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

#[tokio::test]
async fn of_several_kinds_none_is_taken_unless_one_alone_is_open() {
    const PHONE: Kind = Kind { name: "enroll_phone", capacity: 1 };
    on_every_home(|store| async move {
        let both = [ENROLMENT, PHONE];
        assert_eq!(store.take_newest(SHELF, &both, NOW).await.unwrap(), Newest::Nothing);
        store.open(SHELF, entry(ENROLMENT, 1, 2), NOW).await.unwrap();
        assert_eq!(newest(store.take_newest(SHELF, &both, NOW).await).unwrap().hash, hash(1));
        store.open(SHELF, entry(PHONE, 2, 1), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 3, 5), NOW).await.unwrap();
        assert_eq!(store.take_newest(SHELF, &both, NOW).await.unwrap(), Newest::Several);
        assert_eq!(newest(store.take_newest(SHELF, &[PHONE], NOW).await).unwrap().hash, hash(2), "nothing was taken");
        let left = newest(store.take_newest(SHELF, &both, NOW).await).unwrap();
        assert_eq!((left.hash, left.attempts_left), (hash(1), 0), "one that is exhausted is not meant");
        assert_eq!(store.take_newest(SHELF, &both, NOW).await.unwrap(), Newest::Nothing);
    })
    .await;
}

#[tokio::test]
async fn a_code_lies_beside_its_entry_and_the_next_takes_its_place() {
    on_every_home(|store| async move {
        let save = async |name, code: &[u8], now| store.save_code(SHELF, hash(name), code, now).await.unwrap();
        assert_eq!(save(1, b"a", NOW).await, Swap::Stale, "there is no entry");
        store.open(SHELF, entry(LOGIN, 1, 2), NOW).await.unwrap();
        store.open(SHELF, entry(LOGIN, 2, 2), NOW).await.unwrap();
        assert_eq!(store.find(SHELF, hash(1), NOW).await.unwrap().unwrap().code, None);
        assert_eq!(save(1, b"a\0b", NOW).await, Swap::Done);
        let taken = store.take(SHELF, hash(1), NOW).await.unwrap().unwrap();
        assert_eq!((taken.code, taken.attempts_left, taken.sealed), (Some(b"a\0b".to_vec()), 1, vec![1]));
        assert_eq!(store.find(SHELF, hash(2), NOW).await.unwrap().unwrap().code, None, "beside its own alone");
        assert_eq!(save(1, b"c", NOW).await, Swap::Done);
        let taken = newest(store.take_newest(SHELF, &[LOGIN], NOW).await).unwrap();
        assert_eq!((taken.hash, taken.code), (hash(2), None));
        let taken = store.take(SHELF, hash(1), NOW).await.unwrap().unwrap();
        assert_eq!((taken.code, taken.attempts_left), (Some(b"c".to_vec()), 0), "and no attempt came back");
        assert_eq!(save(1, b"d", NOW).await, Swap::Stale, "an exhausted entry takes none");
        store.give_back(SHELF, hash(1)).await.unwrap();
        assert_eq!(store.find(SHELF, hash(1), NOW).await.unwrap().unwrap().code, Some(b"c".to_vec()));
        assert_eq!(save(2, b"e", NOW.plus(Duration::from_secs(300))).await, Swap::Stale, "nor one that has ended");
    })
    .await;
}
