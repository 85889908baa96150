//! What the database promises.

use std::{sync::Arc, time::Duration};

use countersign::{
    model::{
        Acr, Amr, Email, Event, EventKind, FactorData, FactorId, Method, NewFactor, NewSession, Origin, Proof, Role,
        Session, SessionId, Spend, UserId,
    },
    secret::Secret,
    store::Rotation,
    swap::Swap,
};
use tokio::task::JoinSet;

use crate::{
    home::{NOW, account, add, on_every_home, sqlite, sqlite_with_ring},
    peek,
};

#[tokio::test]
async fn an_account_is_found_by_every_way_to_write_its_address_and_is_there_once() {
    on_every_home(async |store| {
        let alice = account("Josée@Example.com");
        assert_eq!(add(&store, &alice).await, Swap::Done);
        assert_eq!(add(&store, &account("jose\u{301}e@example.COM ")).await, Swap::Stale);
        assert_eq!(add(&store, &account("user@bücher.example")).await, Swap::Done);
        assert_eq!(add(&store, &account(" USER@xn--bcher-kva.EXAMPLE\t")).await, Swap::Stale);
        let found = store.find_account_by_email(&Email::parse("JOSÉE@example.com").unwrap()).await.unwrap().unwrap();
        assert_eq!((found.id, found.email.typed(), found.role), (alice.id, "Josée@Example.com", Role::User));
        assert_eq!(found.password_hash.unwrap().expose(), "$argon2id$");
        for other in ["josee@example.com", "josée@example.co"] {
            assert!(store.find_account_by_email(&Email::parse(other).unwrap()).await.unwrap().is_none(), "{other}");
        }
        for (one, two) in
            [("straße@a.example", "strasse@a.example"), ("ı@a.example", "i@a.example"), ("𝒳@a.example", "𝒴@a.example")]
        {
            assert_eq!(
                (add(&store, &account(one)).await, add(&store, &account(two)).await),
                (Swap::Done, Swap::Done),
                "{one}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_not_committed_has_not_happened() {
    on_every_home(async |store| {
        let alice = account("alice@example.com");
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.insert_account(&alice).await.unwrap(), Swap::Done);
        drop(tx);
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.insert_account(&alice).await.unwrap(), Swap::Done);
        tx.roll_back().await.unwrap();
        assert!(store.find_account(alice.id).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_challenge_is_spent_once_and_spent_steps_only_move_forward() {
    on_every_home(async |store| {
        let alice = account("alice@example.com");
        assert_eq!(add(&store, &alice).await, Swap::Done);
        let id = FactorId::new(NOW);
        let data = FactorData::new(vec![1, 2, 3]);
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.spend_challenge(&[7; 32], NOW).await.unwrap(), Swap::Done);
        tx.commit().await.unwrap();
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.spend_challenge(&[7; 32], NOW).await.unwrap(), Swap::Stale);
        tx.roll_back().await.unwrap();
        let tx = store.begin().await.unwrap();
        let new = NewFactor { id, user: alice.id, method: Method::Totp, label: "ü", data: &data, spent: 5 };
        tx.insert_factor(&new, NOW).await.unwrap();
        assert_eq!(tx.spend_factor(id, Spend::UpTo(5), NOW).await.unwrap(), Swap::Stale);
        assert_eq!(tx.spend_factor(id, Spend::UpTo(6), NOW).await.unwrap(), Swap::Done);
        assert_eq!(tx.spend_factor(id, Spend::UpTo(6), NOW).await.unwrap(), Swap::Stale);
        let (locked, factors) = tx.lock_account_with_factors(alice.id).await.unwrap().unwrap();
        assert_eq!((locked.id, factors.len(), factors[0].spent), (alice.id, 1, 6));
        assert_eq!((factors[0].data.expose(), factors[0].label.as_str()), (&[1, 2, 3][..], "ü"));
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_backup_code_is_spent_by_its_own_bit_once() {
    on_every_home(async |store| {
        let alice = account("alice@example.com");
        assert_eq!(add(&store, &alice).await, Swap::Done);
        let id = FactorId::new(NOW);
        let data = FactorData::new(vec![1]);
        let tx = store.begin().await.unwrap();
        let new = NewFactor { id, user: alice.id, method: Method::BackupCode, label: "", data: &data, spent: 0 };
        tx.insert_factor(&new, NOW).await.unwrap();
        for bit in [1 << 3, 1 << 9, 1] {
            assert_eq!(tx.spend_factor(id, Spend::Bit(bit), NOW).await.unwrap(), Swap::Done);
            assert_eq!(tx.spend_factor(id, Spend::Bit(bit), NOW).await.unwrap(), Swap::Stale);
        }
        assert_eq!(tx.factors(alice.id).await.unwrap()[0].spent, (1 << 3) | (1 << 9) | 1);
        assert_eq!(tx.delete_factors(alice.id, Some(Method::Totp)).await.unwrap(), 0);
        assert_eq!(tx.delete_factor(UserId::new(NOW), id).await.unwrap(), Swap::Stale, "somebody else's");
        assert_eq!(tx.delete_factor(alice.id, id).await.unwrap(), Swap::Done);
        assert_eq!(tx.delete_factor(alice.id, id).await.unwrap(), Swap::Stale);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_change_to_what_is_there_already_is_done_and_not_stale() {
    on_every_home(async |store| {
        let end = NOW.plus(Duration::from_secs(1000));
        let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
        let session = Session {
            id: SessionId::new(NOW),
            user: UserId::new(NOW),
            proof: proof.clone(),
            idle_end_time: end,
            end_time: end,
        };
        let id = session.id;
        let tx = store.begin().await.unwrap();
        let new = NewSession { session, family_hash: [1; 32], refresh_hash: [2; 32] };
        tx.insert_session(&new, &Origin::command_line(), NOW).await.unwrap();
        // MySQL would count rows that change, unless it is asked for those that are found.
        assert_eq!(tx.save_proof(id, &proof).await.unwrap(), Swap::Done);
        assert_eq!(tx.save_proof(id, &proof).await.unwrap(), Swap::Done);
        assert_eq!(tx.save_proof(SessionId::new(NOW), &proof).await.unwrap(), Swap::Stale);
        tx.commit().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_sealed_row_that_is_moved_to_another_user_does_not_open() {
    let (home, store, ring) = sqlite_with_ring().await;
    let (alice, mallory) = (account("alice@example.com"), account("mallory@example.com"));
    for owner in [&alice, &mallory] {
        assert_eq!(add(&store, owner).await, Swap::Done);
    }
    let tx = store.begin().await.unwrap();
    let data = FactorData::new(b"a secret".to_vec());
    let new =
        NewFactor { id: FactorId::new(NOW), user: alice.id, method: Method::Totp, label: "", data: &data, spent: 0 };
    tx.insert_factor(&new, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.factors(alice.id).await.unwrap().len(), 1);

    let database = format!("sqlite:{}", home.path().join("data/countersign.db").display());
    let moves = [
        format!("UPDATE factors SET user_id = x'{}'", mallory.id.uuid().simple()),
        format!(
            "UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE id = x'{}') WHERE id = x'{}'",
            mallory.id.uuid().simple(),
            alice.id.uuid().simple()
        ),
    ];
    for statement in moves {
        peek::execute(&database, &statement).await;
    }
    assert!(store.factors(mallory.id).await.unwrap()[0].data.is_damaged());
    assert!(store.find_account(alice.id).await.unwrap().unwrap().password_hash.is_none());
    let damages: Vec<_> = ring.take_damages().into_iter().map(|damage| (damage.table, damage.column)).collect();
    assert_eq!(damages, [("factors", "data"), ("users", "password_hash")], "and it is remembered");
}

#[tokio::test]
async fn what_has_run_out_is_swept_and_nothing_else() {
    on_every_home(async |store| {
        let alice = account("alice@example.com");
        assert_eq!(add(&store, &alice).await, Swap::Done);
        let origin = Origin::command_line();
        let tx = store.begin().await.unwrap();
        let end = |seconds| NOW.plus(Duration::from_secs(seconds));
        for (n, (idle, absolute)) in (0..).zip([(10, 1000), (1000, 20), (1000, 1000)]) {
            let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
            let session = Session {
                id: SessionId::new(NOW),
                user: alice.id,
                proof,
                idle_end_time: end(idle.min(absolute)),
                end_time: end(absolute),
            };
            let new = NewSession { session, family_hash: [n; 32], refresh_hash: [n; 32] };
            tx.insert_session(&new, &origin, NOW).await.unwrap();
            assert_eq!(tx.spend_challenge(&[n; 32], end(idle)).await.unwrap(), Swap::Done);
        }
        tx.record(&Event::of(EventKind::LoginSuccess, alice.id, &origin), NOW).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.sweep(100, NOW).await.unwrap(), 0);
        assert_eq!(store.sweep(100, end(10)).await.unwrap(), 2);
        assert_eq!(store.sweep(1, end(1000)).await.unwrap(), 2, "a batch of each at a time");
        assert_eq!(store.sweep(100, end(1000)).await.unwrap(), 2);
        assert_eq!(store.sweep(100, end(1000)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_sealed_successor_is_forgotten_when_its_grace_is_over() {
    on_every_home(async |store| {
        let origin = Origin::command_line();
        let end = NOW.plus(Duration::from_secs(1000));
        let proof = Proof { auth_time: NOW, amr: Amr::password(), acr: Acr::One };
        let session =
            Session { id: SessionId::new(NOW), user: UserId::new(NOW), proof, idle_end_time: end, end_time: end };
        let tx = store.begin().await.unwrap();
        let new = NewSession { session: session.clone(), family_hash: [1; 32], refresh_hash: [2; 32] };
        tx.insert_session(&new, &origin, NOW).await.unwrap();
        let rotation = Rotation {
            from: &[2; 32],
            to: &[3; 32],
            successor: &Secret::new("the successor".to_owned()),
            successor_end_time: NOW.plus(Duration::from_secs(10)),
            idle_end_time: end,
        };
        assert_eq!(tx.rotate_refresh_token(&session, &rotation, NOW).await.unwrap(), Swap::Done);
        assert_eq!(tx.rotate_refresh_token(&session, &rotation, NOW).await.unwrap(), Swap::Stale);
        tx.commit().await.unwrap();
        let sealed = async || {
            let tx = store.begin().await.unwrap();
            tx.find_refresh_state(session.id).await.unwrap().unwrap().sealed_successor
        };
        assert_eq!(store.sweep(100, NOW.plus(Duration::from_secs(9))).await.unwrap(), 0);
        let tx = store.begin().await.unwrap();
        let kept = tx.find_refresh_state(session.id).await.unwrap().unwrap().sealed_successor.unwrap();
        assert_eq!(tx.open_successor(&session, &kept).unwrap().unwrap().expose(), "the successor");
        drop(tx);
        assert_eq!(store.sweep(100, NOW.plus(Duration::from_secs(10))).await.unwrap(), 1);
        assert!(sealed().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_store_is_shared_by_many_at_once() {
    let (_home, store) = sqlite().await;
    let store = Arc::new(store);
    let mut calls = JoinSet::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        calls.spawn(async move { add(&store, &account(&format!("user{n}@example.com"))).await });
    }
    assert!(calls.join_all().await.into_iter().all(|swap| swap == Swap::Done));
}
