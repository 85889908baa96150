//! Signing in and out on the console: where it leads, what the browser keeps, and what ends.

use countersign::wire::pb;
use http::StatusCode;

use crate::{
    browser::{ACCESS, Browser, REFRESH, set_cookies},
    phone::NUMBER,
    plain::Answer,
    provider::Provider,
    world::{ADMIN, ALICE, BOB, PASSWORD, World},
};

/// What browsers keep of a cookie, name and attributes included.
const KEPT: usize = 4096;

#[tokio::test]
async fn an_address_to_go_on_to_of_any_length_hinders_no_sign_in() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let fits = format!("/console/activity?page={}", "9".repeat(900));
    let long = format!("/console/activity?page={}", "9".repeat(6000));
    for (steps, next, leads) in [(1, &fits, fits.as_str()), (2, &long, "/console")] {
        world.advance(30);
        let mut browser = Browser::new(&world);
        browser.get(&format!("/console/sign-in?next={next}")).await;
        let fields = [("email", ALICE), ("password", PASSWORD), ("next", next)];
        let answer = browser.post("/console/sign-in", &fields).await;
        for (name, value, attributes) in set_cookies(&answer.headers) {
            assert!(name.len() + value.len() + attributes.len() + 3 <= KEPT, "{name} has {} bytes", value.len());
        }
        browser.follow(answer).await;
        let answer = browser.post("/console/sign-in/code", &[("code", &app.code_in(steps - 1))]).await;
        assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, leads), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_sign_in_ends_the_session_that_the_browser_had() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let first = browser.cookies[ACCESS].clone();
    for (email, page) in [(BOB, BOB), (ALICE, ALICE)] {
        let before = browser.cookies[ACCESS].clone();
        browser.get("/console/password").await;
        let answer = browser.post("/console/sign-in", &[("email", email), ("password", PASSWORD)]).await;
        assert!(browser.follow(answer).await.text.contains(page));
        assert!(!world.is_good(&before).await, "nobody has its tokens any more");
    }
    assert!(!world.is_good(&first).await);
    assert_eq!(world.list_sessions(&browser.cookies[ACCESS]).await.len(), 1);
    assert_eq!(world.audited("session_ended").await, 2);
    let mut other = Browser::new(&world);
    other.sign_in(BOB).await;
    let before = other.cookies[ACCESS].clone();
    other.post("/console/sign-in", &[("email", ALICE), ("password", "wrong password 1")]).await;
    assert!(world.is_good(&before).await, "a wrong password ends nothing");
}

