//! A browser without a script: it keeps cookies, sends the forms of the pages that it has been shown, and says where it is.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, StatusCode, header};

use crate::{
    plain::{Answer, request, send},
    world::{Authenticator, PASSWORD, World},
};

pub const FORM: &str = "countersign_console_form";
pub const ACCESS: &str = "countersign_console_access";
pub const REFRESH: &str = "countersign_console_refresh";

/// A browser.
#[derive(Clone)]
pub struct Browser<'w> {
    pub world: &'w World,
    pub cookies: BTreeMap<String, String>,
    /// The token of the forms of the last page.
    pub token: String,
    /// What it calls itself.
    pub name: String,
    /// What it has been shown so far.
    pub shown: Vec<String>,
}

impl<'w> Browser<'w> {
    pub fn new(world: &'w World) -> Self {
        let name = "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0".to_owned();
        Self { world, cookies: BTreeMap::new(), token: String::new(), name, shown: Vec::new() }
    }

    pub fn cookie_line(&self) -> String {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        let (name, cookies) = (self.name.clone(), self.cookie_line());
        let headers = [("user-agent", name.as_str()), ("cookie", &cookies)];
        let answer = send(request(self.world, Method::GET, path, &headers), "", false).await;
        self.take(&answer);
        answer
    }

    /// Sends a form of the last page.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.world.http);
        self.post_from(path, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form, saying this of where it comes from.
    pub async fn post_from(&mut self, path: &str, fields: &[(&str, &str)], from: &[(&str, &str)]) -> Answer {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("form_token", &self.token).extend_pairs(fields);
        let (name, cookies) = (self.name.clone(), self.cookie_line());
        let own = [
            ("user-agent", name.as_str()),
            ("cookie", &cookies),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let headers = [&own[..], from].concat();
        let answer = send(request(self.world, Method::POST, path, &headers), body.finish(), false).await;
        self.take(&answer);
        answer
    }

    /// The page that an answer leads to.
    pub async fn follow(&mut self, answer: Answer) -> Answer {
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let path = answer.header("location").to_owned();
        self.get(&path).await
    }

    /// Signs in with a password; answers what that leads to.
    pub async fn sign_in(&mut self, email: &str) -> Answer {
        self.get("/console/sign-in").await;
        let answer = self.post("/console/sign-in", &[("email", email), ("password", PASSWORD)]).await;
        self.follow(answer).await
    }

    /// Signs in with a password and a code.
    pub async fn sign_in_with(&mut self, email: &str, app: &Authenticator, steps: i64) -> Answer {
        self.sign_in(email).await;
        let code = app.code_in(steps);
        let answer = self.post("/console/sign-in/code", &[("code", &code), ("step", "verify")]).await;
        self.follow(answer).await
    }

    fn take(&mut self, answer: &Answer) {
        for (name, value, attributes) in set_cookies(&answer.headers) {
            if attributes.contains("Max-Age=0;") {
                self.cookies.remove(&name);
            } else {
                self.cookies.insert(name, value);
            }
        }
        if let Some(token) = between(&answer.text, "name=\"form_token\" value=\"", "\"") {
            self.token = token.to_owned();
        }
        self.shown.push(answer.text.clone());
    }
}

/// The cookies that an answer sets: name, value, attributes.
pub fn set_cookies(headers: &HeaderMap) -> Vec<(String, String, String)> {
    let lines = headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap());
    let cookie = |line: &str| {
        let (pair, attributes) = line.split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned(), attributes.to_owned())
    };
    lines.map(cookie).collect()
}

/// What stands between two texts, the first time.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}
