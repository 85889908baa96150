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
