//! Signing in and out on the console: where it leads, what the browser keeps, and what ends.

use http::StatusCode;

use crate::{
    browser::{Browser, set_cookies},
    world::{ALICE, PASSWORD, World},
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
