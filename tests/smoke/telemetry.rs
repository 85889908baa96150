//! Logs and probes of the shipped binary.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    process::{Place, ended, text},
    servers::certificates::certificates,
};

/// Waits until something holds.
fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[allow(clippy::disallowed_methods, reason = "a process is waited for in real time")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn the_level_of_the_log_changes_while_it_runs_and_its_lines_name_their_call() {
    let place = Place::new();
    let file = place.path("countersign.toml");
    fs::write(&file, "[telemetry]\nlog_format = \"json\"\nlog_level = \"info\"\n").unwrap();
    let service = place.serve(&["--dev"]);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let sign_in = |request_id: &str| {
        let url = format!("http://{}/authentication/local", service.http);
        let body = json!({"email": "user@example.com", "password": "wrong password 1"}).to_string();
        let headers = [format!("x-request-id: {request_id}"), format!("traceparent: 00-{trace}-00f067aa0ba902b7-01")];
        let answer =
            ended(Command::new("curl").args(["-s", "--json", &body, "-H", &headers[0], "-H", &headers[1], &url]));
        assert!(text(&answer.stdout).contains("INVALID_CREDENTIALS"), "{}", text(&answer.stdout));
    };
    let log = || fs::read_to_string(&service.log).unwrap();
    sign_in("quiet-1");
    fs::write(&file, "[telemetry]\nlog_format = \"json\"\nlog_level = \"debug\"\n").unwrap();
    until("the level is changed", || log().contains("the level of the log was changed"));
    sign_in("loud-1");
    until("the call is in the log", || log().contains("loud-1"));
    let lines: Vec<Value> = log().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answered = lines.iter().find(|line| line["message"] == "answered" && line["span"]["request_id"] == "loud-1");
    let line = answered.unwrap_or_else(|| panic!("{lines:#?}"));
    assert_eq!(line["span"]["trace_id"], trace);
    assert_eq!(
        (&line["rpc"], &line["reason"]),
        (&json!("countersign.v1.TwoFaService/LocalAuth"), &json!("INVALID_CREDENTIALS"))
    );
    assert!(!log().contains("quiet-1"), "it was not logged then");
    // What cannot be read leaves the level as it is, and the service running.
    fs::write(&file, "[telemetry]\nlog_level = \"loud\"\n").unwrap();
    thread::sleep(Duration::from_secs(3));
    sign_in("loud-2");
    until("the call is in the log", || log().contains("loud-2"));
    assert_eq!(service.terminate().0, Some(0));
}

#[test]
fn a_log_that_nobody_reads_stops_no_call() {
    let place = Place::new();
    // It holds 64 KiB.
    let sets = ["--dev", "--set", "telemetry.log_level=trace", "--set", "telemetry.log_format=json"];
    let (service, mut pipe) = place.serve_into_pipe(&sets);
    let jwks = format!("http://{}/.well-known/jwks.json", service.http);
    until("it serves", || ended(Command::new("curl").args(["-sf", &jwks])).status.success());
    // The part behind the # is for the client alone.
    let many = format!("{jwks}#[1-1000]");
    let answered = ended(Command::new("curl").args(["-sf", "--max-time", "15", "-o", "/dev/null", &many]));
    assert!(answered.status.success(), "calls wait for whoever reads the log: {:?}", answered.status);
    assert_eq!(service.terminate().0, Some(0));
    let mut log = Vec::new();
    pipe.read_to_end(&mut log).unwrap();
    assert!(log.len() >= 60 * 1024, "the pipe was full: {} bytes", log.len());
}

#[test]
fn a_service_that_asks_everybody_for_a_certificate_is_probed_on_a_listener_of_its_own() {
    let place = Place::new();
    let (ca, certificate, key) = certificates(place.home.path());
    let probes = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sets = [
        format!("tls.cert_file={}", certificate.display()),
        format!("tls.key_file={}", key.display()),
        format!("tls.client_ca_file={}", ca.display()),
        "tls.client_required=true".to_owned(),
        format!("telemetry.listen={probes}"),
    ];
    let sets: Vec<_> = sets.iter().flat_map(|set| ["--set", set.as_str()]).collect();
    let service = place.serve_unasked(&sets);
    until("it is well", || place.run(&[&["health"], &sets[..]].concat()).status.success());
    assert!(place.run(&[&["health", "--live"], &sets[..]].concat()).status.success());
    let grpc = service.address.to_string();
    assert!(!place.run(&[&["health", "--addr", &grpc], &sets[..]].concat()).status.success(), "there it shows none");
    let status = |path: &str| {
        let url = format!("http://{probes}/{path}");
        text(&ended(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", &url])).stdout)
    };
    assert_eq!(["livez", "readyz", "startupz", "metrics", "else"].map(status), ["200", "200", "200", "200", "404"]);
    assert_eq!(service.terminate().0, Some(0));
    // Without such a listener its operator is told.
    let warned = place.run(&[&["config", "check"], &sets[..8]].concat());
    let told = text(&[warned.stdout, warned.stderr].concat());
    assert!(told.contains("telemetry.listen, where they need none"), "{told}");
}
