//! Abuse, as it comes over the network: floods of sign-ins, of resets, of frames and of connections, giant headers, bodies that never
//! end. Memory stays bounded, and whoever behaves is served.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use countersign::wire::pb;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

use crate::{
    replica::{BUSY, Enrolled, Fleet, PASSWORD, Replica, now, reason, until},
    servers::{process::free_port, redis, sql::Sql},
};

const USER: &str = "honest@example.com";
/// A replica that was flooded has no more memory than this: two hashing threads, connections up to their limits, and what it has at rest.
const MEMORY: u64 = 400 * 1024;

struct Flooded {
    _fleet: Fleet,
    replica: Replica,
    http: SocketAddr,
    user: Enrolled,
}

impl Flooded {
    async fn start() -> Self {
        let fleet = Fleet::new(&Sql::shared_postgres().new_database(), &redis::url(redis::shared()));
        fleet.add_user(USER);
        let http: SocketAddr = (Ipv4Addr::LOCALHOST, free_port()).into();
        let replica = fleet.replica_with(&[format!("http.listen={http}")]).await;
        let user = replica.enrol(USER).await;
        Self { _fleet: fleet, replica, http, user }
    }

    fn grpc(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.replica.process.port).into()
    }

    /// The memory of the replica, in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.replica.process.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Whoever has signed in goes on: token, status and health, by connections of old and by new ones.
    async fn is_served(&self, what: &str) {
        for _ in 0..20 {
            let is_good = self.replica.is_good(&self.user.session.access_token).await;
            assert!(is_good.as_ref().is_ok_and(|is_good| *is_good), "{what}: {is_good:?}");
            assert!(self.replica.status(&self.user.session.access_token).await.is_ok(), "{what}");
        }
        assert!(self.replica.serves("liveness").await && self.replica.serves("").await, "{what}");
        let answer = timeout(Duration::from_secs(10), get(self.http, "/.well-known/jwks.json")).await.unwrap();
        assert!(answer.contains("200 OK"), "{what}: {answer}");
    }

    /// Says what it came to; more than the bound is a fault.
    fn is_bounded(&self, what: &str, before: u64) {
        let after = self.memory();
        tell(&format!("{what}: {} MiB before, {} MiB after", before / 1024, after / 1024));
        assert!(after < MEMORY, "{what}: {before} KiB, then {after} KiB");
    }
}

