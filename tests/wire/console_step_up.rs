//! Proving a factor anew on the console: who has none is led to set one up, a look has no effects, and what goes on afterwards is what
//! was asked for, by whoever has asked.

use countersign::wire::pb;
use http::StatusCode;

use crate::{
    admin_users::{find, role, update},
    browser::{ACCESS, Browser},
    world::{ADMIN, ALICE, Authenticator, World},
};

/// A world in which administrators may do without a factor for a day.
async fn lenient() -> (World, String) {
    let world = World::new().await;
    let (_, token) = world.enrol(ADMIN).await;
    let day = Some(prost_types::Duration { seconds: 24 * 60 * 60, nanos: 0 });
    world.update_settings(&token, pb::Settings { admin_grace_period: day, ..Default::default() }).await.unwrap();
    (world, token)
}

#[tokio::test]
async fn an_administrator_without_a_factor_is_led_to_set_one_up() {
    let (world, token) = lenient().await;
    let alice = find(&world, &token, ALICE).await.user_id;
    update(&world, &token, role(pb::Role::Admin, &alice)).await.unwrap();
    let mut browser = Browser::new(&world);
    let page = browser.sign_in(ALICE).await;
    assert!(page.text.contains(ALICE), "within the grace the password is enough: {}", page.text);
    let session = browser.cookies[ACCESS].clone();
    for path in ["settings", "users", "audit", "adoption", "keys"] {
        let answer = browser.get(&format!("/console/admin/{path}")).await;
        assert_eq!(answer.header("location"), "/console/enrol", "{path}: {}", answer.text);
    }
    let page = browser.get("/console/enrol").await;
    assert!(page.text.contains("Pages for administrators need a second factor"), "{}", page.text);
    let answer = browser.post(&format!("/console/admin/users/{alice}/revoke"), &[]).await;
    assert_eq!(answer.header("location"), "/console/enrol");
    assert!(world.is_good(&session).await && browser.cookies[ACCESS] == session, "no session was begun for it");
}

/// A browser of an administrator with an app, whose session is proven by the password alone.
async fn half_proven(world: &World) -> (Browser<'_>, Authenticator) {
    let (app, _) = world.enrol(ALICE).await;
    let (_, token) = world.enrol(ADMIN).await;
    world.update_settings(&token, pb::Settings { two_fa_enabled: Some(false), ..Default::default() }).await.unwrap();
    let mut browser = Browser::new(world);
    let page = browser.sign_in(ALICE).await;
    assert!(page.text.contains("Two-factor authentication is on"), "{}", page.text);
    let alice = find(world, &token, ALICE).await.user_id;
    update(world, &token, role(pb::Role::Admin, &alice)).await.unwrap();
    (browser, app)
}

#[tokio::test]
async fn a_page_that_asks_for_a_proof_opens_no_challenge_before_a_button_is_pressed() {
    let world = World::new().await;
    let (mut browser, app) = half_proven(&world).await;
    let before = world.audited("authn_challenge_created").await;
    let path = "/console/admin/users?role=admin";
    for _ in 0..3 {
        let page = browser.get(path).await;
        assert!(page.text.contains("value=\"open\"") && !page.text.contains("step_up_code"), "{}", page.text);
    }
    assert_eq!(world.audited("authn_challenge_created").await, before, "a look has no effect");
    let next = [("next", path), ("step_up", "open")];
    let page = browser.post("/console/step-up", &next).await;
    assert!(page.text.contains("name=\"step_up_code\""), "{}", page.text);
    assert_eq!(world.audited("authn_challenge_created").await, before + 1);
    let code = app.code_in(1);
    let answer = browser.post("/console/step-up", &[("next", path), ("step_up", "verify"), ("step_up_code", &code)]).await;
    assert_eq!(answer.header("location"), path);
    assert_eq!(browser.follow(answer).await.status, StatusCode::OK);
}
