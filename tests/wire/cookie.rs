//! The cookie that carries the challenge of a sign-in: what it decides, and what it does not.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    plain::{Answer, LOCAL, VERIFY, get, post, request, send},
    world::{ALICE, PASSWORD, World},
};

const SEND: &str = "/authentication/twoFa/send-code";
const LOGOUT: &str = "/authentication/logout";

/// Signs in up to the challenge; answers the cookie as it is sent back.
async fn challenged(world: &World) -> String {
    let answer = post(world, LOCAL, &json!({ "email": ALICE, "password": PASSWORD }), &[]).await;
    assert_eq!(answer.json()["twoFaRequired"], true);
    let (name, value, _) = answer.cookie().unwrap();
    format!("{name}={value}")
}

#[tokio::test]
async fn a_sign_in_goes_on_by_cookie_and_ends_it() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let answer = post(&world, LOCAL, &json!({ "email": ALICE, "password": PASSWORD }), &[]).await;
    let (name, value, attributes) = answer.cookie().unwrap();
    assert_eq!((name, attributes), ("countersign_challenge", "Path=/; Max-Age=300; HttpOnly; SameSite=Strict"));
    assert_eq!(answer.json()["challengeId"], value);
    let cookie = format!("other=1; {name}={value}; third=3");
    let wrong = post(&world, VERIFY, &json!({ "code": app.wrong_code() }), &[("cookie", &cookie)]).await;
    assert_eq!((wrong.reason().as_str(), wrong.cookie()), ("INVALID_CODE", None), "the challenge is open still");
    let right = post(&world, VERIFY, &json!({ "code": app.code_in(1) }), &[("cookie", &cookie)]).await;
    assert_eq!(right.status, StatusCode::OK);
    assert!(right.json()["accessToken"].is_string());
    let ended = ("countersign_challenge", "", "Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    assert_eq!(right.cookie(), Some(ended));
    let again = post(&world, VERIFY, &json!({ "code": app.code_in(1) }), &[("cookie", &cookie)]).await;
    assert_eq!((again.reason().as_str(), again.cookie()), ("CHALLENGE_EXPIRED", Some(ended)));
}

#[tokio::test]
async fn an_exhausted_challenge_ends_the_cookie() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let cookie = challenged(&world).await;
    for attempt in 1..=5 {
        let answer = post(&world, VERIFY, &json!({ "code": app.wrong_code() }), &[("cookie", &cookie)]).await;
        assert_eq!((answer.reason().as_str(), answer.cookie().is_some()), ("INVALID_CODE", attempt == 5), "{attempt}");
    }
    let answer = post(&world, VERIFY, &json!({ "code": app.code_in(1) }), &[("cookie", &cookie)]).await;
    assert_eq!((answer.reason().as_str(), answer.cookie().unwrap().1), ("CHALLENGE_EXPIRED", ""));
    let named = json!({ "code": app.code_in(1), "challengeId": cookie.split_once('=').unwrap().1 });
    assert_eq!(
        post(&world, VERIFY, &named, &[("cookie", &cookie)]).await.cookie().unwrap().1,
        "",
        "named, it goes too"
    );
    let other = json!({ "code": app.code_in(1), "challengeId": "chl_other" });
    assert!(
        post(&world, VERIFY, &other, &[("cookie", &cookie)]).await.cookie().is_none(),
        "another one says nothing of it"
    );
}

