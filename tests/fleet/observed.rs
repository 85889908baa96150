//! What the service tells of itself: one trace from a request down to the stores, metrics that move with what happens, and nowhere a
//! secret or a person.

use std::{collections::BTreeMap, fs, time::Duration};

use countersign::wire::pb;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    collector::{Collector, Span},
    provider::{Manner, Provider},
    receiver::Receiver,
    replica::{Enrolled, Fleet, PASSWORD, Replica, now, until},
    servers::{
        certificates::certificates,
        process::{free_port, home},
        redis,
        sql::Sql,
    },
};

const APP: &str = "traced@example.com";
const PHONE: &str = "texted@example.com";
const NUMBER: &str = "+306912345678";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
/// A collector's key is no business of a metric or a log.
const KEY: &str = "collector-key-0123456789";

/// A replica that is observed, with everything that it tells.
struct Observed {
    fleet: Fleet,
    replica: Replica,
    collector: Collector,
    provider: Provider,
    receiver: Receiver,
    http: String,
    probes: String,
    client: reqwest::Client,
}

impl Observed {
    async fn start(sql: &Sql, redis: &str) -> Self {
        let (collector, provider, receiver) =
            (Collector::start().await, Provider::start().await, Receiver::start().await);
        let fleet = Fleet::new(&sql.new_database(), redis);
        let [http, probes] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let mut sets = vec![
            format!("http.listen={http}"),
            format!("telemetry.listen={probes}"),
            format!("telemetry.otlp_endpoint=http://{}", collector.address),
            format!("telemetry.otlp_headers=x-key: {KEY}"),
            "telemetry.otlp_metrics_seconds=1".to_owned(),
            "telemetry.log_level=trace".to_owned(),
            "telemetry.log_format=json".to_owned(),
        ];
        sets.extend(provider.twilio());
        sets.extend(receiver.sets());
        let replica = fleet.replica_with(&sets).await;
        for email in [APP, PHONE] {
            fleet.add_user(email);
        }
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { fleet, replica, collector, provider, receiver, http, probes, client }
    }

