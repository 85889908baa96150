//! A session of one factor that policy would not give again ends at its refresh, unless a second factor was proven meanwhile.

use std::time::Duration;

use countersign::{
    model::{Acr, Amr, NewSession, Origin, Proof, Session, SessionId},
    store::Store,
    swap::Swap,
};

use crate::{
    home::{NOW, account, add, on_every_home, server},
    servers::sql::Sql,
};

fn proof(acr: Acr) -> Proof {
    Proof { auth_time: NOW, amr: Amr::password(), acr }
}

/// A session that the password alone has given.
async fn short_session(store: &Store) -> Session {
    let alice = account("alice@example.com");
    assert_eq!(add(store, &alice).await, Swap::Done);
    let end = NOW.plus(Duration::from_secs(1000));
    let session =
        Session { id: SessionId::new(NOW), user: alice.id, proof: proof(Acr::One), idle_end_time: end, end_time: end };
    let tx = store.begin().await.unwrap();
    let new = NewSession { session: session.clone(), family_hash: [1; 32], refresh_hash: [2; 32] };
    tx.insert_session(&new, &Origin::command_line(), NOW).await.unwrap();
    tx.commit().await.unwrap();
    session
}

async fn step_up(store: &Store, session: &Session) {
    let tx = store.begin().await.unwrap();
    assert_eq!(tx.save_proof(session.id, &proof(Acr::Two)).await.unwrap(), Swap::Done);
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn one_that_a_second_factor_was_proven_in_does_not_end_for_the_lack_of_one() {
    on_every_home(async |store| {
        let session = short_session(&store).await;
        step_up(&store, &session).await;
        let tx = store.begin().await.unwrap();
        assert_eq!(tx.delete_short_session(session.user, session.id).await.unwrap(), Swap::Stale);
        assert!(tx.find_live_session(session.id).await.unwrap().is_some());
        assert_eq!(tx.save_proof(session.id, &proof(Acr::One)).await.unwrap(), Swap::Done);
        assert_eq!(tx.delete_short_session(session.user, session.id).await.unwrap(), Swap::Done);
        assert!(tx.find_live_session(session.id).await.unwrap().is_none());
        assert_eq!(tx.delete_short_session(session.user, session.id).await.unwrap(), Swap::Stale);
        tx.commit().await.unwrap();
    })
    .await;
}

/// On servers alone: on SQLite whoever looks in order to write has the only pen.
#[tokio::test]
async fn nor_when_it_was_proven_between_the_look_and_the_end() {
    for sql in Sql::shared() {
        let (_home, _, store) = server(sql).await;
        let session = short_session(&store).await;
        let refreshing = store.begin().await.unwrap();
        let seen = refreshing.find_live_session(session.id).await.unwrap().unwrap();
        assert_eq!(seen.session.proof.acr, Acr::One);
        step_up(&store, &session).await;
        assert_eq!(refreshing.delete_short_session(session.user, session.id).await.unwrap(), Swap::Stale);
        refreshing.roll_back().await.unwrap();
        let kept = store.find_live_session(session.id).await.unwrap().unwrap();
        assert_eq!(kept.session.proof.acr, Acr::Two);
        store.close().await.unwrap();
    }
}
