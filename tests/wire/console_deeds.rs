//! What is done on the console: enrolling before there is a session, stepping up in place, and changing the policy.

use countersign::wire::pb;
use http::StatusCode;

use crate::{
    admin_users::find,
    browser::{ACCESS, Browser, between},
    phone::{NUMBER, world as world_with_phones},
    world::{ADMIN, ALICE, BOB, PASSWORD, World, reason},
};

/// The value of a field of a page.
fn value<'a>(page: &'a str, name: &str) -> &'a str {
    between(page, &format!("name=\"{name}\" value=\""), "\"").unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[tokio::test]
async fn whoever_must_enrol_does_so_before_there_is_a_session() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    let page = browser.sign_in(ADMIN).await;
    assert!(page.text.contains("Your account needs one before you can go on."), "{}", page.text);
    assert!(!browser.cookies.contains_key(ACCESS));
    for path in ["", "/sessions", "/password", "/admin/settings"] {
        let answer = browser.get(&format!("/console{path}")).await;
        assert_eq!(answer.header("location"), "/console/enrol", "{path}");
    }
    let page = browser.post("/console/factors/app", &[]).await;
    let secret = between(&page.text, "data-copy-text=\"", "\"").unwrap().to_owned();
    let wrong = browser.post("/console/factors/app/confirm", &[("code", "000000")]).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("That code is not valid.") && !wrong.text.contains(&secret), "it is shown once");
    let app = totp_rs::Totp::from_url(format!("otpauth://totp/x?secret={secret}")).unwrap();
    let code = app.generate(world.clock_seconds()).to_string();
    let page = browser.post("/console/factors/app/confirm", &[("code", &code)]).await;
    assert!(page.text.contains("Save your backup codes"), "{}", page.text);
    assert_eq!(browser.get("/console/admin/settings").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_step_up_in_place_goes_on_with_what_was_asked_for() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &app, 1).await;
    world.advance(301);
    let page = browser.post("/console/factors/app", &[("label", "Work & play"), ("password", "a secret")]).await;
    assert!(page.text.contains("Confirm that it is you"), "{}", page.text);
    assert_eq!(value(&page.text, "label"), "Work &#38; play");
    assert!(!page.text.contains("a secret"), "passwords are not kept");
    let fields = [("label", "Work & play"), ("step_up", "verify"), ("step_up_code", "000000")];
    let wrong = browser.post("/console/factors/app", &fields).await;
    assert_eq!(wrong.status, StatusCode::FORBIDDEN);
    assert!(wrong.text.contains("That code is not valid.") && wrong.text.contains("Work &#38; play"), "{}", wrong.text);
    let switched = browser.post("/console/factors/app", &[("label", "x"), ("step_up", "use_backup_code")]).await;
    assert!(switched.text.contains("Enter one of your backup codes."), "{}", switched.text);
    browser.post("/console/factors/app", &[("label", "x"), ("step_up", "use_app")]).await;
    let code = app.code();
    let fields = [("label", "Work & play"), ("step_up", "verify"), ("step_up_code", &code)];
    let page = browser.post("/console/factors/app", &fields).await;
    assert!(page.text.contains("Scan this code"), "{}", page.text);
    assert_eq!(world.audited("authn_step_up").await, 1);
}

#[tokio::test]
async fn an_account_without_a_factor_steps_up_with_its_password() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let old = browser.cookies[ACCESS].clone();
    world.advance(301);
    let page = browser.post("/console/factors/app", &[("label", "Phone")]).await;
    assert!(page.text.contains("name=\"step_up_password\""), "{}", page.text);
    let fields = [("label", "Phone"), ("step_up", "password"), ("step_up_password", "wrong password 1")];
    let wrong = browser.post("/console/factors/app", &fields).await;
    assert!(wrong.text.contains("E-mail or password is wrong.") && !wrong.text.contains("wrong password 1"));
    let fields = [("label", "Phone"), ("step_up", "password"), ("step_up_password", PASSWORD)];
    let page = browser.post("/console/factors/app", &fields).await;
    assert!(page.text.contains("Scan this code"), "{}", page.text);
    assert!(!world.is_good(&old).await, "the session before has ended");
    assert_eq!(world.list_sessions(&browser.cookies[ACCESS]).await.len(), 1);
}

