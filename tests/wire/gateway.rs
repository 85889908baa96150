//! What only HTTP has: media types, sizes, slow clients, pages. Over plain connections, byte for byte where it matters.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    plain::{LOCAL, VERIFY, get, post, request, send},
    world::{ALICE, PASSWORD, World},
};

#[tokio::test]
async fn a_body_must_be_json_by_its_type() {
    let world = World::new().await;
    let body = json!({ "email": ALICE, "password": PASSWORD }).to_string();
    let typed = async |kind: Option<&str>, body: &str| {
        let mut request = request(&world, Method::POST, LOCAL, &[]);
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        send(request, body.to_owned(), false).await
    };
    for kind in ["application/json", "Application/JSON; charset=UTF-8", r#"application/json;charset="utf-8""#] {
        assert_eq!(typed(Some(kind), &body).await.status, StatusCode::OK, "{kind}");
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/jsonp",
        "",
    ] {
        let answer = typed(Some(kind), &body).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{kind}");
    }
    assert_eq!(typed(None, &body).await.reason(), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(typed(None, "").await.reason(), "INVALID_ARGUMENT", "nothing at all is an empty request");
    assert_eq!(typed(Some("text/plain"), "").await.reason(), "UNSUPPORTED_MEDIA_TYPE");
    for headers in [
        [("content-type", "application/json"), ("content-type", "text/plain")],
        [("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let answer = send(request(&world, Method::POST, LOCAL, &headers), body.clone(), false).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (415, "UNSUPPORTED_MEDIA_TYPE"), "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_malformed_is_told_by_field_and_counts_nowhere() {
    let world = World::with(&["limits.source_failures=3"]).await;
    let kind = [("content-type", "application/json")];
    for (body, fields) in [
        (r#"{"email": "#, vec!["body"]),
        (r#"{"email": 5, "password": ["x"]}"#, vec!["email", "password"]),
        (r#"{"email": "a@b.example", "pasword": "x"}"#, vec!["pasword"]),
        (r#"{"email": "a@b.example", "email": "c@d.example"}"#, vec!["body"]),
        ("\u{0}", vec!["body"]),
    ] {
        let answer = send(request(&world, Method::POST, LOCAL, &kind), body, false).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "INVALID_ARGUMENT"), "{body}");
        let problem = answer.json();
        let told: Vec<_> =
            problem["violations"].as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap()).collect();
        assert_eq!(told, fields, "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(fields[0]));
    }
    let invalid =
        send(request(&world, Method::POST, LOCAL, &kind), Bytes::from_static(b"{\"email\":\"\xff\"}"), false).await;
    assert_eq!(invalid.reason(), "INVALID_ARGUMENT");
    assert_eq!(world.audited("authn_login_fail").await, 0);
    assert_eq!(post(&world, LOCAL, &json!({ "email": ALICE, "password": PASSWORD }), &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn two_megabytes_are_refused_before_they_are_read() {
    let world = World::new().await;
    let large = json!({ "email": ALICE, "password": "x".repeat(2 << 20) });
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    let head = "POST /authentication/local HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2097152\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413", "and not a byte of the body was sent");
    let kind = request(&world, Method::POST, LOCAL, &[("content-type", "application/json")]);
    let over_http2 = send(kind, large.to_string(), true).await;
    assert_eq!((over_http2.status.as_u16(), over_http2.reason().as_str()), (413, "REQUEST_TOO_LARGE"));
    // Who reads no answer before all is sent reads it, too.
    for path in [LOCAL, "/nope", "/docs"] {
        let size = 3_900_000;
        let mut stream = TcpStream::connect(world.http).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 1000]).await.unwrap();
        // Time for the server to be done with it.
        assert_eq!(get(&world, "/docs", &[]).await.status, StatusCode::OK);
        for _ in 0..(size / 1000 - 1) {
            stream.write_all(&[b'x'; 1000]).await.unwrap();
        }
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer[..10], b"HTTP/1.1 4", "{path}");
    }
    let kind = request(&world, Method::POST, "/docs", &[("content-type", "application/json")]);
    assert_eq!(send(kind, "x".repeat(2 << 20), true).await.status.as_u16(), 405);
    // Without a length it is found while it comes.
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    let head = "POST /authentication/local HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    stream.write_all(chunk.as_bytes()).await.unwrap();
    stream.write_all(chunk.as_bytes()).await.unwrap();
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused_with_a_reason() {
    let world = World::new().await;
    let large = "x".repeat(17_000);
    for is_http2 in [false, true] {
        let answer =
            send(request(&world, Method::GET, "/authentication/twoFa", &[("x-large", &large)]), "", is_http2).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (413, "REQUEST_TOO_LARGE"));
    }
    let token = format!("Bearer {}", "x".repeat(9000));
    let answer = get(&world, "/authentication/twoFa", &[("authorization", &token)]).await;
    assert_eq!(answer.reason(), "REQUEST_TOO_LARGE", "what is passed on has the limit of gRPC");
}

#[tokio::test]
async fn a_request_of_a_thousand_faults_is_told_of_some() {
    let world = World::new().await;
    let kind = [("content-type", "application/json")];
    let keys: Vec<_> = (0..5000).map(|n| format!("\"k{n}\":1")).collect();
    let many = send(request(&world, Method::POST, LOCAL, &kind), format!("{{{}}}", keys.join(",")), false).await;
    let long = format!("{LOCAL}?{}=1", "x".repeat(8000));
    let query = format!("{LOCAL}?{}", "a&".repeat(7000));
    for answer in [
        many,
        send(request(&world, Method::POST, &long, &kind), "{}", false).await,
        send(request(&world, Method::POST, &query, &kind), "{}", false).await,
    ] {
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (400, "INVALID_ARGUMENT"));
        assert!(answer.text.len() < 8000, "{}", answer.text.len());
    }
    let target = format!("{LOCAL}?{}", "a".repeat(20_000));
    for path in [target.as_str(), &format!("/docs?{}", "a".repeat(20_000))] {
        assert_eq!(send(request(&world, Method::POST, path, &kind), "{}", false).await.reason(), "REQUEST_TOO_LARGE");
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body_over_both_protocols() {
    let world = World::new().await;
    for is_http2 in [false, true] {
        for (path, status) in
            [("/docs", 200), ("/.well-known/jwks.json", 200), ("/authentication/user", 401), ("/nope", 404)]
        {
            let answer = send(request(&world, Method::HEAD, path, &[]), "", is_http2).await;
            assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, ""), "{path} {is_http2}");
            let length: usize = answer.header("content-length").parse().unwrap();
            let whole = send(request(&world, Method::GET, path, &[]), "", is_http2).await;
            assert_eq!(
                (whole.text.len(), whole.header("content-length")),
                (length, answer.header("content-length")),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn a_request_names_one_host() {
    let world = World::new().await;
    for (hosts, status) in [("", "400"), ("host: a\r\nhost: a\r\n", "400"), ("host: a\r\n", "200")] {
        let (_, heard) =
            kept(&world, &format!("GET /.well-known/jwks.json HTTP/1.1\r\n{hosts}connection: close\r\n\r\n")).await;
        assert!(heard.starts_with(&format!("HTTP/1.1 {status}")), "{heard}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_leaves_nothing_half_done() {
    let world = World::with(&["limits.source_failures=3"]).await;
    let body = json!({ "email": ALICE, "password": PASSWORD }).to_string();
    let said = format!(
        "POST {LOCAL} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..12 {
        let mut stream = TcpStream::connect(world.http).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        // Gone, with a reset: nobody waits for the answer.
        stream.set_zero_linger().unwrap();
    }
    assert_eq!(post(&world, LOCAL, &json!({ "email": ALICE, "password": PASSWORD }), &[]).await.status, StatusCode::OK);
    let failures = "SELECT COUNT(*) AS n FROM buckets WHERE failures > 0";
    while world.count(failures).await > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_forwarded_address_is_believed_of_proxies_alone() {
    let sign_in = async |world: &World, from: &str, n: u32| {
        let body = json!({ "email": format!("u{n}@example.com"), "password": "a wrong one" });
        post(world, LOCAL, &body, &[("x-forwarded-for", from)]).await
    };
    let world = World::with(&["limits.source_failures=3"]).await;
    for n in 0..3 {
        assert_eq!(sign_in(&world, &format!("198.51.100.{n}"), n).await.reason(), "INVALID_CREDENTIALS");
    }
    let limited = sign_in(&world, "203.0.113.7", 9).await;
    assert_eq!(
        (limited.status.as_u16(), limited.reason().as_str(), limited.header("retry-after")),
        (429, "RATE_LIMITED", "600")
    );
    let rows = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_login_fail' AND source = '127.0.0.1'";
    assert_eq!(world.count(rows).await, 3);
    let world = World::with(&["limits.source_failures=3", "trusted_proxies=127.0.0.0/8"]).await;
    for n in 0..3 {
        assert_eq!(sign_in(&world, "203.0.113.1, 198.51.100.1", n).await.reason(), "INVALID_CREDENTIALS");
    }
    assert_eq!(sign_in(&world, "203.0.113.2, 198.51.100.1", 8).await.reason(), "RATE_LIMITED");
    assert_eq!(sign_in(&world, "198.51.100.2", 9).await.reason(), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn a_request_keeps_its_id_and_a_refusal_says_how_to_prove_oneself() {
    let world = World::new().await;
    let answer = get(&world, "/.well-known/jwks.json", &[("x-request-id", "abc-123")]).await;
    assert_eq!((answer.header("x-request-id"), answer.header("cache-control")), ("abc-123", "public, max-age=300"));
    assert_eq!(answer.json()["keys"][0]["crv"], "Ed25519");
    let without = get(&world, "/authentication/twoFa", &[]).await;
    assert_eq!(without.header("www-authenticate"), r#"Bearer realm="countersign""#);
    assert!(without.header("x-request-id").starts_with("req_"));
    let nowhere = get(&world, "/nope", &[("x-request-id", "not plain\"")]).await;
    assert!(nowhere.header("x-request-id").starts_with("req_"), "also where no rpc was asked");
    let with_bad = get(&world, "/authentication/twoFa", &[("authorization", "Bearer x")]).await;
    assert_eq!(with_bad.header("www-authenticate"), r#"Bearer realm="countersign", error="invalid_token""#);
    let (_, token) = world.enrol(ALICE).await;
    world.advance(301);
    let authorization = format!("Bearer {token}");
    let stale = post(&world, "/authentication/twoFa/enable", &json!({}), &[("authorization", &authorization)]).await;
    let expected =
        r#"Bearer error="insufficient_user_authentication", acr_values="urn:countersign:acr:2", max_age=300"#;
    assert_eq!((stale.reason().as_str(), stale.header("www-authenticate")), ("STEP_UP_REQUIRED", expected));
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there_have_a_reason() {
    let world = World::new().await;
    for path in [
        "/nope",
        "/authentication/Local",
        "/authentication/local/",
        "/countersign.v1.TwoFaService/LocalAuth",
        "/authentication//local",
    ] {
        let answer = get(&world, path, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.reason().as_str()), (404, "UNKNOWN_METHOD"), "{path}");
    }
    for (method, path, allowed) in [
        (Method::GET, LOCAL, "POST"),
        (Method::OPTIONS, LOCAL, "POST"),
        (Method::POST, "/authentication/user", "GET, HEAD"),
        (Method::PUT, "/authentication/sessions/ses_1", "DELETE"),
        (Method::POST, "/docs", "GET, HEAD"),
        (Method::DELETE, "/openapi.json", "GET, HEAD"),
    ] {
        let answer = send(request(&world, method, path, &[]), "", false).await;
        assert_eq!(
            (answer.status.as_u16(), answer.reason().as_str(), answer.header("allow")),
            (405, "UNKNOWN_METHOD", allowed),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_pages_ask_no_other_host() {
    let world = World::new().await;
    let docs = get(&world, "/docs", &[]).await;
    assert_eq!((docs.status.as_u16(), docs.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(docs.header("content-security-policy").starts_with("default-src 'none'; style-src 'self';"));
    let loaded = docs.text.match_indices("href=\"").map(|(at, _)| docs.text[at + 6..].split('"').next().unwrap());
    assert!(
        loaded.clone().all(|link| link.starts_with('#') || link.starts_with('/')),
        "{:?}",
        loaded.collect::<Vec<_>>()
    );
    assert!(!docs.text.contains("<script") && !docs.text.contains("src="));
    for name in ["LocalAuth", "GetJwks", "RATE_LIMITED", "TokenStatus"] {
        assert!(docs.text.contains(&format!("id=\"{name}\"")), "{name}");
    }
    for anchor in docs.text.match_indices("href=\"#").map(|(at, _)| docs.text[at + 7..].split('"').next().unwrap()) {
        assert!(docs.text.contains(&format!("id=\"{anchor}\"")), "{anchor} leads nowhere");
    }
    assert_eq!(get(&world, "/docs.css", &[]).await.header("content-type"), "text/css; charset=utf-8");
    let start = get(&world, "/", &[]).await;
    assert_eq!((start.status.as_u16(), start.header("location")), (302, "/docs"));
    let document = get(&world, "/openapi.json", &[]).await;
    assert_eq!(document.json()["openapi"], "3.1.0");
    assert_eq!(document.text, countersign::wire::http::document().unwrap());
}

#[tokio::test]
async fn http2_without_tls_serves_the_same() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let kind = [("content-type", "application/json")];
    let body = json!({ "email": ALICE, "password": PASSWORD }).to_string();
    let answer = send(request(&world, Method::POST, LOCAL, &kind), body, true).await;
    let (name, value, _) = answer.cookie().unwrap();
    let cookie = format!("{name}={value}");
    let origin = format!("http://{}", world.http);
    let headers = [kind[0], ("cookie", cookie.as_str()), ("origin", origin.as_str())];
    let body = json!({ "code": app.code_in(1) }).to_string();
    let answer = send(request(&world, Method::POST, VERIFY, &headers), body, true).await;
    assert_eq!(answer.status, StatusCode::OK, "the origin is that of :authority: {}", answer.text);
}

/// How long a connection that says this, and then no more, is kept.
async fn kept(world: &World, said: &str) -> (Duration, String) {
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    #[allow(clippy::disallowed_methods, reason = "what is measured is the server's own patience, in real time")]
    let begun = std::time::Instant::now();
    let mut heard = Vec::new();
    // Closed or reset: both are an end.
    let _ = stream.read_to_end(&mut heard).await;
    (begun.elapsed(), String::from_utf8_lossy(&heard).into_owned())
}

#[tokio::test]
async fn slow_clients_are_left() {
    let world = World::new().await;
    let head = "POST /authentication/local HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let (silent, half_head, half_preface, half_body) = tokio::join!(
        kept(&world, ""),
        kept(&world, "GET /docs HTTP/1.1\r\nhost:"),
        kept(&world, "PRI * HTTP/2.0\r\n"),
        kept(&world, head),
    );
    let end = Duration::from_secs(14);
    assert!(silent.0 < end && half_head.0 < end && half_preface.0 < end, "{silent:?} {half_head:?} {half_preface:?}");
    assert!(half_body.0 < end, "{half_body:?}");
    assert!(half_body.1.starts_with("HTTP/1.1 504") && half_body.1.contains("DEADLINE_EXCEEDED"), "{half_body:?}");
    assert_eq!(get(&world, "/docs", &[]).await.status, StatusCode::OK, "others are served meanwhile");
}
