//! What administrators do for users on the console: each button does what it says, to whom it says, and the log tells of it.

use countersign::wire::pb;
use http::StatusCode;

use crate::{
    admin_users::find,
    audit::sealed,
    browser::{Browser, between},
    world::{ADMIN, ALICE, Authenticator, BOB, PASSWORD, World, reason},
};

const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1";

/// A browser of the administrator, their app, and a token of theirs.
async fn administrator(world: &World) -> (Browser<'_>, Authenticator, String) {
    let (app, token) = world.enrol(ADMIN).await;
    let mut browser = Browser::new(world);
    browser.sign_in_with(ADMIN, &app, 1).await;
    browser.get("/console/admin/users").await;
    (browser, app, token)
}

/// Presses a button for an account; answers the page that follows.
async fn act(browser: &mut Browser<'_>, id: &str, verb: &str, fields: &[(&str, &str)]) -> String {
    let answer = browser.post(&format!("/console/admin/users/{id}/{verb}"), fields).await;
    browser.follow(answer).await.text
}

#[tokio::test]
async fn waits_are_ended_and_sessions_are_revoked() {
    let world = World::new().await;
    let (mut browser, _, token) = administrator(&world).await;
    let (app, session) = world.enrol(ALICE).await;
    let id = find(&world, &token, ALICE).await.user_id;
    let challenge = world.challenge(ALICE).await;
    for _ in 0..5 {
        world.verify(&challenge, &app.wrong_code()).await.unwrap_err();
    }
    let page = browser.get(&format!("/console/admin/users/{id}")).await.text;
    assert!(page.contains("5 wrong codes in a row."), "{page}");
    let page = act(&mut browser, &id, "unlock", &[("reason", "called from the desk")]).await;
    assert!(page.contains("Every wait of the account has ended.") && !page.contains("wrong codes in a row"), "{page}");
    assert!(world.is_good(&session).await);
    let page = act(&mut browser, &id, "revoke", &[("reason", "lost the laptop")]).await;
    assert!(page.contains("Every session of the account has ended.") && page.contains("signed in nowhere"), "{page}");
    assert!(!world.is_good(&session).await);
    for (kind, note) in [("user_unlocked", "called from the desk"), ("session_ended", "lost the laptop")] {
        let query = format!("SELECT COUNT(*) AS n FROM audit_events WHERE kind = '{kind}'");
        assert_eq!(world.count(&query).await, 1, "{kind}: {note}");
    }
}