#[tokio::test]
async fn a_phone_is_enrolled_and_asked_at_the_next_sign_in() {
    let (world, provider) = world_with_phones().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let answer = browser.post("/console/factors/phone", &[("phone_number", "+30 691 234-5678")]).await;
    let page = browser.follow(answer).await;
    assert!(page.text.contains("+**********78") && !page.text.contains(&NUMBER[3..]), "{}", page.text);
    let early = browser.post("/console/factors/phone/confirm", &[("step", "resend")]).await;
    assert_eq!(early.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(early.text.contains("data-countdown=\"30\""), "{}", early.text);
    let page = browser.post("/console/factors/phone/confirm", &[("code", &provider.code())]).await;
    assert!(page.text.contains("Save your backup codes"), "{}", page.text);
    let mut again = Browser::new(&world);
    let page = again.sign_in(ALICE).await;
    assert!(page.text.contains("we have sent to +**********78"), "{}", page.text);
    let answer = again.post("/console/sign-in/code", &[("code", &provider.code())]).await;
    assert_eq!(again.follow(answer).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_change_of_the_policy_is_previewed_and_a_conflict_is_told() {
    let world = World::new().await;
    let (app, _) = world.enrol(ADMIN).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    let page = browser.get("/console/admin/settings").await;
    let etag = value(&page.text, "etag").to_owned();
    let fields = [
        ("etag", etag.as_str()),
        ("two_fa_enabled", "on"),
        ("app", "on"),
        ("phone", "on"),
        ("backup_code", "on"),
        ("backup_codes_enabled", "on"),
        ("preferred", "app"),
        ("required_for", "3"),
        ("grace_days", "0"),
        ("admin_grace_days", "0"),
        ("totp_digits", "6"),
        ("sms_digits", "6"),
        ("sms_code_life", "300"),
    ];
    let preview = browser.post("/console/admin/settings/preview", &fields).await;
    for told in ["Administrators", "Everybody", "must set one up at once", ALICE] {
        assert!(preview.text.contains(told), "{told}: {}", preview.text);
    }
    assert_eq!(world.audited("settings_updated").await, 0, "a preview changes nothing");
    let saved = browser.post("/console/admin/settings", &fields).await;
    assert!(browser.follow(saved).await.text.contains("The settings are saved."));
    let conflict = browser.post("/console/admin/settings", &fields).await;
    assert_eq!(conflict.status, StatusCode::PRECONDITION_FAILED);
    assert!(conflict.text.contains("Somebody else has saved the settings"), "{}", conflict.text);
    assert_ne!(value(&conflict.text, "etag"), etag, "with what holds now");
    let bad = fields.map(|(name, value)| if name == "grace_days" { (name, "soon") } else { (name, value) });
    let refused = browser.post("/console/admin/settings/preview", &bad).await;
    assert!(refused.text.contains("Grace for users must be a number of days"), "{}", refused.text);
}

#[tokio::test]
async fn a_user_is_helped_with_a_reason_and_is_out_at_once() {
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    world.enrol(ALICE).await;
    let id = find(&world, &token, ALICE).await.user_id;
    let path = format!("/console/admin/users/{id}");
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    browser.get(&path).await;
    let refused = browser.post(&format!("{path}/reset"), &[("reason", "")]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.text.contains("Reason ") && refused.text.contains(ALICE), "{}", refused.text);
    assert!(refused.text.contains("<details class=\"act\" open>"), "the form that was sent is open");
    let done = browser.post(&format!("{path}/reset"), &[("reason", "lost the phone; came to the desk")]).await;
    let page = browser.follow(done).await;
    assert!(page.text.contains("Two-factor authentication is reset.") && page.text.contains("This account has none."));
    browser.post(&format!("{path}/block"), &[]).await;
    assert_eq!(reason(world.local_auth(ALICE, PASSWORD).await), "USER_BLOCKED");
    let own = browser.get("/console/admin/users?role=admin").await;
    assert!(own.text.contains(ADMIN) && !own.text.contains(ALICE));
    let last = find(&world, &token, ADMIN).await.user_id;
    let refused = browser.post(&format!("/console/admin/users/{last}/delete"), &[("reason", "why not")]).await;
    assert!(refused.text.contains("This is the last administrator"), "{}", refused.text);
}

#[tokio::test]
async fn a_one_time_link_sets_a_password_and_a_factor_is_asked_for_all_the_same() {
    const NEW: &str = "seven quiet boats at dawn";
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    let (own, _) = world.enrol(ALICE).await;
    let id = find(&world, &token, ALICE).await.user_id;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    browser.get("/console/admin/users").await;
    let page = browser.post(&format!("/console/admin/users/{id}/password-token"), &[]).await;
    let link = between(&page.text, "/console/set-password#", "<").unwrap();
    assert!(page.text.contains(&format!("http://{}/console/set-password#{link}", world.http)), "{}", page.text);
    let mut guest = Browser::new(&world);
    guest.get("/console/set-password").await;
    let wrong = guest.post("/console/set-password", &[("token", "pwt_none"), ("new_password", NEW)]).await;
    assert!(wrong.text.contains("This token was used or has run out."), "{}", wrong.text);
    let short = guest.post("/console/set-password", &[("token", link), ("new_password", "short")]).await;
    assert_eq!((short.status, short.text.contains("short")), (StatusCode::BAD_REQUEST, false));
    let answer = guest.post("/console/set-password", &[("token", link), ("new_password", NEW)]).await;
    let page = guest.follow(answer).await;
    assert!(page.text.contains("Enter the code that your authenticator app shows.") && !page.text.contains(link));
    let code = own.code_in(1);
    let answer = guest.post("/console/set-password/code", &[("code", &code), ("new_password", NEW)]).await;
    assert!(guest.follow(answer).await.text.contains("Your password is set."));
    assert_eq!(guest.cookies.len(), 1, "nothing is kept but what forms are known by: {:?}", guest.cookies);
    assert!(world.local_auth(ALICE, NEW).await.unwrap().two_fa_required);
}

#[tokio::test]
async fn sessions_are_ended_one_by_one_and_all_but_this_one() {
    let world = World::new().await;
    let (mut own, mut lost, mut third) = (Browser::new(&world), Browser::new(&world), Browser::new(&world));
    for browser in [&mut own, &mut lost, &mut third] {
        browser.sign_in(ALICE).await;
    }
    let bob = world.sign_in(BOB).await.access_token;
    let listed = world.list_sessions(&lost.cookies[ACCESS]).await;
    let id = listed.iter().find(|session| session.current).unwrap().session_id.clone();
    let page = own.get("/console/sessions").await;
    assert!(page.text.contains("This device") && page.text.contains("Firefox · Linux"), "{}", page.text);
    let answer = own.post(&format!("/console/sessions/{id}/end"), &[]).await;
    assert!(own.follow(answer).await.text.contains("That session has ended."));
    assert_eq!(lost.get("/console").await.status, StatusCode::SEE_OTHER);
    assert_eq!(third.get("/console").await.status, StatusCode::OK);
    let answer = own.post("/console/sessions/end-others", &[]).await;
    assert!(!own.follow(answer).await.text.contains("End all others"), "there are none");
    assert_eq!(third.get("/console").await.status, StatusCode::SEE_OTHER);
    assert!(world.is_good(&bob).await, "those of others go on");
}

#[tokio::test]
async fn a_factor_is_removed_and_the_last_one_only_where_it_may() {
    let world = World::new().await;
    let (app, token) = world.enrol(ADMIN).await;
    let mut admin = Browser::new(&world);
    admin.sign_in_with(ADMIN, &app, 1).await;
    let remove = |factors: Vec<pb::Factor>| format!("/console/factors/{}/remove", factors[0].factor_id);
    let path = remove(world.status(&token).await.unwrap().factors);
    assert!(admin.get(&path).await.text.contains("It is the last one"));
    let refused = admin.post(&path, &[]).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("This account must have a second factor"), "{}", refused.text);
    let (app, token) = world.enrol(ALICE).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &app, 1).await;
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND, "that of another account");
    let path = remove(world.status(&token).await.unwrap().factors);
    let answer = browser.post(&path, &[]).await;
    assert!(browser.follow(answer).await.text.contains("Two-factor authentication is off"));
}

