//! The console, as whoever means it no good sees it: forms from elsewhere, cookies, headers, tokens, markup, and pages of others.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    browser::{ACCESS, Browser, FORM, REFRESH, set_cookies},
    plain::{get, request, send},
    world::{ADMIN, ALICE, BOB, PASSWORD, World},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
/// Longer than an access token is good, in seconds.
const PAST: u64 = 931;
/// The pages of everybody who has signed in.
const OWN: [&str; 8] =
    ["", "/enrol", "/factors/app", "/factors/phone", "/backup-codes", "/sessions", "/activity", "/password"];
const ADMINS: [&str; 9] =
    ["settings", "settings/versions", "users", "users/new", "adoption", "audit", "audit/live", "sms", "keys"];

async fn judged(world: &World) -> i64 {
    world.audited("authn_login_fail").await + world.audited("authn_login_success").await
}

#[tokio::test]
async fn a_form_is_taken_from_a_page_of_this_browser_alone() {
    let world = World::new().await;
    let fields = [("email", ALICE), ("password", PASSWORD)];
    let (mut browser, mut other) = (Browser::new(&world), Browser::new(&world));
    let refused = browser.post("/console/sign-in", &fields).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "without a cookie, and without a token");
    browser.get("/console/sign-in").await;
    other.get("/console/sign-in").await;
    let (own, foreign) = (browser.token.clone(), other.token.clone());
    let cookie = browser.cookies[FORM].clone();
    for token in ["", "x", &foreign, &own[1..], &format!("{own} "), &cookie] {
        browser.token = token.to_owned();
        let refused = browser.post("/console/sign-in", &fields).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{token:?}");
        assert!(refused.text.contains("This page was open for too long"), "and says what to do");
    }
    assert_eq!(judged(&world).await, 0, "nothing was judged");
    browser.token = own.clone();
    assert_eq!(browser.post("/console/sign-in", &fields).await.status, StatusCode::SEE_OTHER);
    browser.token = own;
    let refused = browser.post("/console/sign-out", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "a form from before the sign-in is of no use after it");
    assert!(browser.get("/console").await.text.contains(ALICE));
    assert_eq!(browser.post("/console/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_form_that_another_site_sends_is_refused() {
    let world = World::new().await;
    let own = format!("http://{}", world.http);
    let mut browser = Browser::new(&world);
    browser.get("/console/sign-in").await;
    let fields = [("email", ALICE), ("password", PASSWORD)];
    let elsewhere: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "cross-site"), ("origin", &own)],
        &[("sec-fetch-site", "same-site"), ("origin", &own)],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1")],
        &[("referer", "http://127.0.0.1/console/sign-in")],
    ];
    for from in elsewhere {
        let refused = browser.post_from("/console/sign-in", &fields, from).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{from:?}");
    }
    // As browsers send it: without the cookies of this site. Those that they keep are not replaced.
    let mut elsewhere = Browser::new(&world);
    for from in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.example")]] {
        let refused = elsewhere.post_from("/console/sign-in", &fields, &from).await;
        assert_eq!((refused.status, set_cookies(&refused.headers).len()), (StatusCode::FORBIDDEN, 0), "{from:?}");
    }
    assert_eq!(judged(&world).await, 0, "nothing was judged");
    for from in
        [[("origin", own.as_str()), ("x-any", "1")], [("sec-fetch-site", "same-origin"), ("origin", "https://a.proxy")]]
    {
        let mut browser = Browser::new(&world);
        browser.get("/console/sign-in").await;
        assert_eq!(
            browser.post_from("/console/sign-in", &fields, &from).await.status,
            StatusCode::SEE_OTHER,
            "{from:?}"
        );
    }
}

