//! Plain HTTP: requests as they are written, answers as they come.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;

use crate::world::World;

pub const LOCAL: &str = "/authentication/local";
pub const VERIFY: &str = "/authentication/twoFa/verify";

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {}", self.text))
    }

    pub fn reason(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.text);
        self.json()["reason"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The cookie that it sets: name, value and attributes.
    pub fn cookie(&self) -> Option<(&str, &str, &str)> {
        let (pair, attributes) = self.headers.get(header::SET_COOKIE)?.to_str().unwrap().split_once("; ").unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        Some((name, value, attributes))
    }
}

pub async fn send(request: http::request::Builder, body: impl Into<Bytes>, is_http2: bool) -> Answer {
    let client = Client::builder(TokioExecutor::new()).http2_only(is_http2).build_http();
    let response = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status: head.status, headers: head.headers, text }
}

pub fn request(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(format!("http://{}{path}", world.http));
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value))
}

/// A POST of JSON.
pub async fn post(world: &World, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
    let request = request(world, Method::POST, path, headers).header(header::CONTENT_TYPE, "application/json");
    send(request, body.to_string(), false).await
}

pub async fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(request(world, Method::GET, path, headers), "", false).await
}