#[tokio::test]
async fn a_factor_is_replaced_and_the_old_one_is_good_until_the_new_one_is_confirmed() {
    let world = World::new().await;
    let (old, token) = world.enrol(ALICE).await;
    let id = world.status(&token).await.unwrap().factors.remove(0).factor_id;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &old, 1).await;
    let page = browser.get("/console").await.text;
    assert!(page.contains(&format!("/console/factors/app?replace={id}")), "{page}");
    let page = browser.get(&format!("/console/factors/app?replace={id}")).await.text;
    assert!(page.contains("Replace the authenticator app") && value(&page, "replace") == id, "{page}");
    let page = browser.post("/console/factors/app", &[("replace", &id), ("label", "New phone")]).await;
    let secret = between(&page.text, "data-copy-text=\"", "\"").unwrap();
    let new = totp_rs::Totp::from_url(format!("otpauth://totp/x?secret={secret}")).unwrap();
    world.advance(60);
    assert!(world.verify(&world.challenge(ALICE).await, &old.code()).await.is_ok(), "until it is confirmed");
    let code = new.generate(world.clock_seconds()).to_string();
    let answer = browser.post("/console/factors/app/confirm", &[("code", &code)]).await;
    let page = browser.follow(answer).await.text;
    assert!(page.contains("The second factor is added.") && page.contains("New phone"), "{page}");
    assert_eq!(page.matches("/remove\"").count(), 1, "and not two of them: {page}");
    world.advance(60);
    assert_eq!(reason(world.verify(&world.challenge(ALICE).await, &old.code()).await), "INVALID_CODE");
}