    /// Posts over REST, as a part of a trace.
    async fn post(&self, path: &str, body: Value, trace: &str) -> Value {
        let request = self.client.post(format!("http://{}{path}", self.http)).body(body.to_string());
        let request = request.header("content-type", "application/json");
        let answer = request.header("traceparent", format!("00-{trace}-{CALLER}-01")).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn metrics(&self) -> BTreeMap<String, f64> {
        let text =
            self.client.get(format!("http://{}/metrics", self.probes)).send().await.unwrap().text().await.unwrap();
        let series = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter(|line| !line.starts_with('#')).filter_map(series).collect()
    }

    async fn metrics_text(&self) -> String {
        self.client.get(format!("http://{}/metrics", self.probes)).send().await.unwrap().text().await.unwrap()
    }

    /// The spans of a trace, once this one is among them.
    async fn trace(&self, id: &str, last: &str) -> Vec<Span> {
        let has_come = async || self.collector.trace(id).iter().any(|span| span.name == last);
        until(last, Duration::from_secs(20), has_come).await;
        self.collector.trace(id)
    }
}

/// The way from a span up to the caller, by names.
fn way(spans: &[Span], from: &Span) -> Vec<String> {
    let mut names = vec![from.name.clone()];
    let mut at = from;
    while at.parent != CALLER {
        at = spans.iter().find(|span| span.id == at.parent).unwrap_or_else(|| panic!("{names:?} leads nowhere"));
        names.push(at.name.clone());
    }
    names
}

fn way_of(spans: &[Span], name: &str) -> Vec<String> {
    let found = spans.iter().find(|span| span.name == name);
    way(
        spans,
        found.unwrap_or_else(|| panic!("no {name} among {:?}", spans.iter().map(|s| &s.name).collect::<Vec<_>>())),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_over_rest_is_one_trace_down_to_the_stores() {
    for sql in Sql::shared() {
        let observed = Observed::start(sql, &redis::url(redis::shared())).await;
        let user = observed.replica.enrol(APP).await;
        let challenge =
            observed.post("/authentication/local", json!({"email": APP, "password": PASSWORD}), TRACE).await;
        assert_eq!(challenge["twoFaRequired"], true);
        let spans = observed.trace(TRACE, "POST /authentication/local").await;
        let call = "countersign.v1.TwoFaService/LocalAuth";
        let up = ["local_auth", call, "POST /authentication/local"];
        for name in ["SELECT users", "COMMIT", "EVALSHA open"] {
            assert_eq!(way_of(&spans, name)[1..], up, "{name}");
        }
        assert!(spans.iter().all(|span| way(&spans, span).last().unwrap() == "POST /authentication/local"));
        assert_eq!(spans.iter().find(|span| span.name == call).unwrap().attributes["rpc.response.status_code"], "OK");

        let other = "af7651916cd43dd8448eb211c80319c9";
        let answer = json!({"challengeId": challenge["challengeId"], "code": user.next_code()});
        let session = observed.post("/authentication/twoFa/verify", answer, other).await;
        assert!(session["accessToken"].is_string(), "{session}");
        let spans = observed.trace(other, "POST /authentication/twoFa/verify").await;
        let up = ["verify", "countersign.v1.TwoFaService/Verify", "POST /authentication/twoFa/verify"];
        for name in ["UPDATE factors", "INSERT sessions", "COMMIT", "EVALSHA take"] {
            assert_eq!(way_of(&spans, name)[1..], up, "{name}");
        }
        // The audit log names the same trace, and the collector was told who sends.
        for trace in [TRACE, other] {
            let query = format!("SELECT COUNT(*) AS n FROM audit_events WHERE trace_id = '{trace}'");
            assert!(observed.fleet.count(&query).await > 0, "{trace}");
        }
        assert!(observed.collector.keys().iter().all(|key| key == KEY));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_reached_by_tls_and_only_one_that_its_authority_vouches_for() {
    let place = home("collector", None);
    let (ca, certificate, key) = certificates(&place);
    let (other_ca, _, _) = certificates(&home("other-collector", None));
    for (authority, is_told) in [(&ca, true), (&other_ca, false)] {
        let collector = Collector::start_with_tls(&certificate, &key).await;
        let fleet = Fleet::new(&Sql::shared_postgres().new_database(), &redis::url(redis::shared()));
        fleet.add_user(APP);
        let sets = [
            format!("telemetry.otlp_endpoint=https://localhost:{}", collector.address.port()),
            format!("telemetry.otlp_ca_file={}", authority.display()),
            "telemetry.otlp_metrics_seconds=1".to_owned(),
        ];
        let mut replica = fleet.replica_with(&sets).await;
        replica.patient_local_auth(APP).await;
        if is_told {
            let has_come = async || !collector.metrics().is_empty() && !collector.bytes().is_empty();
            until("traces and metrics come", Duration::from_secs(20), has_come).await;
        }
        replica.process.stop("TERM");
        assert_eq!(!collector.bytes().is_empty(), is_told, "{}", authority.display());
    }
}

/// What is told, by the names that Prometheus reads, and how it moves in `everything`: up, to a value, or by being there.
const METRICS: [&str; 27] = [
    "rpc_server_call_duration_seconds_count{reason=\"INVALID_CREDENTIALS\",rpc_method=\"countersign.v1.TwoFaService/LocalAuth\",rpc_response_status_code=\"UNAUTHENTICATED\"}",
    "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_response_status_code=\"200\",http_route=\"/authentication/local\"}",
    "rpc_server_call_duration_seconds_count{rpc_method=\"grpc.health.v1.Health/Check\",rpc_response_status_code=\"OK\"}",
    "http_server_request_duration_seconds_count{http_request_method=\"POST\",http_response_status_code=\"499\",http_route=\"/authentication/local\"}",
    "countersign_events_total{event=\"authn_login_success\",method=\"totp\"}",
    "countersign_events_total{event=\"authn_code_fail\",method=\"totp\",reason=\"INVALID_CODE\"}",
    "countersign_events_total{event=\"authn_login_lock\",method=\"totp\",reason=\"INVALID_CODE\"}",
    "countersign_events_total{event=\"replay\",method=\"totp\",reason=\"INVALID_CODE\"}",
    "countersign_hash_duration_seconds_count{queue=\"sign_in\"}",
    "countersign_hash_duration_seconds_count{queue=\"second_factor\"}",
    "countersign_hash_wait_seconds_count{queue=\"sign_in\"}",
    "countersign_hash_refused_total{queue=\"sign_in\"}",
    "countersign_hash_jobs{queue=\"sign_in\"}",
    "countersign_sms_messages_total{outcome=\"taken\"}",
    "countersign_sms_messages_total{outcome=\"refused\"}",
    "countersign_sms_refusals_total{limit=\"challenge\"}",
    "countersign_sms_codes_returned_total",
    "countersign_sms_sent_today",
    "countersign_sms_budget",
    "countersign_deliveries_total{channel=\"webhook\",outcome=\"taken\"}",
    "countersign_provider_duration_seconds_count{outcome=\"ok\",provider=\"twilio\"}",
    "countersign_provider_duration_seconds_count{outcome=\"fault\",provider=\"twilio\"}",
    "countersign_provider_duration_seconds_count{outcome=\"ok\",provider=\"webhook\"}",
    "countersign_audit_sealed_total",
    "countersign_swept_total",
    "countersign_keys{state=\"readable\",use=\"seal\"}",
    "db_client_operation_duration_seconds_count{db_operation_name=\"take\",db_system_name=\"redis\",outcome=\"ok\"}",
];
/// These say how things stand.
const STANDING: [&str; 8] = [
    "countersign_connections{listener=\"grpc\"}",
    "countersign_connections{listener=\"http\"}",
    "countersign_calls_under_way",
    "countersign_audit_tail_age_seconds",
    "countersign_key_age_seconds{use=\"seal\"}",
    "countersign_keys{state=\"active\",use=\"sign\"}",
    "countersign_store_up{store=\"database\"}",
    "countersign_store_up{store=\"ephemeral\"}",
];

/// Codes right, wrong and used; texts sent, refused and answered; a flood; a new key; something that has run out.
async fn everything(observed: &Observed) -> (Enrolled, Vec<Vec<u8>>) {
    let replica = &observed.replica;
    let mut secrets = Vec::new();
    let user = replica.enrol(APP).await;
    let code = user.next_code();
    let challenge = replica.local_auth(APP).await.unwrap().challenge_id;
    replica.verify("", &challenge, &code).await.unwrap();
    let challenge = replica.local_auth(APP).await.unwrap().challenge_id;
    assert!(replica.verify("", &challenge, &code).await.is_err(), "a replay");
    let challenge = replica.local_auth(APP).await.unwrap().challenge_id;
    replica.verify("", &challenge, &user.backup_codes[0]).await.unwrap();
    assert!(replica.local_auth_with(APP, "a password that is wrong").await.is_err());
    let challenge = replica.local_auth(APP).await.unwrap().challenge_id;
    for _ in 0..5 {
        assert!(replica.verify("", &challenge, "000000").await.is_err(), "wrong, and locked at the fifth");
    }
    secrets.extend([code.into_bytes(), challenge.into_bytes()]);

    // A phone: confirmed by the code that came; a second message too soon, and one that the provider refuses.
    let signed_in = observed.post("/authentication/local", json!({"email": PHONE, "password": PASSWORD}), TRACE).await;
    let token = signed_in["accessToken"].as_str().unwrap().to_owned();
    let wanted = pb::EnableRequest { method: 2, phone_number: NUMBER.to_owned(), ..Default::default() };
    let enabled = replica.twofa.clone().enable(crate::replica::with_token(wanted, &token)).await.unwrap().into_inner();
    let again = pb::SendCodeRequest { challenge_id: enabled.challenge_id.clone(), method: 0 };
    assert!(replica.twofa.clone().send_code(crate::replica::with_token(again, &token)).await.is_err(), "too soon");
    let code = observed.provider.code();
    replica.verify(&token, &enabled.challenge_id, &code).await.unwrap();
    observed.provider.answers(Manner::Answers(400));
    replica.local_auth(PHONE).await.unwrap();
    secrets.extend([code.into_bytes(), token.into_bytes(), enabled.challenge_id.into_bytes()]);

    // Somebody who leaves before the answer, and a probe.
    let body = json!({"email": PHONE, "password": "a password that is wrong"}).to_string();
    let head = "POST /authentication/local HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let mut left = TcpStream::connect(&observed.http).await.unwrap();
    left.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    drop(left);
    assert!(replica.serves("").await);

    let mut flood = JoinSet::new();
    for n in 0..200 {
        let mut client = replica.twofa.clone();
        let request = pb::LocalAuthRequest { email: format!("flood{n}@example.com"), password: "wrong".to_owned() };
        flood.spawn(async move { client.local_auth(request).await.is_err() });
    }
    assert!(flood.join_all().await.into_iter().all(|refused| refused));
    crate::servers::process::run(&mut observed.fleet.command(&["keys", "rotate", "seal"]));
    observed.fleet.execute("UPDATE spent_challenges SET end_time = 1").await;
    (user, secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_moves_when_its_story_runs_and_nothing_that_is_told_names_a_secret_or_a_person() {
    let mut redis = redis::single();
    let observed = Observed::start(Sql::shared_postgres(), &redis::url(&redis)).await;
    let before = observed.metrics().await;
    let (user, mut secrets) = everything(&observed).await;
    let moved = async |name: &str| {
        let now = observed.metrics().await;
        now.get(name).copied() > Some(before.get(name).copied().unwrap_or(0.0))
            // What stands at nothing again has moved all the same.
            || name.starts_with("countersign_hash_jobs") && now.contains_key(name)
            || name.starts_with("countersign_keys") && now.contains_key(name)
    };
    for name in METRICS {
        until(name, Duration::from_secs(30), async || moved(name).await).await;
    }
    let told = observed.metrics().await;
    for name in STANDING {
        assert!(told.contains_key(name), "{name} among {:?}", told.keys());
    }
    assert_eq!((told["countersign_store_up{store=\"ephemeral\"}"], told["countersign_sms_budget"]), (1.0, 1000.0));
    // No metric without a story.
    let text = observed.metrics_text().await;
    let known: Vec<_> = METRICS.iter().chain(&STANDING).map(|series| family(series)).collect();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let untold: Vec<_> = names.filter(|name| *name != "target_info" && !known.contains(name)).collect();
    assert_eq!(untold, Vec::<&str>::new());
    let exported = ["rpc.server.call.duration", "countersign.hash.refused", "countersign.audit.tail_age"];
    until("metrics by OTLP", Duration::from_secs(20), async || {
        let names = observed.collector.metrics();
        exported.iter().all(|wanted| names.iter().any(|name| name == wanted))
    })
    .await;

    redis.kill();
    let is_down = async || observed.metrics().await["countersign_store_up{store=\"ephemeral\"}"] == 0.0;
    until("a dead Redis is told", Duration::from_secs(10), is_down).await;

    secrets.extend([PASSWORD, "a password that is wrong", APP, PHONE, NUMBER, "flood7@example.com"].map(Vec::from));
    secrets.extend([&NUMBER[1..], "traced%40example.com", "6912345678", KEY].map(Vec::from));
    secrets.extend(user.backup_codes.iter().map(|code| code.clone().into_bytes()));
    secrets.extend([user.app.secret().as_bytes().to_vec(), user.app.secret().to_base32().into_bytes()]);
    secrets.extend([user.session.access_token, user.refresh_token].map(String::into_bytes));
    observed.receiver.posted();
    let log = fs::read(observed.replica.process.home.join("log")).unwrap();
    let places =
        [("traces and metrics", observed.collector.bytes()), ("/metrics", text.into_bytes()), ("the log", log)];
    for ((place, bytes), there) in places.iter().zip(["local_auth", "LocalAuth", "request_id"]) {
        let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        assert!(holds(there.as_bytes()), "{there} is found in {place}");
        for secret in &secrets {
            assert!(!holds(secret), "{} lies in {place}", String::from_utf8_lossy(secret));
        }
    }
}

/// The name of a metric, of the name of one of its series.
fn family(series: &str) -> &str {
    let name = series.split('{').next().unwrap();
    name.strip_suffix("_count").unwrap_or(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_or_is_gone_costs_no_call_anything_and_a_stop_little() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = format!("http://127.0.0.1:{}", free_port());
    for endpoint in [format!("http://{}", silent.local_addr().unwrap()), gone] {
        let fleet = Fleet::new(&Sql::shared_postgres().new_database(), &redis::url(redis::shared()));
        fleet.add_user(APP);
        let sets = [format!("telemetry.otlp_endpoint={endpoint}"), "telemetry.otlp_metrics_seconds=1".to_owned()];
        let mut replica = fleet.replica_with(&sets).await;
        let user = replica.enrol(APP).await;
        for _ in 0..500 {
            assert!(replica.is_good(&user.session.access_token).await.unwrap());
        }
        assert!(replica.local_auth(APP).await.unwrap().two_fa_required);
        let begun = now();
        replica.process.stop("TERM");
        assert!(begun.elapsed() < Duration::from_secs(10), "{endpoint}: {:?}", begun.elapsed());
        let log = fs::read_to_string(replica.process.home.join("log")).unwrap();
        assert!(log.contains("stopped") && log.contains("were not taken"), "{log}");
    }
}
