//! TLS on both listeners, with the tools that people have: curl, grpcurl, openssl. Certificates that are renewed, and certificates of
//! clients.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    process::{Place, Service, ended, text},
    servers::certificates::{certificates, client_certificate},
};

const ORDERS: &str = "spiffe://example.org/ns/shop/sa/orders";
const TOKEN: &str = "svt_0123456789abcdef0123456789abcdef";

/// A service over TLS, with something else configured.
fn serve(place: &Place, more: &[String]) -> (Service, PathBuf) {
    let (ca, certificate, key) = certificates(place.home.path());
    let mut sets = vec![format!("tls.cert_file={}", certificate.display()), format!("tls.key_file={}", key.display())];
    sets.extend(more.iter().cloned());
    let args: Vec<_> = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]).collect();
    let args: Vec<_> = ["--dev"].into_iter().chain(args.iter().map(String::as_str)).collect();
    (place.serve(&args), ca)
}

fn curl(service: &Service, ca: &Path, path: &str, more: &[&str]) -> Output {
    let url = format!("https://localhost:{}{path}", service.http.port());
    let ca = ca.display().to_string();
    ended(
        Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert", &ca])
            .args(more)
            .arg(url),
    )
}

/// ValidateAccessToken by grpcurl, over TLS; what it says.
fn validate(service: &Service, ca: &Path, more: &[&str]) -> String {
    let mut command = Command::new("grpcurl");
    command.args(["-cacert", &ca.display().to_string(), "-max-time", "20"]).args(more);
    command.args(["-d", &json!({"accessToken": "none"}).to_string()]);
    command
        .args([&format!("localhost:{}", service.address.port()), "countersign.v1.SessionService/ValidateAccessToken"]);
    let output = ended(&mut command);
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

fn with_certificate(pair: &(PathBuf, PathBuf)) -> Vec<String> {
    vec!["-cert".to_owned(), pair.0.display().to_string(), "-key".to_owned(), pair.1.display().to_string()]
}

#[test]
fn both_listeners_speak_tls_alone_and_health_is_asked_over_it() {
    let place = Place::new();
    let (service, ca) = serve(&place, &[]);
    for version in ["--http1.1", "--http2"] {
        let output = curl(&service, &ca, "/.well-known/jwks.json", &[version]);
        assert!(text(&output.stdout).contains("\"keys\""), "{version}: {}", text(&output.stderr));
    }
    assert!(validate(&service, &ca, &[]).contains("TOKEN_STATUS_UNAUTHENTICATED"));
    let plain = format!("http://localhost:{}/.well-known/jwks.json", service.http.port());
    let output = ended(Command::new("curl").args(["--silent", "--max-time", "5", &plain]));
    assert!(!output.status.success() && output.stdout.is_empty(), "in clear there is nothing");
    let other = Place::new();
    let (other_ca, _, _) = certificates(other.home.path());
    assert!(!curl(&service, &other_ca, "/", &[]).status.success(), "the certificate is the one that was given");
    let credentials = json!({"email": "user@example.com", "password": "wrong password 1"}).to_string();
    let output = curl(&service, &ca, "/authentication/local", &["--json", &credentials]);
    assert!(text(&output.stdout).contains("INVALID_CREDENTIALS"), "{}", text(&output.stdout));
}

/// A connection over TLS that is asked more than once.
struct Held {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Held {
    fn open(service: &Service, ca: &Path) -> Self {
        let connect = format!("localhost:{}", service.http.port());
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-no_ign_eof", "-servername", "localhost", "-verify_return_error"]);
        command.args(["-connect", &connect, "-CAfile"]).arg(ca);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// The first line of an answer; the rest is read too.
    fn ask(&mut self) -> String {
        self.input.write_all(b"HEAD /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        self.input.flush().unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 || line.trim().is_empty() {
                return lines.into_iter().next().unwrap_or_default();
            }
            lines.push(line);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_renewed_under_load_and_no_call_fails() {
    let place = Place::new();
    let (service, ca) = serve(&place, &[]);
    let serial = |service: &Service| {
        let connect = format!("localhost:{}", service.http.port());
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &connect, "-servername", "localhost", "-CAfile"]).arg(&ca);
        let shown = ended(command.stdin(Stdio::null()));
        let path = place.path("shown.pem");
        fs::write(&path, &shown.stdout).unwrap();
        text(&ended(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(&path)).stdout)
    };
    let before = serial(&service);
    assert!(before.starts_with("serial="), "{before}");
    let renewed = Place::new();
    for name in ["ca.pem", "ca.key"] {
        fs::copy(place.path(name), renewed.path(name)).unwrap();
    }
    let (certificate, key) = client_certificate(renewed.home.path(), "server", "DNS:localhost,IP:127.0.0.1", "2");
    fs::write(renewed.path("server.ext"), "").unwrap();
    // A connection that is open all the while.
    let mut held = Held::open(&service, &ca);
    assert!(held.ask().contains("200 OK"));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|n| {
                let (service, ca, stop) = (&service, &ca, &stop);
                scope.spawn(move || {
                    let mut done = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if n == 0 {
                            let told = validate(service, ca, &[]);
                            assert!(told.contains("TOKEN_STATUS_UNAUTHENTICATED"), "{told}");
                        } else {
                            let output = curl(service, ca, "/.well-known/jwks.json", &[]);
                            assert!(output.status.success(), "{}", text(&output.stderr));
                        }
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(1));
        // The certificate first: for a moment it does not fit its key, and the old pair goes on.
        fs::copy(&certificate, place.path("server.pem")).unwrap();
        thread::sleep(Duration::from_millis(2500));
        fs::copy(&key, place.path("server.key")).unwrap();
        thread::sleep(Duration::from_secs(5));
        stop.store(true, Ordering::Relaxed);
        for caller in callers {
            assert!(caller.join().unwrap() > 5);
        }
    });
    assert_ne!(serial(&service), before);
    assert!(held.ask().contains("200 OK"), "a connection of before goes on");
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(log.contains("the certificate of the listeners was changed"), "{log}");
    assert!(log.contains("the one that was goes on"), "{log}");
}

#[test]
fn a_service_is_known_by_its_certificate_or_its_token_and_others_are_refused() {
    let place = Place::new();
    let home = place.home.path();
    let (ca, _, _) = certificates(home);
    fs::write(place.path("tokens"), format!("orders {TOKEN}\n")).unwrap();
    let more = [
        format!("tls.client_ca_file={}", ca.display()),
        format!("services.identities={ORDERS},stock.internal"),
        format!("services.tokens_file={}", place.path("tokens").display()),
        "services.required_for_validation=true".to_owned(),
    ];
    // The authority of the listener's certificate is made anew by `serve`; clients come from that one.
    let (service, ca) = serve(&place, &more);
    let ask = |pair: &(PathBuf, PathBuf)| {
        let more = with_certificate(pair);
        validate(&service, &ca, &more.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let good = "TOKEN_STATUS_UNAUTHENTICATED";
    for (who, name) in [("orders", format!("URI:{ORDERS}")), ("stock", "DNS:stock.internal".to_owned())] {
        let told = ask(&client_certificate(home, who, &name, "2"));
        assert!(told.contains(good), "{who}: {told}");
    }
    let told = ask(&client_certificate(home, "shop", "URI:spiffe://example.org/ns/shop/sa/other", "2"));
    assert!(told.contains("PermissionDenied"), "another name: {told}");
    let told = ask(&client_certificate(home, "host", &format!("DNS:{ORDERS}"), "2"));
    assert!(told.contains("Unauthenticated") && !told.contains(good), "a host that is called as a URI is: {told}");
    let told = ask(&client_certificate(home, "late", &format!("URI:{ORDERS}"), "-1"));
    assert!(!told.contains(good) && !told.contains("PermissionDenied"), "expired: {told}");
    let other = Place::new();
    certificates(other.home.path());
    let told = ask(&client_certificate(other.home.path(), "mallory", &format!("URI:{ORDERS}"), "2"));
    assert!(!told.contains(good) && !told.contains("PermissionDenied"), "another authority: {told}");
    let told = validate(&service, &ca, &[]);
    assert!(told.contains("Unauthenticated"), "none at all: {told}");
    let told = validate(&service, &ca, &["-H", &format!("authorization: Bearer {TOKEN}")]);
    assert!(told.contains(good), "a token: {told}");
    let told = validate(&service, &ca, &["-H", &format!("authorization: Bearer {TOKEN}0")]);
    assert!(told.contains("Unauthenticated") && !told.contains(good), "another token: {told}");
    // Over REST likewise; and what is for people asks for no certificate.
    let (certificate, key) = client_certificate(home, "orders", &format!("URI:{ORDERS}"), "2");
    let pair = ["--cert", &certificate.display().to_string(), "--key", &key.display().to_string()];
    let body = ["--json", "{\"accessToken\":\"none\"}"];
    let output = curl(&service, &ca, "/authentication/validate", &[&pair[..], &body[..]].concat());
    assert!(text(&output.stdout).contains(good), "{}", text(&output.stdout));
    assert!(text(&curl(&service, &ca, "/authentication/validate", &body).stdout).contains("UNAUTHENTICATED"));
    assert!(text(&curl(&service, &ca, "/.well-known/jwks.json", &[]).stdout).contains("\"keys\""));
}

#[test]
fn where_a_client_certificate_is_demanded_nobody_gets_in_without_one() {
    let place = Place::new();
    let (ca, certificate, key) = certificates(place.home.path());
    let sets = [
        format!("tls.cert_file={}", certificate.display()),
        format!("tls.key_file={}", key.display()),
        format!("tls.client_ca_file={}", ca.display()),
        "tls.client_required=true".to_owned(),
    ];
    let args: Vec<_> = sets.into_iter().flat_map(|set| ["--set".to_owned(), set]).collect();
    let args: Vec<_> = ["--dev"].into_iter().chain(args.iter().map(String::as_str)).collect();
    let service = place.serve_unasked(&args);
    let mut seen = String::new();
    for _ in 0..200 {
        seen = text(&curl(&service, &ca, "/.well-known/jwks.json", &[]).stderr);
        if seen.contains("certificate required") || seen.contains("alert") {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(seen.contains("alert"), "{seen}");
    let (certificate, key) = client_certificate(place.home.path(), "anybody", "DNS:anybody.example", "2");
    let pair = ["--cert", &certificate.display().to_string(), "--key", &key.display().to_string()];
    let output = curl(&service, &ca, "/.well-known/jwks.json", &pair);
    assert!(text(&output.stdout).contains("\"keys\""), "{}", text(&output.stderr));
}

#[test]
fn a_client_with_a_certificate_shakes_hands_anew_each_time() {
    for (with_clients, resumes) in [(false, true), (true, false)] {
        let place = Place::new();
        let ca = place.path("ca.pem").display().to_string();
        let more = if with_clients { vec![format!("tls.client_ca_file={ca}")] } else { Vec::new() };
        let (service, _) = serve(&place, &more);
        let connect = format!("localhost:{}", service.http.port());
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &connect, "-CAfile", &ca, "-tls1_2", "-reconnect"]);
        let shown = text(&ended(command.stdin(std::process::Stdio::null())).stdout);
        assert!(shown.contains("New, TLSv1.2"), "{shown}");
        // Where certificates are asked for, one that has ended since is seen.
        assert_eq!(shown.contains("Reused, TLSv1.2"), resumes, "{shown}");
    }
}

#[tokio::test]
async fn one_host_that_ends_no_handshake_keeps_nobody_else_out() {
    let place = Place::new();
    let (service, ca) = serve(&place, &[]);
    let mut silent = Vec::new();
    for _ in 0..1000 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        silent.push(socket.connect(service.address).await.unwrap());
    }
    let told = validate(&service, &ca, &["-max-time", "10"]);
    assert!(told.contains("TOKEN_STATUS_UNAUTHENTICATED"), "{told}");
    drop(silent);
}

#[test]
fn an_open_address_without_tls_and_halves_of_it_stop_the_start() {
    let place = Place::new();
    let (ca, certificate, key) = certificates(place.home.path());
    let ca = format!("tls.client_ca_file={}", ca.display());
    let (certificate, key) =
        (format!("tls.cert_file={}", certificate.display()), format!("tls.key_file={}", key.display()));
    for (sets, told) in [
        (vec!["grpc.listen=0.0.0.0:0"], "tls.allow_plaintext = true"),
        (vec!["http.listen=[::]:0"], "tls.allow_plaintext = true"),
        (vec!["telemetry.listen=[::]:0", "tls.allow_plaintext=true"], "telemetry.allow_plaintext = true"),
        (vec!["telemetry.listen=0.0.0.0:0", &certificate, &key], "telemetry.allow_plaintext = true"),
        (vec![certificate.as_str()], "tls.key_file"),
        (vec![key.as_str()], "tls.cert_file"),
        (vec![ca.as_str()], "needs tls.cert_file and tls.key_file"),
        (vec!["services.required_for_validation=true"], "needs services.identities or services.tokens"),
        (vec!["services.tokens=orders short"], "at least 32 characters"),
        (vec!["services.identities=spiffe://example.org/orders"], "needs tls.client_ca_file"),
    ] {
        let sets: Vec<_> = sets.into_iter().flat_map(|set| ["--set", set]).collect();
        let output = place.run(&[&["config", "check"], &sets[..]].concat());
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(told), "{sets:?}: {said}");
    }
    for (listen, flag) in [
        ("grpc.listen=0.0.0.0:0", "tls.allow_plaintext=true"),
        ("telemetry.listen=0.0.0.0:0", "telemetry.allow_plaintext=true"),
    ] {
        let open = ["config", "check", "--set", listen, "--set", flag];
        assert!(place.run(&open).status.success(), "in so many words: {flag}");
    }
    fs::write(place.path("no.key"), "no key").unwrap();
    let no_key = format!("tls.key_file={}", place.path("no.key").display());
    let output = place.run(&["serve", "--set", "grpc.listen=127.0.0.1:0", "--set", &certificate, "--set", &no_key]);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("tls.key_file holds no private key"), "{said}");
    assert!(!place.path("countersign-data").exists(), "and nothing is made");
}