#[tokio::test]
async fn a_link_on_another_site_leads_in_with_the_session_and_changes_no_cookie() {
    let world = World::new().await;
    let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    // The browser has sent no cookie along: they are for requests of this site.
    let answer = get(&world, "/console/sessions", &link).await;
    assert_eq!((answer.status, set_cookies(&answer.headers).len()), (StatusCode::OK, 0));
    assert!(answer.text.contains("http-equiv=\"refresh\" content=\"0\""), "it asks again, from here");
    assert!(answer.text.contains("<a href=\"\">Continue</a>"), "and so may whoever reads it");
    assert_eq!(answer.header("content-security-policy"), POLICY);
}

#[tokio::test]
async fn cookies_are_for_this_host_and_for_no_script() {
    for is_secure in [false, true] {
        let world = World::with(if is_secure { &["http.secure_cookies=true"] } else { &[] }).await;
        let mut browser = Browser::new(&world);
        let mut seen = set_cookies(&browser.get("/console/sign-in").await.headers);
        let answer = browser.post("/console/sign-in", &[("email", ALICE), ("password", PASSWORD)]).await;
        seen.extend(set_cookies(&answer.headers));
        let mut admin = Browser::new(&world);
        admin.get("/console/sign-in").await;
        let answer = admin.post("/console/sign-in", &[("email", ADMIN), ("password", PASSWORD)]).await;
        seen.extend(set_cookies(&answer.headers));
        for what in ["form", "access", "refresh", "enrolment"] {
            let name = format!("{}countersign_console_{what}", if is_secure { "__Host-" } else { "" });
            let (_, value, attributes) =
                seen.iter().find(|cookie| cookie.0 == name).unwrap_or_else(|| panic!("{name}"));
            let end = if is_secure { "; HttpOnly; SameSite=Strict; Secure" } else { "; HttpOnly; SameSite=Strict" };
            assert!(attributes.starts_with("Path=/; Max-Age=") && attributes.ends_with(end), "{name}: {attributes}");
            assert!(!attributes.contains("Domain") && value.len() > 40, "{name}");
        }
        if is_secure {
            let plain: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{}={value}", &name[7..])).collect();
            let answer = get(&world, "/console", &[("cookie", &plain.join("; "))]).await;
            assert_eq!(answer.status, StatusCode::SEE_OTHER, "names that any site of the domain could set");
        }
        let told = browser.get("/console/sign-in").await.header("strict-transport-security").to_owned();
        assert_eq!(told, if is_secure { "max-age=31536000" } else { "" }, "TLS alone, where cookies are so");
    }
}

#[tokio::test]
async fn every_answer_forbids_what_it_does_not_need_and_runs_nothing_that_stands_in_it() {
    let world = World::new().await;
    let (app, _) = world.enrol(ADMIN).await;
    let mut browser = Browser::new(&world);
    let mut answers = vec![browser.get("/console/sign-in").await, browser.get("/console/set-password").await];
    answers.push(browser.get("/console").await);
    answers.push(browser.post("/console/sign-in", &[("email", ADMIN), ("password", "wrong password 1")]).await);
    answers.push(browser.sign_in_with(ADMIN, &app, 1).await);
    for path in OWN {
        answers.push(browser.get(&format!("/console{path}")).await);
    }
    for path in ADMINS.into_iter().filter(|path| *path != "audit/live") {
        answers.push(browser.get(&format!("/console/admin/{path}")).await);
    }
    answers.push(browser.post("/console/factors/app", &[]).await);
    answers.push(browser.get("/console/no-such-page").await);
    answers.push(browser.get("/console/static/no-such-file.js").await);
    answers.push(browser.get("/console/admin/users/usr_none").await);
    answers.push(browser.post_from("/console/sign-out", &[], &[]).await);
    answers.push(send(request(&world, Method::DELETE, "/console", &[]), "", false).await);
    let json = [("content-type", "application/json")];
    answers.push(send(request(&world, Method::POST, "/console/sign-in", &json), json!({}).to_string(), false).await);
    let style = answers[0].text.split('"').find(|text| text.ends_with(".css")).unwrap().to_owned();
    answers.push(browser.get(&style).await);
    for answer in &answers {
        let text = &answer.text;
        assert_eq!(answer.header("content-security-policy"), POLICY);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{name}: {text}");
        }
        let is_file = answer.header("content-type").starts_with("text/css");
        let kept = if is_file { "public, max-age=31536000, immutable" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), kept, "{text}");
        assert!(answer.header("permissions-policy").contains("camera=()") && !answer.header("x-request-id").is_empty());
        if answer.header("content-type").starts_with("text/html") {
            assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains("javascript:"), "{text}");
            let scripts = text.matches("<script").count();
            assert_eq!(scripts, text.matches("<script type=\"module\" src=\"/console/static/").count(), "{text}");
            assert!(
                !text.contains(" on")
                    || [" onclick", " onerror", " onload", " onsubmit"].iter().all(|on| !text.contains(on))
            );
        }
    }
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    for status in [200, 303, 403, 404, 405, 415] {
        assert!(statuses.contains(&status), "{status}: {statuses:?}");
    }
}

