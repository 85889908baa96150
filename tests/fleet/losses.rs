//! Redis flushed, killed, hanging or failed over: no limit becomes weaker, what must stop says so, and the rest goes on.

use std::{collections::BTreeMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    replica::{Fleet, Replica, now, reason, until},
    servers::{redis, sql::Sql},
};

const USER: &str = "user@example.com";
const PLAIN: &str = "plain@example.com";
const TWO_FA: &str = "countersign.v1.TwoFaService";
/// Health follows within this, both ways.
const FOLLOWS: Duration = Duration::from_secs(5);

async fn fleet(redis: &str) -> (Fleet, Replica) {
    let fleet = Fleet::new(&Sql::shared_postgres().new_database(), redis);
    for email in [USER, PLAIN] {
        fleet.add_user(email);
    }
    let replica = fleet.replica().await;
    (fleet, replica)
}

/// A refusal for want of a store, which must come within 2 s.
async fn stops<T>(what: &str, answer: impl Future<Output = Result<T, Status>>) {
    let begun = now();
    let Err(status) = answer.await else { panic!("{what}: goes on") };
    assert!(begun.elapsed() < Duration::from_secs(2), "{what}: after {:?}", begun.elapsed());
    assert_eq!(status.code(), Code::Unavailable, "{what}: {status:?}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "STORE_UNAVAILABLE", "{what}");
}

/// What needs Redis stops; what does not goes on.
async fn stops_and_goes_on(replica: &Replica, enrolled: &str, challenge_id: &str, code: &str) -> String {
    stops("a sign-in that needs a challenge", replica.local_auth(USER)).await;
    stops("Verify", replica.verify("", challenge_id, code)).await;
    stops("CreateChallenge", replica.step_up(enrolled)).await;
    let plain = replica.local_auth(PLAIN).await.expect("a sign-in by password alone goes on");
    stops("Enable", replica.enable(&plain.access_token)).await;
    assert!(replica.refresh(&plain.refresh_token).await.is_ok());
    assert!(replica.is_good(&plain.access_token).await.unwrap());
    assert!(replica.status(enrolled).await.unwrap().enabled);
    plain.access_token
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_redis_stops_while_it_is_dead_or_hangs_and_the_rest_goes_on() {
    let mut redis = redis::single();
    let (_fleet, replica) = fleet(&redis::url(&redis)).await;
    let user = replica.enrol(USER).await;
    let enrolled = user.session.access_token.clone();
    for loss in ["dead", "hanging"] {
        let challenge = replica.local_auth(USER).await.unwrap().challenge_id;
        if loss == "dead" {
            redis.kill()
        } else {
            redis.signal("STOP")
        }
        stops_and_goes_on(&replica, &enrolled, &challenge, &user.next_code()).await;
        until("health says so", FOLLOWS, async || !replica.serves(TWO_FA).await).await;
        assert!(replica.serves("").await && replica.serves("liveness").await);
        assert!(replica.serves("countersign.v1.SessionService").await);
        if loss == "dead" {
            redis = redis::again(&redis.home.clone(), redis.port)
        } else {
            redis.signal("CONT")
        }
        until("health says so", FOLLOWS, async || replica.serves(TWO_FA).await).await;
        // What was open is gone with the server; a new sign-in is all it takes.
        if loss == "dead" {
            assert_eq!(reason(&replica.verify("", &challenge, "000000").await), "CHALLENGE_EXPIRED");
        }
        assert!(replica.local_auth(USER).await.unwrap().two_fa_required);
    }
    let challenge = replica.local_auth(USER).await.unwrap().challenge_id;
    assert!(replica.verify("", &challenge, &user.next_code()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_held_to_a_stricter_limit_while_redis_is_away() {
    let mut redis = redis::single();
    let (fleet, _) = fleet(&redis::url(&redis)).await;
    let replica = fleet.replica_with(&["limits.source_failures=8".to_owned()]).await;
    let other = fleet.replica_with(&["limits.source_failures=8".to_owned()]).await;
    let guesses_at = async |replica: &Replica, names: &str, count: usize| {
        let mut reasons = BTreeMap::new();
        for n in 0..count {
            let answer = replica.local_auth_with(&format!("{names}{n}@example.com"), "a wrong password").await;
            *reasons.entry(reason(&answer)).or_insert(0) += 1;
        }
        reasons
    };
    let guesses = async |names: &str, count: usize| guesses_at(&replica, names, count).await;
    let expected = |judged: i32, refused: i32| {
        BTreeMap::from([("INVALID_CREDENTIALS".to_owned(), judged), ("RATE_LIMITED".to_owned(), refused)])
    };
    assert_eq!(guesses("a", 12).await, expected(8, 4));
    assert_eq!(reason(&replica.local_auth(PLAIN).await), "RATE_LIMITED", "the source, not the name");
    redis.kill();
    assert_eq!(
        guesses("b", 5).await,
        BTreeMap::from([("RATE_LIMITED".to_owned(), 5)]),
        "what it has counted, it knows"
    );
    assert_eq!(guesses_at(&other, "d", 5).await, expected(2, 3), "a quarter of it, by this replica alone");
    let _redis = redis::again(&redis.home.clone(), redis.port);
    let is_judged =
        async || reason(&replica.local_auth_with("c@example.com", "a wrong password").await) != "RATE_LIMITED";
    until("redis is used again", FOLLOWS, is_judged).await;
    assert_eq!(guesses("c", 10).await, expected(7, 3), "the flushed count begins anew; that of each account goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn flushing_redis_in_the_middle_of_guessing_gives_no_further_guess() {
    let redis = redis::single();
    let (_fleet, replica) = fleet(&redis::url(&redis)).await;
    let user = replica.enrol(USER).await;
    let mut judged = 0;
    for guess in 0..12 {
        let signed_in = replica.local_auth(USER).await.unwrap();
        let wrong = if user.next_code() == "000000" { "000001" } else { "000000" };
        let answer = replica.verify("", &signed_in.challenge_id, wrong).await;
        judged += usize::from(reason(&answer) == "INVALID_CODE");
        if guess % 2 == 0 {
            redis::cli(&redis, &["FLUSHALL"]);
        }
    }
    assert_eq!(judged, 5, "the sixth waits, whatever became of the challenges");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_brings_back_works_no_second_time() {
    let mut sentinels = redis::sentinels();
    let (_fleet, replica) = fleet(&sentinels.url).await;
    let user = replica.enrol(USER).await;
    let open = replica.local_auth(USER).await.unwrap().challenge_id;
    let other = replica.local_auth(USER).await.unwrap().challenge_id;
    until("the replica has both", FOLLOWS, async || {
        let shelf = redis::cli(&sentinels.servers[0], &["KEYS", "countersign:{*"]);
        redis::cli(&sentinels.servers[1], &["HLEN", shelf.trim()]).trim() == "2"
    })
    .await;
    // The last second does not arrive: the replica hears nothing more, and then the master is gone.
    redis::cli(&sentinels.servers[1], &["REPLICAOF", "127.0.0.1", "1"]);
    assert!(replica.verify("", &open, &user.next_code()).await.is_ok());
    let refreshed = replica.refresh(&user.refresh_token).await.unwrap();
    sentinels.servers[0].kill();
    let shelf = redis::cli(&sentinels.servers[1], &["KEYS", "countersign:{*"]);
    assert_eq!(
        redis::cli(&sentinels.servers[1], &["HLEN", shelf.trim()]).trim(),
        "2",
        "the challenge that was answered is back"
    );
    redis::cli(&sentinels.servers[1], &["REPLICAOF", "NO", "ONE"]);
    until("a new master is found", Duration::from_secs(20), async || {
        replica.local_auth(USER).await.is_ok() && replica.serves(TWO_FA).await
    })
    .await;

    let again =
        [replica.verify("", &open, &user.next_code()).await, replica.verify("", &other, &user.next_code()).await];
    for answer in &again {
        assert!(["CHALLENGE_EXPIRED", "INVALID_CODE"].contains(&reason(answer).as_str()), "{}", reason(answer));
    }
    match replica.refresh(&user.refresh_token).await {
        Ok(again) => assert_eq!(again.refresh_token, refreshed.refresh_token, "in its grace: the one successor"),
        late => assert_eq!(reason(&late), "UNAUTHENTICATED"),
    }
    let next = user.app.generate(user.confirmed + 60).to_string();
    let fresh = replica.local_auth(USER).await.unwrap().challenge_id;
    let answer = replica.verify("", &fresh, &next).await;
    assert!(["OK", "INVALID_CODE"].contains(&reason(&answer).as_str()), "the service is well: {}", reason(&answer));
}
