//! Proving a factor anew on the console: who has none is led to set one up, a look has no effects, and what goes on afterwards is what
//! was asked for, by whoever has asked.

use countersign::wire::pb;
use http::StatusCode;

use crate::{
    admin_users::{find, role, update},
    browser::{ACCESS, Browser},
    phone::{NUMBER, enable, world as world_with_phones, wrong},
    provider::Provider,
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
    let answer =
        browser.post("/console/step-up", &[("next", path), ("step_up", "verify"), ("step_up_code", &code)]).await;
    assert_eq!(answer.header("location"), path);
    assert_eq!(browser.follow(answer).await.status, StatusCode::OK);
}

/// A phone is enrolled so far that its code was sent.
async fn phone_begun(browser: &mut Browser<'_>) {
    let answer = browser.post("/console/factors/phone", &[("phone_number", NUMBER)]).await;
    assert_eq!(answer.header("location"), "/console/factors/phone/confirm", "{}", answer.text);
    browser.follow(answer).await;
}

#[tokio::test]
async fn what_another_tab_asks_for_drops_no_enrolment() {
    let (world, provider) = world_with_phones().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &app, 1).await;
    phone_begun(&mut browser).await;
    let code = provider.code();
    let page = browser.post("/console/step-up", &[("next", "/console"), ("step_up", "open")]).await;
    assert!(page.text.contains("name=\"step_up_code\""), "{}", page.text);
    let answer = browser.post("/console/factors/phone/confirm", &[("code", &code)]).await;
    assert!(browser.follow(answer).await.text.contains("The second factor is added."));
}

#[tokio::test]
async fn an_enrolment_that_has_ended_says_so() {
    const WORDS: &str = "Enter the number again.";
    let (world, provider) = world_with_phones().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    phone_begun(&mut browser).await;
    let code = provider.code();
    browser.get("/console/sign-in").await;
    browser.post("/console/sign-out", &[]).await;
    browser.sign_in(ALICE).await;
    let page = browser.post("/console/factors/phone/confirm", &[("code", &code)]).await;
    assert!(page.text.contains(WORDS), "a sign-in has come between: {}", page.text);
    world.advance(60);
    phone_begun(&mut browser).await;
    for _ in 0..4 {
        let page = browser.post("/console/factors/phone/confirm", &[("code", &wrong(&provider.code()))]).await;
        assert!(page.text.contains("That code is not valid."), "{}", page.text);
    }
    let page = browser.post("/console/factors/phone/confirm", &[("code", &wrong(&provider.code()))]).await;
    assert!(page.text.contains(WORDS), "tried too often: {}", page.text);
    assert!(!browser.cookies.keys().any(|name| name.contains("phone")), "{:?}", browser.cookies);
}

/// A world in which Alice has an app and a phone, and the app is asked for first.
async fn with_both() -> (World, Provider, Authenticator) {
    let (world, provider) = world_with_phones().await;
    let (app, token) = world.enrol(ALICE).await;
    enable(&world, &token, NUMBER).await.unwrap();
    world.verify_as(&token, "", &provider.code()).await.unwrap();
    (world, provider, app)
}

#[tokio::test]
async fn a_step_up_whose_challenge_has_ended_begins_another() {
    let (world, provider, app) = with_both().await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &app, 1).await;
    world.advance(301);
    let page = browser.post("/console/factors/app", &[("label", "mine")]).await;
    assert!(page.text.contains("name=\"step_up_code\""), "{}", page.text);
    // The oldest of an account goes when there are too many.
    for _ in 0..5 {
        world.step_up(&browser.cookies[ACCESS]).await.unwrap();
    }
    let page = browser.post("/console/factors/app", &[("label", "mine"), ("step_up", "use_phone")]).await;
    assert!(page.text.contains("That took too long. Enter a new code."), "{}", page.text);
    browser.post("/console/factors/app", &[("label", "mine"), ("step_up", "use_phone")]).await;
    let fields = [("label", "mine"), ("step_up", "verify"), ("step_up_code", &provider.code())];
    let page = browser.post("/console/factors/app", &fields).await;
    assert!(page.text.contains("Scan this code"), "{}", page.text);
}

#[tokio::test]
async fn a_password_whose_challenge_has_ended_is_begun_again_in_words() {
    const NEW: &str = "seven quiet boats at dawn";
    let (world, _, _) = with_both().await;
    let token = world.password_token(ALICE).await;
    let mut browser = Browser::new(&world);
    browser.get("/console/set-password").await;
    let answer = browser.post("/console/set-password", &[("token", &token), ("new_password", NEW)]).await;
    browser.follow(answer).await;
    for _ in 0..5 {
        let request =
            pb::SetPasswordRequest { token: token.clone(), new_password: NEW.to_owned(), ..Default::default() };
        assert!(world.set_password(request).await.unwrap().two_fa_required);
    }
    let page = browser.post("/console/set-password/code", &[("step", "use_phone"), ("new_password", "")]).await;
    assert!(page.text.contains("Enter token and password again."), "{}", page.text);
    assert!(!browser.cookies.keys().any(|name| name.contains("challenge")), "{:?}", browser.cookies);
}
