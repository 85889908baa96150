//! What the counters of the database promise, and what is used once.

use std::time::Duration;

use countersign::{
    clock::Timestamp,
    limit,
    model::{Method, RequiredFor, UserId},
    store::{Bucket, Rung, Window},
    swap::Swap,
};
use tokio::task::JoinSet;

use crate::home::{NOW, TOTP, on_every_home};

#[tokio::test]
async fn a_ladder_climbs_locks_and_forgets_whoever_was_quiet() {
    on_every_home(async |store| {
        let bucket = Bucket { hash: [1; 32], owner: [2; 32] };
        let quiet = Duration::from_secs(1000);
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let pay = async |now: Timestamp| {
            let rungs = [2, 3].map(|failures| Rung { failures, locked_until: now.plus(Duration::from_secs(30)) });
            let tx = store.begin().await.unwrap();
            let swap = tx.pay_ladder(&bucket, &rungs, quiet, now).await.unwrap();
            tx.commit().await.unwrap();
            swap
        };
        assert_eq!((pay(NOW).await, pay(NOW).await, pay(NOW).await), (Swap::Done, Swap::Done, Swap::Stale));
        assert_eq!(store.bucket_waits(&[1; 32]).await.unwrap(), Some((at(30), at(1000))));
        let tx = store.begin().await.unwrap();
        tx.refund_bucket(&[1; 32]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(pay(NOW).await, Swap::Done, "a payment that is taken back takes its lock along");
        assert_eq!((pay(at(29)).await, pay(at(30)).await, pay(at(30)).await), (Swap::Stale, Swap::Done, Swap::Stale));
        assert_eq!((pay(at(1031)).await, pay(at(1031)).await), (Swap::Done, Swap::Done), "quiet: from the foot again");
        assert_eq!(pay(at(1031)).await, Swap::Stale);
        let tx = store.begin().await.unwrap();
        tx.clear_buckets_of(&[3; 32]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(pay(at(1031)).await, Swap::Stale, "another owner's");
        let tx = store.begin().await.unwrap();
        tx.clear_buckets_of(&[2; 32]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(pay(at(1031)).await, Swap::Done);
        assert_eq!(store.sweep(100, at(5000)).await.unwrap(), 1);
        assert!(store.bucket_waits(&[1; 32]).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_window_is_full_until_it_is_over() {
    on_every_home(async |store| {
        let bucket = Bucket { hash: [1; 32], owner: [2; 32] };
        let window = Window { capacity: 3, span: Duration::from_secs(100) };
        let at = |seconds| NOW.plus(Duration::from_secs(seconds));
        let pay = async |now| {
            let tx = store.begin().await.unwrap();
            let swap = tx.pay_window(&bucket, window, now).await.unwrap();
            tx.commit().await.unwrap();
            swap
        };
        assert_eq!((pay(at(0)).await, pay(at(50)).await, pay(at(99)).await), (Swap::Done, Swap::Done, Swap::Done));
        assert_eq!(pay(at(99)).await, Swap::Stale);
        let tx = store.begin().await.unwrap();
        tx.refund_bucket(&[1; 32]).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((pay(at(99)).await, pay(at(99)).await), (Swap::Done, Swap::Stale));
        assert_eq!((pay(at(100)).await, pay(at(101)).await, pay(at(102)).await), (Swap::Done, Swap::Done, Swap::Done));
        assert_eq!(pay(at(199)).await, Swap::Stale);
    })
    .await;
}

#[tokio::test]
async fn a_password_token_is_used_once_and_by_its_owner() {
    on_every_home(async |store| {
        let (alice, bob) = (UserId::new(NOW), UserId::new(NOW));
        let end = NOW.plus(Duration::from_secs(10));
        let tx = store.begin().await.unwrap();
        tx.insert_password_token(&[1; 32], alice, end).await.unwrap();
        tx.insert_password_token(&[2; 32], alice, end).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.find_password_token(&[1; 32], NOW).await.unwrap(), Some(alice));
        assert_eq!(store.find_password_token(&[1; 32], end).await.unwrap(), None);
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.use_password_token(&[1; 32], bob, NOW).await.unwrap(), Swap::Stale);
        assert_eq!(tx.use_password_token(&[1; 32], alice, end).await.unwrap(), Swap::Stale);
        assert_eq!(tx.use_password_token(&[1; 32], alice, NOW).await.unwrap(), Swap::Done);
        assert_eq!(tx.use_password_token(&[1; 32], alice, NOW).await.unwrap(), Swap::Stale);
        tx.delete_password_tokens(alice).await.unwrap();
        assert_eq!(tx.use_password_token(&[2; 32], alice, NOW).await.unwrap(), Swap::Stale);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn the_policy_is_there_from_the_first_migration_on() {
    on_every_home(async |store| {
        let settings = store.settings().await.unwrap();
        assert!(settings.two_fa_enabled && settings.backup_codes_enabled);
        assert_eq!(settings.allowed_methods, [Method::Totp, Method::Phone, Method::BackupCode]);
        assert_eq!((settings.preferred_method, settings.required_for), (Method::Totp, RequiredFor::Admins));
        assert_eq!(settings.totp_digits, 6);
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_counted_and_locks_before_anything_is_judged() {
    on_every_home(async |store| {
        let user = UserId::new(NOW);
        let rungs = [2, 3].map(|failures| Rung { failures, locked_until: NOW.plus(Duration::from_secs(30)) });
        let pay = async |now| {
            let tx = store.begin().await.unwrap();
            let swap = tx.pay_failure(user, TOTP, None, &rungs, now).await.unwrap();
            tx.commit().await.unwrap();
            swap
        };
        assert_eq!(pay(NOW).await, Swap::Stale, "nothing to pay into, nothing to judge");
        let tx = store.begin().await.unwrap();
        tx.ensure_failures(user, TOTP).await.unwrap();
        tx.ensure_failures(user, TOTP).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((pay(NOW).await, pay(NOW).await, pay(NOW).await), (Swap::Done, Swap::Done, Swap::Stale));
        assert_eq!(store.locked_until(user, TOTP).await.unwrap(), Some(NOW.plus(Duration::from_secs(30))));
        assert_eq!(pay(NOW.plus(Duration::from_secs(30))).await, Swap::Done);

        let tx = store.begin().await.unwrap();
        tx.clear_failures(user, TOTP).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(pay(NOW).await, Swap::Done);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_paid_at_once_are_all_counted() {
    on_every_home(async |store| {
        let user = UserId::new(NOW);
        let tx = store.begin().await.unwrap();
        tx.ensure_failures(user, TOTP).await.unwrap();
        tx.commit().await.unwrap();
        let mut calls = JoinSet::new();
        for _ in 0..40 {
            let store = store.clone();
            calls.spawn(async move {
                let tx = store.begin().await.unwrap();
                let swap = tx.pay_failure(user, TOTP, None, &limit::second_factor_rungs(TOTP, NOW), NOW).await.unwrap();
                tx.commit().await.unwrap();
                swap
            });
        }
        let paid = calls.join_all().await.into_iter().filter(|swap| *swap == Swap::Done).count();
        assert_eq!(paid, 5);
    })
    .await;
}

#[tokio::test]
async fn a_spent_challenge_is_not_judged_at_all() {
    on_every_home(async |store| {
        let user = UserId::new(NOW);
        let tx = store.begin().await.unwrap();
        tx.ensure_failures(user, TOTP).await.unwrap();
        assert_eq!(tx.spend_challenge(&[7; 32], NOW).await.unwrap(), Swap::Done);
        let rungs = limit::second_factor_rungs(TOTP, NOW);
        assert_eq!(tx.pay_failure(user, TOTP, Some(&[7; 32]), &rungs, NOW).await.unwrap(), Swap::Stale);
        assert_eq!(tx.pay_failure(user, TOTP, Some(&[8; 32]), &rungs, NOW).await.unwrap(), Swap::Done);
        tx.commit().await.unwrap();
        assert!(store.is_spent(&[7; 32]).await.unwrap() && !store.is_spent(&[8; 32]).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_payment_is_taken_back_from_its_own_window_alone() {
    on_every_home(async |store| {
        let bucket = Bucket { hash: [9; 32], owner: [8; 32] };
        let window = Window { capacity: 2, span: Duration::from_secs(60) };
        let later = NOW.plus(Duration::from_secs(60));
        let count = async || store.bucket_count(&bucket.hash).await.unwrap().unwrap();
        let pay = async |now| {
            let tx = store.begin().await.unwrap();
            let swap = tx.pay_window(&bucket, window, now).await.unwrap();
            let end_time = tx.bucket_states(&[bucket.hash]).await.unwrap()[0].end_time;
            tx.commit().await.unwrap();
            (swap, end_time)
        };
        let refund = async |end_time| {
            let tx = store.begin().await.unwrap();
            tx.refund_window(&bucket.hash, end_time).await.unwrap();
            tx.commit().await.unwrap();
        };
        assert_eq!(pay(NOW).await, (Swap::Done, later));
        let (_, second) = pay(later).await;
        refund(later).await;
        assert_eq!(count().await, (1, second), "the first window is over, and forgotten");
        refund(second).await;
        refund(second).await;
        assert_eq!(count().await, (0, second), "and never below nothing");
    })
    .await;
}
