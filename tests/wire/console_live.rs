//! The live end of the audit log on the console: it says when there is nothing to follow any more.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

use crate::{
    audit::sealed,
    browser::Browser,
    plain::{get, request},
    world::{ADMIN, ALICE, World},
};

#[tokio::test]
async fn the_live_end_of_the_audit_log_ends_with_the_session() {
    let world = World::new().await;
    let (app, _) = world.enrol(ADMIN).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    sealed(&world).await;
    browser.get("/console").await;
    let cookies = browser.cookie_line();
    let path = "/console/admin/audit/live?after=0&kind=all";
    let request = request(&world, Method::GET, path, &[("cookie", &cookies)]).body(Full::<Bytes>::default());
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no", "a proxy passes each record on at once");
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"id: 1\ndata: <tr data-position=\"1\" role=\"row\">"), "{first:?}");
    browser.post("/console/sign-out", &[]).await;
    let rest = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(rest.ends_with("event: ended\ndata: Your session has ended. Sign in again.\n\n"), "{rest}");
}

#[tokio::test]
async fn whoever_comes_again_after_the_end_is_told_so_in_a_stream() {
    const PATH: &str = "/console/admin/audit/live?after=0";
    let world = World::new().await;
    let accept = ("accept", "text/event-stream");
    let (app, _) = world.enrol(ALICE).await;
    let mut user = Browser::new(&world);
    user.sign_in_with(ALICE, &app, 1).await;
    let cookies = [String::new(), "countersign_console_refresh=rft_none".to_owned(), user.cookie_line()];
    let texts = ["Your session has ended.", "Your session has ended.", "This page is for administrators."];
    for (cookies, text) in cookies.iter().zip(texts) {
        let answer = get(&world, PATH, &[accept, ("cookie", cookies)]).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "text/event-stream"), "{cookies}");
        assert!(answer.text.starts_with(&format!("event: ended\ndata: {text}")), "{}", answer.text);
    }
}