#[allow(clippy::print_stderr, reason = "figures, for whoever runs it with --nocapture")]
fn tell(figure: &str) {
    eprintln!("{figure}");
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ins_keeps_nobody_out_who_has_begun_one() {
    let flooded = Flooded::start().await;
    let before = flooded.memory();
    let challenge = flooded.replica.patient_local_auth(USER).await.challenge_id;
    let mut flood = JoinSet::new();
    for n in 0..1200 {
        let mut client = flooded.replica.twofa.clone();
        let request = pb::LocalAuthRequest { email: format!("flood{n}@example.com"), password: "wrong".to_owned() };
        flood.spawn(async move { reason(&client.local_auth(request).await) });
    }
    // In the middle of it: a code, which no hash stands in the way of.
    flooded.is_served("a flood of sign-ins").await;
    let session = flooded.replica.verify("", &challenge, &flooded.user.next_code()).await;
    assert!(session.is_ok(), "{session:?}");
    let reasons = flood.join_all().await;
    assert!(reasons.iter().any(|reason| reason == "RATE_LIMITED"), "the pool was full");
    let known = ["INVALID_CREDENTIALS", "DEADLINE_EXCEEDED"];
    assert!(reasons.iter().all(|reason| BUSY.contains(&reason.as_str()) || known.contains(&reason.as_str())));
    flooded.is_bounded("1,200 sign-ins at once", before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_moment_only_is_not_held_to_have_guessed() {
    let flooded = Flooded::start().await;
    // The last ones end while the password is hashed.
    for millis in (5..=100).rev().step_by(5) {
        let request = pb::LocalAuthRequest { email: USER.to_owned(), password: PASSWORD.to_owned() };
        let mut request = tonic::Request::new(request);
        request.set_timeout(Duration::from_millis(millis));
        let _ = flooded.replica.twofa.clone().local_auth(request).await;
    }
    let lets_in = async || flooded.replica.local_auth(USER).await.is_ok();
    until("the right password lets in", Duration::from_secs(10), lets_in).await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection of HTTP/2 that has said hello. What comes back is read and thrown away; until when, the second half tells.
async fn hello(address: SocketAddr) -> (tokio::net::tcp::OwnedWriteHalf, JoinSet<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        while read.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    });
    write.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    write.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    (write, reading)
}

/// Sends the same again and again; answers how many bytes were taken before the server hung up, or all of them.
async fn pour(address: SocketAddr, first: &[u8], again: &[u8], most: usize) -> usize {
    let (mut write, _reading) = hello(address).await;
    let many = again.repeat((64 * 1024 / again.len()).max(1));
    if write.write_all(first).await.is_err() {
        return 0;
    }
    let mut taken = 0;
    while taken < most {
        match timeout(Duration::from_secs(15), write.write_all(&many)).await {
            Ok(Ok(())) => taken += many.len(),
            Ok(Err(_)) | Err(_) => break,
        }
    }
    taken
}

/// Begins calls, and resets them once the server is at them; answers how many, until the server hung up.
async fn reset_slowly(address: SocketAddr, head: &[u8]) -> u32 {
    const AT_ONCE: u32 = 50;
    let (mut write, _reading) = hello(address).await;
    for round in 0..100 {
        let streams: Vec<_> = (0..AT_ONCE).map(|n| (round * AT_ONCE + n) * 2 + 1).collect();
        let heads: Vec<_> = streams.iter().flat_map(|stream| frame(1, END_HEADERS, *stream, head)).collect();
        let resets: Vec<_> = streams.iter().flat_map(|stream| frame(3, 0, *stream, &8_u32.to_be_bytes())).collect();
        if write.write_all(&heads).await.is_err() {
            return round * AT_ONCE;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if write.write_all(&resets).await.is_err() {
            return round * AT_ONCE;
        }
    }
    100 * AT_ONCE
}

/// The head of a request to an rpc that takes one, in HPACK without a table.
fn head(authority: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/countersign.v1.TwoFaService/LocalAuth"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

const END_HEADERS: u8 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_cost_their_sender_its_connection_and_nobody_else_anything() {
    let flooded = Flooded::start().await;
    let before = flooded.memory();
    let head = head("localhost");
    const MANY: usize = 64 * 1024 * 1024;
    for address in [flooded.grpc(), flooded.http] {
        // Headers without an end, in pieces that hold next to nothing each (CVE-2024-27316 and its kin).
        let piece = frame(9, 0, 1, b"\x00\x01a\x01b");
        let taken = pour(address, &frame(1, 0, 1, &head), &piece, MANY).await;
        assert!(taken < 16 * 1024 * 1024, "CONTINUATION: {taken} bytes");
        flooded.is_served("CONTINUATION").await;
        // A stream that is opened and reset at once, again and again (CVE-2023-44487).
        let mut resets = Vec::new();
        for stream in (1..200_000_u32).step_by(2) {
            resets.extend(frame(1, END_HEADERS, stream, &head));
            resets.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
        }
        let taken = pour(address, &[], &resets, resets.len()).await;
        assert!(taken < resets.len(), "resets: {taken} bytes");
        flooded.is_served("resets").await;
        assert!(reset_slowly(address, &head).await < 5000, "whoever lets each call begin first");
        flooded.is_served("slow resets").await;
        // Frames without a word in them, questions, and settings. They cost a moment each, and are read one after the other.
        for (name, first, again) in [
            ("empty DATA", frame(1, END_HEADERS, 1, &head), frame(0, 0, 1, &[])),
            ("PING", Vec::new(), frame(6, 0, 0, &[0; 8])),
            ("SETTINGS", Vec::new(), frame(4, 0, 0, &[])),
            ("WINDOW_UPDATE", frame(1, END_HEADERS, 1, &head), frame(8, 0, 1, &1_u32.to_be_bytes())),
        ] {
            pour(address, &first, &again, MANY / 16).await;
            flooded.is_served(name).await;
            flooded.is_bounded(name, before);
        }
    }
    flooded.is_bounded("floods of frames", before);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_out() {
    let flooded = Flooded::start().await;
    let before = flooded.memory();
    let mut idle = Vec::new();
    let mut opened = 0;
    for host in 1..=10 {
        // As many hosts, so that no host's share is in the way.
        let mut connecting = JoinSet::new();
        for n in 0..1000 {
            let address = if n % 5 == 0 { flooded.http } else { flooded.grpc() };
            connecting.spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind((Ipv4Addr::new(127, 0, 7, host), 0).into()).unwrap();
                timeout(Duration::from_secs(3), socket.connect(address)).await
            });
        }
        for connected in connecting.join_all().await {
            opened += 1;
            idle.extend(connected.ok().and_then(Result::ok));
        }
    }
    assert_eq!(opened, 10_000);
    assert!(idle.len() > 3000, "{}", idle.len());
    // By connections of old, and by new ones once some that ask nothing are left.
    let is_served = timeout(Duration::from_secs(30), flooded.is_served("10,000 idle connections")).await;
    assert!(is_served.is_ok(), "whoever comes then waits for a place");
    flooded.is_bounded("10,000 idle connections", before);
    drop(idle);
}

#[tokio::test(flavor = "multi_thread")]
async fn giant_headers_and_bodies_that_never_end_are_refused_in_time() {
    let flooded = Flooded::start().await;
    let before = flooded.memory();
    for bytes in [20 * 1024, 4 * 1024 * 1024] {
        let mut stream = TcpStream::connect(flooded.http).await.unwrap();
        let giant = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx-giant: {}\r\n\r\n", "x".repeat(bytes));
        // The server may hang up before all of it is sent.
        let _ = stream.write_all(giant.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.contains(" 413 ") || answer.contains(" 431 "), "{bytes}: {answer}");
    }
    // More calls whose messages do not come than there are places for calls; and as many requests as a host may have connections.
    let mut slow = JoinSet::new();
    for _ in 0..12 {
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        for _ in 0..100 {
            slow.spawn(slow_grpc(client.clone(), flooded.grpc()));
        }
    }
    for _ in 0..250 {
        let http = flooded.http;
        slow.spawn(async move { slow_http(http).await });
    }
    flooded.is_served("bodies that never end").await;
    let begun = now();
    let answers = timeout(Duration::from_secs(30), slow.join_all()).await.unwrap();
    assert!(answers.iter().all(|answer| !answer.contains("200 OK") && answer != "0"), "{answers:?}");
    tell(&format!("1,450 bodies that never end: the last was given up after {:?}", begun.elapsed()));
    flooded.is_bounded("giant headers and slow bodies", before);
}

type SlowBody = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

/// A call of gRPC whose message stops after its length; what it is answered.
async fn slow_grpc(client: Client<HttpConnector, SlowBody>, address: SocketAddr) -> String {
    let begin = futures_util::stream::iter([Ok::<_, std::io::Error>(hyper::body::Frame::data(
        BytesMut::from(&[0, 0, 0, 0, 100, 1][..]).freeze(),
    ))]);
    let body = StreamBody::new(futures_util::StreamExt::chain(begin, futures_util::stream::pending())).boxed();
    let request = http::Request::post(format!("http://{address}/countersign.v1.SessionService/GetJwks"));
    let request = request.header("content-type", "application/grpc").header("te", "trailers").body(body).unwrap();
    let Ok(answer) = client.request(request).await else { return "hung up".to_owned() };
    let header = |map: &http::HeaderMap| map.get("grpc-status").map(|value| value.to_str().unwrap().to_owned());
    match header(answer.headers()) {
        Some(status) => status,
        None => {
            let collected = answer.into_body().collect().await.unwrap();
            collected.trailers().and_then(header).unwrap_or_default()
        }
    }
}

/// A request over REST whose body stops in the middle; what it is answered.
async fn slow_http(address: SocketAddr) -> String {
    // Of another host: each has its share of the places.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 8, 1), 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let head = "POST /authentication/local HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let count = stream.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&Bytes::copy_from_slice(&answer[..count])).into_owned()
}
