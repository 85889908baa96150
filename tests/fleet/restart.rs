//! Three replicas that are brought up anew one after the other while people sign in: no call fails.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign::wire::pb::{
    self, session_service_client::SessionServiceClient, two_fa_service_client::TwoFaServiceClient,
};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use crate::{
    replica::{Fleet, PASSWORD, Replica, until},
    servers::{redis, sql::Sql},
};

const PEOPLE: usize = 3;

/// What sends calls to replicas, as a platform does: to those that are ready, and to others from the moment that it hears of it.
#[derive(Clone, Default)]
struct Balancer {
    ready: Arc<Mutex<Vec<Channel>>>,
    turn: Arc<AtomicUsize>,
}

impl Balancer {
    fn next(&self) -> Channel {
        let ready = self.ready.lock().unwrap();
        ready[self.turn.fetch_add(1, Ordering::Relaxed) % ready.len()].clone()
    }

    fn set(&self, replicas: &[&Replica]) {
        let channel = |replica: &&Replica| {
            Channel::from_shared(format!("http://127.0.0.1:{}", replica.process.port)).unwrap().connect_lazy()
        };
        *self.ready.lock().unwrap() = replicas.iter().map(channel).collect();
    }
}

/// Signs in, has the token looked at by another replica, and refreshes; each call by whichever replica is next.
async fn sign_in(balancer: &Balancer, email: &str) -> Result<(), Status> {
    let request = pb::LocalAuthRequest { email: email.to_owned(), password: PASSWORD.to_owned() };
    let session = TwoFaServiceClient::new(balancer.next()).local_auth(request).await?.into_inner();
    for _ in 0..20 {
        let request = pb::ValidateAccessTokenRequest { access_token: session.access_token.clone() };
        let judged = SessionServiceClient::new(balancer.next()).validate_access_token(request).await?.into_inner();
        assert_eq!(judged.status(), pb::TokenStatus::Authenticated);
    }
    let request = pb::RefreshSessionRequest { refresh_token: session.refresh_token };
    let renewed = SessionServiceClient::new(balancer.next()).refresh_session(request).await?.into_inner();
    assert!(!renewed.access_token.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_call() {
    for sql in Sql::shared() {
        let fleet = Fleet::new(&sql.new_database(), &redis::url(redis::shared()));
        let mut replicas = [fleet.replica().await, fleet.replica().await, fleet.replica().await];
        let balancer = Balancer::default();
        balancer.set(&replicas.iter().collect::<Vec<_>>());
        let (is_over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut people = JoinSet::new();
        for n in 0..PEOPLE {
            let email = format!("person{n}@example.com");
            fleet.add_user(&email);
            let (balancer, is_over, done) = (balancer.clone(), Arc::clone(&is_over), Arc::clone(&done));
            people.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    if let Err(status) = sign_in(&balancer, &email).await {
                        panic!("a call failed: {status:?}");
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for at in 0..replicas.len() {
            let enough = done.load(Ordering::Relaxed) + 2 * PEOPLE;
            until("people sign in", Duration::from_secs(60), async || done.load(Ordering::Relaxed) >= enough).await;
            // The platform stops it, and hears a moment later that it is not ready.
            replicas[at].process.signal("TERM");
            let is_told = async || !replicas[at].serves("").await;
            until("it says that it drains", Duration::from_secs(5), is_told).await;
            balancer.set(&replicas.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, it)| it).collect::<Vec<_>>());
            replicas[at].process.wait();
            replicas[at] = fleet.replica().await;
            balancer.set(&replicas.iter().collect::<Vec<_>>());
        }
        is_over.store(true, Ordering::Relaxed);
        while let Some(person) = people.join_next().await {
            person.unwrap();
        }
        assert!(done.load(Ordering::Relaxed) >= 6 * PEOPLE);
    }
}
