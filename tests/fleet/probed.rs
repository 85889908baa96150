//! grpc-health-probe, as a platform runs it: against a replica that is busy, one that drains, and one whose stores are gone.

use std::{fs, process::Command, time::Duration};

use tokio::task::JoinSet;

use crate::{
    replica::{Fleet, Replica, until},
    servers::{process::free_port, proxy::Proxy, redis, sql::Sql},
};

const USER: &str = "probed@example.com";
const TWO_FA: &str = "countersign.v1.TwoFaService";

/// The exit status of grpc-health-probe: 0 = SERVING, 4 = it is not.
fn probe(port: u16, service: &str) -> i32 {
    let mut command = Command::new("grpc-health-probe");
    command.args([
        &format!("-addr=127.0.0.1:{port}"),
        &format!("-service={service}"),
        "-rpc-timeout=2s",
        "-connect-timeout=2s",
    ]);
    let output = command.output();
    let output =
        output.unwrap_or_else(|fault| panic!("grpc-health-probe cannot be run ({fault}); .ci/install installs it"));
    output.status.code().unwrap()
}

/// The status that a path of the listener of probes answers.
async fn status(port: u16, path: &str) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://127.0.0.1:{port}/{path}")).send().await.unwrap().status().as_u16()
}

async fn become_status(port: u16, path: &str, wanted: u16) {
    until(&format!("{path} is {wanted}"), Duration::from_secs(10), async || status(port, path).await == wanted).await;
}

async fn becomes(port: u16, service: &str, wanted: i32) {
    until(&format!("{service:?} is {wanted}"), Duration::from_secs(10), async || probe(port, service) == wanted).await;
}

async fn replica(fleet: &Fleet) -> (Replica, u16) {
    let probes = free_port();
    (fleet.replica_with(&[format!("telemetry.listen=127.0.0.1:{probes}")]).await, probes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_replica_is_well_and_one_that_drains_says_so_while_it_serves() {
    let fleet = Fleet::new(&Sql::shared_postgres().new_database(), &redis::url(redis::shared()));
    fleet.add_user(USER);
    let (replica, probes) = replica(&fleet).await;
    let mut flood = JoinSet::new();
    for n in 0..600 {
        let replica = replica.twofa.clone();
        flood.spawn(async move {
            let request = countersign::wire::pb::LocalAuthRequest {
                email: format!("flood{n}@example.com"),
                password: "a wrong password".to_owned(),
            };
            let _ = replica.clone().local_auth(request).await;
        });
    }
    for port in [replica.process.port, probes] {
        for service in ["", "liveness", "startup", TWO_FA] {
            assert_eq!(probe(port, service), 0, "{service:?} in a flood");
        }
        assert_ne!(probe(port, "nobody.knows.Service"), 0);
    }
    for path in ["livez", "readyz", "startupz"] {
        assert_eq!(status(probes, path).await, 200, "{path}");
    }
    flood.join_all().await;
    let signed_in = replica.patient_local_auth(USER).await;
    replica.process.signal("TERM");
    // It says so at once, on both listeners, and serves for as long as it takes to hear of it.
    becomes(replica.process.port, "", 4).await;
    assert_eq!((probe(replica.process.port, "liveness"), probe(probes, "")), (0, 4));
    assert_eq!((status(probes, "readyz").await, status(probes, "livez").await), (503, 200));
    assert!(replica.is_good(&signed_in.access_token).await.unwrap(), "calls are answered until nobody sends any");
    let log = replica.process.home.join("log");
    until("it stops", Duration::from_secs(10), async || fs::read_to_string(&log).unwrap().contains("stopped")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_without_its_stores_is_alive_and_says_what_it_cannot_do() {
    for sql in Sql::shared() {
        let mut cache = redis::single();
        let database = Proxy::before(sql.server.port, &[]);
        let name = sql.new_database().rsplit('/').next().unwrap().to_owned();
        let fleet = Fleet::new(&sql.url_by(database.port, &name), &redis::url(&cache));
        let (replica, probes) = replica(&fleet).await;
        let port = replica.process.port;
        cache.kill();
        becomes(port, TWO_FA, 4).await;
        assert_eq!((probe(port, ""), probe(port, "countersign.v1.SessionService"), probe(port, "liveness")), (0, 0, 0));
        assert_eq!(status(probes, "readyz").await, 200, "what needs no Redis goes on");
        let _cache = redis::again(&cache.home.clone(), cache.port);
        becomes(port, TWO_FA, 0).await;
        database.refuse();
        becomes(port, "", 4).await;
        for service in ["countersign.v1.SessionService", "countersign.v1.AdminService", TWO_FA] {
            assert_eq!(probe(port, service), 4, "{service}");
        }
        become_status(probes, "readyz", 503).await;
        assert_eq!((probe(port, "liveness"), probe(port, "startup"), status(probes, "startupz").await), (0, 0, 200));
        database.pass();
        becomes(port, "", 0).await;
        become_status(probes, "readyz", 200).await;
    }
}