#[tokio::test]
async fn a_password_that_is_set_signs_out_nobody_else() {
    const NEW: &str = "seven quiet boats at dawn";
    let world = World::new().await;
    for (email, is_own) in [(ALICE, true), (BOB, false)] {
        let mut browser = Browser::new(&world);
        browser.sign_in(email).await;
        let session = browser.cookies[ACCESS].clone();
        let token = world.password_token(ALICE).await;
        browser.get("/console/set-password").await;
        browser.post("/console/set-password", &[("token", &token), ("new_password", NEW)]).await;
        assert_eq!(
            (browser.cookies.contains_key(REFRESH), world.is_good(&session).await),
            (!is_own, !is_own),
            "{email}"
        );
        let page = browser.get("/console").await;
        assert_eq!(page.status.is_redirection(), is_own, "{email}: {}", page.text);
        let token = world.password_token(ALICE).await;
        let request = pb::SetPasswordRequest { token, new_password: PASSWORD.to_owned(), ..Default::default() };
        world.set_password(request).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_done_is_said_once_and_by_no_link() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.get("/console/sign-in?done=password_set").await;
    assert!(!page.text.contains("Your password is set."), "{}", page.text);
    browser.sign_in(ALICE).await;
    let answer = browser.post("/console/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/console/sign-in");
    assert!(browser.follow(answer).await.text.contains("You are signed out."));
    assert!(!browser.get("/console/sign-in").await.text.contains("You are signed out."));
}

#[tokio::test]
async fn a_page_that_is_refused_late_does_not_sign_out_who_has_signed_in_meanwhile() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let mut late = browser.clone();
    browser.post("/console/sign-out", &[]).await;
    browser.sign_in(ALICE).await;
    let answer = late.get("/console/sessions").await;
    assert_eq!(set_cookies(&answer.headers).len(), 0, "{:?}", answer.headers);
    // The browser of both goes on with the cookies that it has by now.
    let answer = browser.follow(answer).await;
    assert_eq!(answer.header("location"), "/console/sessions");
    assert_eq!(browser.follow(answer).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_hundred_sessions_are_ended_at_once_and_the_rest_when_it_is_asked_again() {
    let world = World::new().await;
    for _ in 0..101 {
        world.sign_in(ALICE).await;
    }
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    browser.get("/console/sessions").await;
    let answer = browser.post("/console/sessions/end-others", &[]).await;
    assert!(browser.follow(answer).await.text.contains("end all others once again"));
    assert_eq!(world.list_sessions(&browser.cookies[ACCESS]).await.len(), 2);
    let answer = browser.post("/console/sessions/end-others", &[]).await;
    assert!(browser.follow(answer).await.text.contains("Every other session has ended."));
    assert_eq!(world.list_sessions(&browser.cookies[ACCESS]).await.len(), 1);
}

#[tokio::test]
async fn every_cookie_is_for_this_host_and_for_no_script_and_for_no_longer_than_it_is_of_use() {
    let provider = Provider::start().await;
    let sets = provider.twilio();
    let sets: Vec<_> = sets.iter().map(String::as_str).chain(["http.secure_cookies=true"]).collect();
    let world = World::with(&sets).await;
    let (app, _) = world.enrol(ALICE).await;
    let mut seen = Vec::new();
    let mut note = |answer: &Answer| seen.extend(set_cookies(&answer.headers));
    let mut browser = Browser::new(&world);
    note(&browser.get("/console/sign-in").await);
    note(&browser.post("/console/sign-in", &[("email", ALICE), ("password", PASSWORD)]).await);
    note(&browser.post("/console/sign-in/code", &[("code", &app.code_in(1))]).await);
    browser.get("/console").await;
    note(&browser.post("/console/factors/phone", &[("phone_number", NUMBER)]).await);
    note(&browser.post("/console/step-up", &[("step_up", "open")]).await);
    note(&browser.post("/console/sign-out", &[]).await);
    let token = world.password_token(ALICE).await;
    browser.get("/console/set-password").await;
    let fields = [("token", token.as_str()), ("new_password", "seven quiet boats at dawn")];
    note(&browser.post("/console/set-password", &fields).await);
    browser.get("/console/sign-in").await;
    note(&browser.post("/console/sign-in", &[("email", ADMIN), ("password", PASSWORD)]).await);
    for (what, seconds) in [
        ("form", 604_800),
        ("access", 900),
        ("refresh", 604_800),
        ("enrolment", 600),
        ("sign_in_challenge", 600),
        ("step_up_challenge", 600),
        ("phone_challenge", 600),
        ("password_challenge", 600),
        ("password_token", 600),
        ("deed", 60),
    ] {
        let name = format!("__Host-countersign_console_{what}");
        let set = seen.iter().find(|(known, value, _)| *known == name && !value.is_empty());
        let (_, _, attributes) = set.unwrap_or_else(|| panic!("{name} is not set"));
        assert_eq!(*attributes, format!("Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict; Secure"), "{name}");
    }
    let ended = seen.iter().filter(|(_, value, _)| value.is_empty());
    assert!(ended.clone().count() > 3, "{seen:?}");
    for (name, _, attributes) in ended {
        assert_eq!(attributes, "Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure", "{name}");
    }
}
