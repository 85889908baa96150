//! What the console makes of requests as browsers and proxies send them: forms that are no forms, where they come from, and what the
//! calls behind a page are told of the request.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    browser::Browser,
    plain::{request, send},
    world::{ALICE, PASSWORD, World},
};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_form_that_is_too_long_or_none_gets_a_page_that_says_so() {
    let world = World::new().await;
    let own = format!("http://{}", world.http);
    let post = async |media: &str, body: String| {
        let headers = [("content-type", media), ("origin", own.as_str())];
        send(request(&world, Method::POST, "/console/sign-in", &headers), body, false).await
    };
    let fits = post(FORM, format!("email={}", "x".repeat(64 * 1024 - 6))).await;
    assert_eq!(fits.status, StatusCode::FORBIDDEN, "64 KiB are taken, and judged: {}", fits.text);
    for (answer, status, words) in [
        (post(FORM, format!("email={}", "x".repeat(64 * 1024 - 5))).await, 413, "This is too long."),
        (post("application/json", "{}".to_owned()).await, 415, "something that is not a form."),
        (post("", String::new()).await, 415, "something that is not a form."),
    ] {
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "text/html; charset=utf-8"));
        assert!(answer.text.contains(words) && !answer.text.contains("64 KiB"), "{words}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_form_that_does_not_arrive_is_not_waited_for() {
    let world = World::new().await;
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    let head = format!(
        "POST /console/sign-in HTTP/1.1\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: 100\r\n\r\nemail="
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 16 * 1024];
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut answer)).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(text.starts_with("HTTP/1.1 504 ") && text.contains("text/html"), "{text}");
}

#[tokio::test]
async fn a_form_that_is_refused_says_which_of_the_causes_it_is() {
    let world = World::new().await;
    let fields = [("email", ALICE), ("password", PASSWORD)];
    let mut browser = Browser::new(&world);
    browser.get("/console/sign-in").await;
    let elsewhere = browser.post_from("/console/sign-in", &fields, &[("origin", "https://console.example")]).await;
    assert!(elsewhere.text.contains("something on the way changes the address"), "{}", elsewhere.text);
    let (cookies, token) = (std::mem::take(&mut browser.cookies), browser.token.clone());
    let without = browser.post("/console/sign-in", &fields).await;
    assert!(without.text.contains("has not kept the cookie of this page"), "{}", without.text);
    (browser.cookies, browser.token) = (cookies, format!("{token}x"));
    let expired = browser.post("/console/sign-in", &fields).await;
    assert!(expired.text.contains("This page was open for too long"), "{}", expired.text);
}

#[tokio::test]
async fn where_cookies_are_for_tls_alone_a_form_of_a_page_without_tls_is_refused() {
    let world = World::with(&["http.secure_cookies=true"]).await;
    let fields = [("email", ALICE), ("password", PASSWORD)];
    for (scheme, status) in [("http", StatusCode::FORBIDDEN), ("https", StatusCode::SEE_OTHER)] {
        let mut browser = Browser::new(&world);
        browser.get("/console/sign-in").await;
        let origin = format!("{scheme}://{}", world.http);
        let answer = browser.post_from("/console/sign-in", &fields, &[("origin", &origin)]).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn a_call_is_told_where_a_visit_comes_from_and_what_it_is_a_part_of() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let world = World::with(&["trusted_proxies=127.0.0.0/8"]).await;
    let mut browser = Browser::new(&world);
    browser.get("/console/sign-in").await;
    let origin = format!("http://{}", world.http);
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let headers = [
        ("origin", origin.as_str()),
        ("x-forwarded-for", "203.0.113.66, 198.51.100.7"),
        ("traceparent", &parent),
        ("x-request-id", "req-of-a-proxy-1"),
        ("authorization", "Bearer nonsense"),
    ];
    let answer = browser.post_from("/console/sign-in", &[("email", ALICE), ("password", PASSWORD)], &headers).await;
    assert_eq!(
        answer.status,
        StatusCode::SEE_OTHER,
        "a token of the request is none of the console's: {}",
        answer.text
    );
    assert_eq!(answer.header("x-request-id"), "req-of-a-proxy-1");
    let row = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'authn_login_success' AND source = '198.51.100.7'";
    let whole = format!("{row} AND request_id = 'req-of-a-proxy-1' AND trace_id = '{TRACE}'");
    assert_eq!((world.count(row).await, world.count(&whole).await), (1, 1));
    let page = browser.get("/console/sessions").await.text;
    assert!(page.contains("198.51.100.7 · Password only"), "{page}");
    // Of nobody who is trusted, what is said of it is not believed.
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.get("/console/sign-in").await;
    let origin = format!("http://{}", world.http);
    let headers = [("origin", origin.as_str()), ("x-forwarded-for", "198.51.100.7")];
    browser.post_from("/console/sign-in", &[("email", ALICE), ("password", PASSWORD)], &headers).await;
    assert!(browser.get("/console/sessions").await.text.contains("127.0.0.1 · Password only"));
}