#[tokio::test]
async fn no_page_holds_a_token() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let mut secrets = Vec::new();
    let mut own = Browser::new(&world);
    own.sign_in(ALICE).await;
    secrets.extend(own.cookies.clone());
    let code = app.code_in(1);
    let answer = own.post("/console/sign-in/code", &[("code", &code)]).await;
    own.follow(answer).await;
    for path in OWN {
        own.get(&format!("/console{path}")).await;
    }
    world.advance(PAST);
    own.get("/console").await;
    own.post("/console/backup-codes", &[]).await;
    secrets.extend(own.cookies.clone());
    let mut admin = Browser::new(&world);
    admin.sign_in(ADMIN).await;
    admin.post("/console/factors/app", &[]).await;
    secrets.extend(admin.cookies.clone());
    for kind in ["access", "refresh", "enrolment", "sign_in_challenge", "form"] {
        assert!(secrets.iter().any(|(name, _)| name.ends_with(kind)), "{kind}: {secrets:?}");
    }
    for page in own.shown.iter().chain(&admin.shown) {
        for (name, value) in &secrets {
            assert!(!page.contains(value.as_str()), "{name} in {page}");
        }
        // A picture may hold any letters.
        let picture = crate::browser::between(page, "data:image/png;base64,", "\"").unwrap_or("no picture");
        let words = page.replace(picture, "");
        for mark in ["chl_", "rft_", "eyJ0", "eyJh", "eyJp"] {
            assert!(!words.contains(mark), "{mark} in {page}");
        }
    }
}

#[tokio::test]
async fn markup_of_users_and_devices_is_text() {
    const MARKUP: &str = "<script>alert('1')</script>\"&";
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.name = MARKUP.to_owned();
    browser.sign_in(ALICE).await;
    let page = browser.post("/console/factors/app", &[("label", MARKUP)]).await;
    let uri = crate::browser::between(&page.text, "href=\"otpauth://", "\"").unwrap().replace("&#38;", "&");
    let app = totp_rs::Totp::from_url(format!("otpauth://{uri}")).unwrap();
    let code = app.generate(world.clock_seconds()).to_string();
    let confirmed = browser.post("/console/factors/app/confirm", &[("code", &code)]).await;
    assert!(confirmed.text.contains("Save your backup codes"), "{}", confirmed.text);
    crate::audit::sealed(&world).await;
    for path in ["", "/sessions", "/activity"] {
        assert!(
            browser.get(&format!("/console{path}")).await.text.contains("&#60;script&#62;alert(&#39;1&#39;)"),
            "{path}"
        );
    }
    let (app, _) = world.enrol(ADMIN).await;
    let mut admin = Browser::new(&world);
    admin.sign_in_with(ADMIN, &app, 1).await;
    crate::audit::sealed(&world).await;
    for path in ["users?search=%3Cscript%3E", "audit", "audit?user=%3Cscript%3E", "users?role=%22%3E%3Cscript%3E"] {
        admin.get(&format!("/console/admin/{path}")).await;
    }
    for next in ["%22%3E%3Cscript%3E", "javascript:alert(1)"] {
        Browser::new(&world).get(&format!("/console/sign-in?next={next}&done=%3Cscript%3E")).await;
    }
    for page in browser.shown.iter().chain(&admin.shown) {
        assert!(!page.contains("<script>") && !page.contains("\"><script"), "{page}");
    }
}