#[tokio::test]
async fn cookies_of_others_do_not_hide_it() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let cookie = challenged(&world).await;
    for others in
        [format!("name=\u{e9}; {cookie}"), format!("{cookie}; name=\u{1f36a}"), format!("a; =; ;; {cookie} ; b==c")]
    {
        let header = http::HeaderValue::from_bytes(others.as_bytes()).unwrap();
        let request =
            request(&world, Method::POST, VERIFY, &[("content-type", "application/json")]).header("cookie", header);
        let answer = send(request, json!({ "code": app.wrong_code() }).to_string(), false).await;
        assert_eq!(answer.reason(), "INVALID_CODE", "{others}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_tls_alone_where_that_is_configured() {
    let world = World::with(&["http.secure_cookies=true"]).await;
    let (app, _) = world.enrol(ALICE).await;
    let answer = post(&world, LOCAL, &json!({ "email": ALICE, "password": PASSWORD }), &[]).await;
    let (name, value, attributes) = answer.cookie().unwrap();
    assert_eq!(
        (name, attributes),
        ("__Host-countersign_challenge", "Path=/; Max-Age=300; HttpOnly; SameSite=Strict; Secure")
    );
    let plain = format!("countersign_challenge={value}");
    let refused = post(&world, VERIFY, &json!({ "code": app.code_in(1) }), &[("cookie", &plain)]).await;
    assert_eq!(refused.reason(), "CHALLENGE_EXPIRED", "a name that any site of the domain could set");
    let cookie = format!("{name}={value}");
    assert_eq!(
        post(&world, VERIFY, &json!({ "code": app.code_in(1) }), &[("cookie", &cookie)]).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_said_goes_before_the_cookie() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let cookie = challenged(&world).await;
    let code = json!({ "code": app.code_in(1) });
    let with = |header: &str| post_with_authorization(&world, &code, &cookie, header.to_owned());
    assert_eq!(
        with("Bearer nonsense").await.reason(),
        "UNAUTHENTICATED",
        "a bad token never falls through to the cookie"
    );
    assert_eq!(with("Basic YTpi").await.reason(), "UNAUTHENTICATED");
    assert_eq!(
        with(&format!("Bearer {token}")).await.reason(),
        "CHALLENGE_EXPIRED",
        "a good one means a pending enrolment"
    );
    let named = json!({ "code": app.code_in(1), "challengeId": "chl_nonsense" });
    assert_eq!(post(&world, VERIFY, &named, &[("cookie", &cookie)]).await.reason(), "CHALLENGE_EXPIRED");
    let twice = format!("{cookie}; {cookie}");
    assert_eq!(post(&world, VERIFY, &code, &[("cookie", &twice)]).await.reason(), "CHALLENGE_EXPIRED", "which is it");
    let empty = json!({ "code": app.code_in(1), "challengeId": "" });
    assert_eq!(post(&world, VERIFY, &empty, &[("cookie", &cookie)]).await.status, StatusCode::OK, "empty is absent");
}

async fn post_with_authorization(world: &World, body: &Value, cookie: &str, authorization: String) -> Answer {
    post(world, VERIFY, body, &[("cookie", cookie), ("authorization", &authorization)]).await
}

#[tokio::test]
async fn only_a_challenge_of_a_sign_in_goes_by_cookie() {
    let world = World::new().await;
    let (app, token) = world.enrol(ALICE).await;
    let step_up = world.step_up(&token).await.unwrap().challenge_id;
    let pending = world.enable(&token).await.unwrap();
    let other = world.authenticator(&pending);
    for (challenge, code) in [(step_up, app.code_in(1)), (pending.challenge_id.clone(), other.code())] {
        let cookie = format!("countersign_challenge={challenge}");
        let answer = post(&world, VERIFY, &json!({ "code": code }), &[("cookie", &cookie)]).await;
        assert_eq!(answer.reason(), "CHALLENGE_EXPIRED");
    }
    let authorization = format!("Bearer {token}");
    let answer =
        post(&world, "/authentication/twoFa/authorize", &json!({}), &[("authorization", &authorization)]).await;
    assert!(answer.json()["challengeId"].is_string() && answer.cookie().is_none(), "a step-up sets no cookie");
}

#[tokio::test]
async fn another_site_cannot_use_the_cookie() {
    let world = World::new().await;
    let (app, _) = world.enrol(ALICE).await;
    let cookie = challenged(&world).await;
    let host = world.http.to_string();
    let own = format!("http://{host}");
    let code = json!({ "code": app.code_in(1) });
    for headers in [
        [("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
        [("sec-fetch-site", "same-site"), ("origin", own.as_str())],
        [("origin", "https://evil.example"), ("x-any", "1")],
        [("origin", "null"), ("x-any", "1")],
        [("origin", "http://127.0.0.1:1"), ("x-any", "1")],
    ] {
        for path in [VERIFY, SEND] {
            let body = if path == VERIFY { code.clone() } else { json!({}) };
            let headers = [("cookie", cookie.as_str()), headers[0], headers[1]];
            let answer = post(&world, path, &body, &headers).await;
            assert_eq!(
                (answer.status, answer.reason().as_str()),
                (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
                "{headers:?}"
            );
        }
    }
    assert_eq!(world.count("SELECT SUM(failures) AS n FROM factor_failures").await, 0, "nothing was judged");
    let elsewhere = [("origin", "https://evil.example")];
    let named = json!({ "code": "000000", "challengeId": cookie.split_once('=').unwrap().1 });
    assert_ne!(
        post(&world, VERIFY, &named, &elsewhere).await.reason(),
        "PERMISSION_DENIED",
        "without the cookie none decides"
    );
    let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
    assert_eq!(post(&world, VERIFY, &code, &headers).await.status, StatusCode::OK);
    let cookie = challenged(&world).await;
    let headers =
        [("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin"), ("origin", "https://a.proxy.example")];
    assert_eq!(post(&world, VERIFY, &json!({ "code": app.wrong_code() }), &headers).await.reason(), "INVALID_CODE");
}

#[tokio::test]
async fn tokens_never_come_by_cookie_and_a_sign_out_ends_the_challenge() {
    let world = World::new().await;
    let (_, token) = world.enrol(ALICE).await;
    for name in ["countersign_session", "countersign_challenge", "access_token", "__Host-countersign_session"] {
        let cookie = format!("{name}={token}");
        assert_eq!(get(&world, "/authentication/twoFa", &[("cookie", &cookie)]).await.reason(), "UNAUTHENTICATED");
    }
    let cookie = challenged(&world).await;
    let authorization = format!("Bearer {token}");
    let answer = post(&world, LOGOUT, &json!({}), &[("authorization", &authorization), ("cookie", &cookie)]).await;
    assert_eq!((answer.status, answer.cookie().unwrap().1), (StatusCode::OK, ""));
    let again = post(&world, LOGOUT, &json!({}), &[("authorization", &authorization), ("cookie", &cookie)]).await;
    assert_eq!(
        (again.reason().as_str(), again.cookie().unwrap().1),
        ("UNAUTHENTICATED", ""),
        "also of who is signed out"
    );
}

#[tokio::test]
async fn a_sign_in_that_needs_no_code_ends_an_old_cookie() {
    let world = World::new().await;
    let body = json!({ "email": ALICE, "password": PASSWORD });
    assert!(post(&world, LOCAL, &body, &[]).await.cookie().is_none());
    let answer = post(&world, LOCAL, &body, &[("cookie", "countersign_challenge=chl_old")]).await;
    assert_eq!(answer.cookie().unwrap().1, "");
}