#[tokio::test]
async fn an_account_is_blocked_let_in_again_and_deleted() {
    let world = World::new().await;
    let (mut browser, _, token) = administrator(&world).await;
    let id = find(&world, &token, BOB).await.user_id;
    act(&mut browser, &id, "block", &[]).await;
    assert_eq!(reason(world.local_auth(BOB, PASSWORD).await), "USER_BLOCKED");
    let page = act(&mut browser, &id, "unblock", &[]).await;
    assert!(page.contains("The account can sign in again."), "{page}");
    assert!(world.local_auth(BOB, PASSWORD).await.is_ok());
    let old = [("etag", "old"), ("reason", "has left")];
    let refused = browser.post(&format!("/console/admin/users/{id}/delete"), &old).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED);
    let etag = between(&refused.text, "name=\"etag\" value=\"", "\"").unwrap().to_owned();
    let page = act(&mut browser, &id, "delete", &[("etag", &etag), ("reason", "has left")]).await;
    assert!(page.contains("The account is deleted.") && !page.contains(BOB) && page.contains(ALICE), "{page}");
    assert_eq!(reason(world.local_auth(BOB, PASSWORD).await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn an_account_is_changed_and_what_was_typed_stays_when_it_is_refused() {
    let world = World::new().await;
    let (mut browser, _, token) = administrator(&world).await;
    let alice = find(&world, &token, ALICE).await;
    let path = format!("/console/admin/users/{}/update", alice.user_id);
    let fields = |email, notice_email| {
        [("etag", alice.etag.as_str()), ("email", email), ("notice_email", notice_email), ("role", "admin")]
    };
    for (email, notice, status) in [(BOB, "second@example.com", 409), ("new@example.com", "no address", 400)] {
        let refused = browser.post(&path, &fields(email, notice)).await;
        assert_eq!(refused.status.as_u16(), status, "{}", refused.text);
        for kept in [format!("value=\"{email}\""), format!("value=\"{notice}\""), "value=\"admin\" selected".to_owned()]
        {
            assert!(refused.text.contains(&kept), "{kept}: {}", refused.text);
        }
        assert!(refused.text.contains(&format!("<h1 class=\"wrap\">{ALICE}</h1>")), "the account is what it was");
    }
    let answer = browser.post(&path, &fields("new@example.com", "second@example.com")).await;
    assert!(browser.follow(answer).await.text.contains("The account is changed."));
    let changed = find(&world, &token, "new@example.com").await;
    assert_eq!((changed.role(), changed.notice_email.as_str()), (pb::Role::Admin, "second@example.com"));
    let conflict = browser.post(&path, &fields("other@example.com", "")).await;
    assert_eq!(conflict.status, StatusCode::PRECONDITION_FAILED);
    assert!(conflict.text.contains("This is how it is now.") && !conflict.text.contains("other@example.com"));
}

#[tokio::test]
async fn the_filters_of_the_audit_log_show_what_they_say() {
    let world = World::new().await;
    let (mut browser, _, token) = administrator(&world).await;
    let (alice, bob) = (find(&world, &token, ALICE).await.user_id, find(&world, &token, BOB).await.user_id);
    world.local_auth(ALICE, "wrong password 1").await.unwrap_err();
    world.local_auth(BOB, "wrong password 1").await.unwrap_err();
    act(&mut browser, &bob, "block", &[("reason", "away")]).await;
    sealed(&world).await;
    let admin = find(&world, &token, ADMIN).await.user_id;
    let user = |id: &str| format!("<a href=\"/console/admin/users/{id}\">");
    for (query, shown, hidden) in [
        ("", vec!["Wrong password<", "Account blocked<"], vec!["Read by an administrator<"]),
        ("kind=all", vec!["Wrong password<", "Read by an administrator<"], vec![]),
        ("kind=authz_admin", vec!["Read by an administrator<"], vec!["Account blocked<"]),
        ("kind=authn_login_fail", vec![&*user(&alice), &user(&bob)], vec!["Account blocked<", "Signed in<"]),
        (&format!("user={bob}"), vec!["Account blocked<", "Wrong password<"], vec![&user(&alice)]),
        (&format!("admin={admin}"), vec!["Account blocked<"], vec!["Wrong password<"]),
        ("source=127.0.0.1", vec!["Wrong password<"], vec![]),
        ("source=203.0.113.7", vec!["Nothing matches."], vec!["Wrong password<"]),
        ("from=2027-01-15", vec!["Wrong password<"], vec![]),
        ("from=2027-01-16", vec!["Nothing matches."], vec!["Wrong password<"]),
        ("before=2027-01-15", vec!["Nothing matches."], vec!["Wrong password<"]),
    ] {
        let page = browser.get(&format!("/console/admin/audit?{query}")).await.text;
        let rows = between(&page, "<tbody", "</section>").unwrap();
        for text in shown {
            assert!(rows.contains(text), "{query}: {text} in {rows}");
        }
        for text in hidden {
            assert!(!rows.contains(text), "{query}: no {text} in {rows}");
        }
    }
    let refused = browser.get("/console/admin/audit?user=nobody").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.text);
}

#[tokio::test]
async fn tables_stay_tables_and_a_record_tells_all_of_it_in_words() {
    let world = World::new().await;
    let (mut browser, _, _) = administrator(&world).await;
    sealed(&world).await;
    for path in ["users", "audit", "keys"] {
        let page = browser.get(&format!("/console/admin/{path}")).await.text;
        for tag in ["<table", "<thead", "<tbody", "<tr", "<th ", "<td"] {
            let count = page.matches(tag).count();
            let with_role =
                page.split(tag).skip(1).filter(|rest| rest.split('>').next().unwrap().contains("role=\"")).count();
            assert_eq!(with_role, count, "{tag} of {path}");
        }
    }
    let page = browser.get("/console/admin/audit").await.text;
    let details = between(&page, "<details class=\"more\">", "</details>").unwrap();
    assert!(details.contains("<code>authn_login_success</code> request <code>"), "{details}");
    assert!(page.contains("Firefox/140.0</details>"), "{page}");
}

#[tokio::test]
async fn an_administrator_sees_where_an_account_is_signed_in() {
    let world = World::new().await;
    let (mut browser, _, token) = administrator(&world).await;
    let id = find(&world, &token, ALICE).await.user_id;
    let mut own = Browser::new(&world);
    own.name = PHONE.to_owned();
    own.sign_in(ALICE).await;
    let page = browser.get(&format!("/console/admin/users/{id}")).await.text;
    let part = between(&page, "<h2 id=\"sessions\">", "</section>").unwrap();
    assert!(part.contains("Safari · iPhone") && part.contains("127.0.0.1 · Password only"), "{part}");
    assert!(!part.contains("This device") && !part.contains("Firefox"), "{part}");
}

#[tokio::test]
async fn what_an_administrator_has_asked_for_goes_on_after_a_proof_and_for_nobody_else() {
    let world = World::new().await;
    let (mut browser, app, token) = administrator(&world).await;
    let (alice, bob) = (find(&world, &token, ALICE).await.user_id, find(&world, &token, BOB).await.user_id);
    let path = format!("/console/admin/users/{alice}/block");
    let etag = find(&world, &token, ALICE).await.etag;
    let mut other = Browser::new(&world);
    world.advance(30);
    other.sign_in_with(ADMIN, &app, 1).await;
    world.advance(301);
    let page = browser.post(&path, &[("etag", &etag), ("reason", "left & gone")]).await;
    for kept in [format!("action=\"{path}\""), "name=\"reason\" value=\"left &#38; gone\"".to_owned()] {
        assert!(page.text.contains(&kept), "{kept}: {}", page.text);
    }
    assert_eq!(world.audited("user_blocked").await, 0);
    let code = app.code_in(0);
    let proof = [("reason", "left & gone"), ("step_up", "verify"), ("step_up_code", code.as_str())];
    // Another browser of the same administrator, which knows all that is on the page: the proof is of that session.
    let stolen = browser.cookies.iter().find(|(name, _)| name.contains("step_up")).unwrap();
    other.cookies.insert(stolen.0.clone(), stolen.1.clone());
    let refused = other.post(&path, &proof).await;
    assert!(refused.text.contains("name=\"step_up_code\""), "{}", refused.text);
    // And a user.
    let mut user = Browser::new(&world);
    user.sign_in(BOB).await;
    user.cookies.insert(stolen.0.clone(), stolen.1.clone());
    let refused = user.post(&path, &proof).await;
    assert!(!refused.status.is_redirection(), "{}", refused.text);
    assert_eq!(world.audited("user_blocked").await, 0, "nothing was done");
    // A form that another page has made up: what is kept is no more than a form, and no proof is in it.
    let altered = browser.post(&format!("/console/admin/users/{bob}/block"), &[("reason", "")]).await;
    assert!(altered.text.contains("Confirm that it is you"), "{}", altered.text);
    let code = app.code();
    let proof = [("etag", etag.as_str()), ("reason", "left & gone"), ("step_up", "verify"), ("step_up_code", &code)];
    let answer = browser.post(&path, &proof).await;
    assert!(browser.follow(answer).await.text.contains("The account is blocked"));
    assert_eq!(world.audited("user_blocked").await, 1);
    let note = "SELECT COUNT(*) AS n FROM audit_events WHERE kind = 'user_blocked' AND note IS NOT NULL";
    assert_eq!(world.count(note).await, 1, "with the reason that was typed");
    assert!(world.local_auth(BOB, PASSWORD).await.is_ok());
}