#[tokio::test]
async fn an_ordinary_user_gets_no_page_of_administrators() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let mut browser = Browser::new(&world);
    browser.sign_in_with(ALICE, &app, 1).await;
    assert!(!browser.get("/console").await.text.contains("/console/admin"), "and no link to them");
    for path in ADMINS {
        let answer = browser.get(&format!("/console/admin/{path}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert!(answer.text.contains("This page is for administrators."));
        let outside = Browser::new(&world).get(&format!("/console/admin/{path}")).await;
        assert_eq!(outside.status, StatusCode::SEE_OTHER, "{path}");
        assert!(outside.header("location").starts_with("/console/sign-in"), "{path}");
    }
    let bob = world.status(&world.sign_in(BOB).await.access_token).await.is_ok();
    assert!(bob);
    for path in ["settings", "settings/preview", "users/new", "users/usr_1/block", "users/usr_1/reset"] {
        let answer = browser.post(&format!("/console/admin/{path}"), &[("reason", "because")]).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
    }
    let bearer = format!("Bearer {token}");
    let answer = get(&world, "/console", &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "a token in a header is no session of a browser");
}

#[tokio::test]
async fn a_session_goes_on_when_its_access_token_has_run_out() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let old = browser.clone();
    world.advance(PAST);
    assert!(browser.get("/console").await.text.contains(ALICE), "a token that has run out is renewed");
    assert_ne!((&browser.cookies[ACCESS], &browser.cookies[REFRESH]), (&old.cookies[ACCESS], &old.cookies[REFRESH]));
    // Others that the browser had sent at once, with the cookies of before.
    let (mut second, mut third) = (old.clone(), old.clone());
    third.cookies.remove(ACCESS);
    let (second, third) = tokio::join!(second.get("/console/sessions"), third.get("/console/activity"));
    assert_eq!((second.status, third.status), (StatusCode::OK, StatusCode::OK), "none of them ends the session");
    world.advance(PAST);
    browser.cookies.remove(ACCESS);
    assert_eq!(browser.get("/console").await.status, StatusCode::OK);
    // Long after: somebody else has them.
    let mut thief = old;
    let answer = thief.get("/console").await;
    assert_eq!(answer.header("location"), "/console/sign-in");
    assert!(thief.follow(answer).await.text.contains("Your session has ended."));
    world.advance(PAST);
    let answer = browser.get("/console").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "a token used twice ends the session");
    assert!(
        browser.cookies.contains_key(REFRESH),
        "a page that is refused drops nothing: another tab may have signed in"
    );
    browser.follow(answer).await;
    assert!(!browser.cookies.contains_key(REFRESH) && !browser.cookies.contains_key(ACCESS));
}

#[tokio::test]
async fn signing_out_ends_the_session_and_the_browser_forgets_it() {
    let world = World::new().await;
    let mut browser = Browser::new(&world);
    browser.sign_in(ALICE).await;
    let mut old = browser.clone();
    let answer = browser.post("/console/sign-out", &[]).await;
    assert_eq!(answer.header("location"), "/console/sign-in");
    assert!(browser.follow(answer).await.text.contains("You are signed out."));
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), [FORM]);
    assert_ne!(browser.cookies[FORM], old.cookies[FORM]);
    assert!(!world.is_good(&old.cookies[ACCESS]).await);
    assert_eq!(old.get("/console").await.status, StatusCode::SEE_OTHER);
    assert_eq!(world.audited("session_ended").await, 1);
}
