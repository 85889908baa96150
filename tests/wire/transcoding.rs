//! Path, query and body make a message, and a message makes JSON, as gRPC transcoding and the proto3 mapping say: with rpcs of the
//! tests' own (`echo.proto`), which use what Countersign's rpcs do not use yet.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use countersign::{
    clock::ManualClock,
    wire::{
        http::{Cookie, Gateway, InProcess},
        peer::Peer,
    },
};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};
use tonic::{Status, body::Body};
use tower::service_fn;

use crate::world::NOW;

const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4711);

/// The descriptors of `echo.proto`.
pub fn pool() -> DescriptorPool {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let mut compiler = protox::Compiler::new([format!("{root}tests/wire"), format!("{root}proto")]).unwrap();
    compiler.include_imports(true).open_file("echo.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

fn gateway() -> Gateway {
    let cookie = Cookie { is_secure: false };
    Gateway::new(&pool(), InProcess::new(service_fn(echo)), cookie, Arc::new(ManualClock::at(NOW))).unwrap()
}

/// Answers with the message that it was sent; a stream with that message twice, and then an error.
async fn echo(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let is_stream = request.uri().path().ends_with("/Watch");
    let frame = request.into_body().collect().await.unwrap().to_bytes();
    let mut trailers = HeaderMap::new();
    let (bytes, status) = if is_stream {
        ([frame.clone(), frame].concat().into(), Status::unavailable("It is over."))
    } else {
        (frame, Status::ok(""))
    };
    status.add_header(&mut trailers).unwrap();
    let body = Full::new(bytes).with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
    Ok(response)
}

async fn ask(method: &str, path: &str, body: &str) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
    if !body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
    let (head, body) = gateway().answer(request, Peer::at(PEER), |_| None).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// What an accepted request was taken for.
async fn taken(method: &str, path: &str, body: &str) -> Value {
    let (status, _, body) = ask(method, path, body).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    let mut value: Value = serde_json::from_str(&body).unwrap();
    // What is always there says nothing here.
    let Some(object) = value.as_object_mut() else { return value };
    object.retain(|_, value| *value != json!([]) && *value != json!(false));
    value
}

/// The fields that a refused request was refused for.
async fn violations(method: &str, path: &str, body: &str) -> Vec<String> {
    let (status, _, body) = ask(method, path, body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["reason"], "INVALID_ARGUMENT");
    let violations = problem["violations"].as_array().unwrap();
    violations
        .iter()
        .map(|v| format!("{} {}", v["field"].as_str().unwrap(), v["description"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn a_path_holds_fields_at_any_depth() {
    assert_eq!(taken("GET", "/things/shelves/1/things/a%20b", "").await, json!({ "name": "shelves/1/things/a b" }));
    let by_id = taken("GET", "/by-id/x%2Fy", "").await;
    assert_eq!(by_id["inner"]["id"], "x/y", "a further binding, and a slash in a variable of one segment");
    assert_eq!(
        taken("PURGE", "/purged/any/where?count=2", "").await,
        json!({ "count": 2 }),
        "another method, and a path that holds no field"
    );
}

#[tokio::test]
async fn a_query_holds_what_is_in_neither_path_nor_body() {
    let path = "/by-id/7?count=3&large=9007199254740993&isNew=true&weight=1.5&color=COLOR_RED&tags=a&tags=b%26c&raw=AAEC\
                &create_time=2026-11-24T08:00:00Z&age=1.500s&updateMask=name,inner.isOpen&inner.isOpen=true&inner.sizes=1&inner.sizes=2\
                &isKnown=false";
    let thing = taken("GET", path, "").await;
    let expected = json!({
        "inner": { "id": "7", "isOpen": true, "sizes": [1, 2] }, "count": 3, "large": "9007199254740993", "isNew": true,
        "weight": 1.5, "color": "COLOR_RED", "tags": ["a", "b&c"], "raw": "AAEC", "createTime": "2026-11-24T08:00:00Z",
        "age": "1.500s", "updateMask": "name,inner.isOpen",
    });
    assert_eq!(thing, expected);
    let (_, _, whole) = ask("GET", path, "").await;
    assert!(whole.contains(r#""isKnown":false"#), "what was said in so many words is there: {whole}");
    assert_eq!(taken("GET", "/by-id/7?color=2", "").await["color"], "COLOR_BLUE", "an enum by number");
}

#[tokio::test]
async fn a_query_is_refused_for_what_it_cannot_be() {
    let cases = [
        ("count=1&count=2", "count is given twice."),
        ("count=x", "count must be a whole number of 32 bits."),
        ("count=2147483648", "count must be a whole number of 32 bits."),
        ("isNew=yes", "isNew must be true or false."),
        ("color=COLOR_GREEN", "color must be one of COLOR_RED, COLOR_BLUE."),
        ("createTime=now", "createTime must be a time such as \"2026-11-24T08:00:00Z\"."),
        ("nope=1", "nope is not a field of this call."),
        ("inner.nope=1", "inner.nope is not a field of this call."),
        ("name.x=1", "name.x is not a field of this call."),
        ("parts.id=1", "parts.id is not a field of this call."),
        ("labels=x", "labels goes in the body, not in the query."),
        ("inner=x", "inner goes in the body, not in the query."),
        ("inner.id=8", "inner.id is given twice."),
    ];
    for (query, expected) in cases {
        assert_eq!(violations("GET", &format!("/by-id/7?{query}"), "").await, [expected], "{query}");
    }
    assert_eq!(violations("POST", "/things/7?count=1", "").await, ["count is not taken from the query."]);
    assert_eq!(violations("GET", "/by-id/7", "{}").await, ["body is not taken by this call: leave it out."]);
}

#[tokio::test]
async fn a_body_is_the_message_or_one_field_of_it() {
    let posted = taken(
        "POST",
        "/things/7",
        r#"{"count": 3, "inner": {"id": "x"}, "parts": [{"id": "y"}], "labels": {"k": "v"}}"#,
    )
    .await;
    assert_eq!((&posted["name"], &posted["count"], &posted["labels"]["k"]), (&json!("7"), &json!(3), &json!("v")));
    assert_eq!(posted["parts"][0], json!({ "id": "y", "isOpen": false, "sizes": [] }), "complete in depth, too");
    let put = taken("PUT", "/things/7?count=1", r#"{"id": "x", "isOpen": true}"#).await;
    assert_eq!(put, json!({ "id": "x", "isOpen": true }), "and the answer is one field of it");
    assert_eq!(
        taken("POST", "/things/7:block", "").await,
        json!({ "name": "7" }),
        "the verb is no part of the variable"
    );
    assert_eq!(violations("POST", "/things/7", r#"{"name": "8"}"#).await, ["name is given twice."]);
    assert_eq!(
        taken("POST", "/things/7", r#"{"name": "7"}"#).await["name"],
        "7",
        "what is sent back whole names itself twice"
    );
    assert_eq!(
        taken("POST", "/things/7", r#"{"count": null, "inner": null, "tags": null}"#).await,
        json!({ "name": "7" })
    );
    assert_eq!(
        taken("POST", "/things/7", r#"{"is_new": true, "create_time": "2026-11-24T08:00:00Z"}"#).await["isNew"],
        true
    );
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_by_its_field() {
    let body = r#"{"count": "x", "isNew": 1, "inner": {"sizes": [1, "two"], "nope": 1}, "parts": [{"id": 1}, 2], "tags": [null], "raw": "?",
                   "is_new": true, "name": "n", "labels": {"k": 1}, "color": "COLOR_GREEN"}"#;
    let told = violations("PURGE", "/purged", body).await;
    assert_eq!(told, ["body is not taken by this call: leave it out."]);
    let told = violations("POST", "/things/7:block", &body.replace("\"name\": \"n\", ", "")).await;
    let expected = [
        "count must be a whole number of 32 bits.",
        "isNew must be true or false.",
        "inner.sizes must be a list, and each of it a whole number of 32 bits.",
        "inner.nope is not a field of this call.",
        "parts[0].id must be text.",
        "parts[1] must be an object.",
        "tags must be a list, and each of it text.",
        "raw must be base64 in text.",
        "labels must be an object.",
        "color must be one of COLOR_RED, COLOR_BLUE.",
    ];
    assert_eq!(told, expected);
    assert_eq!(violations("POST", "/things/7", r#"{"isNew": true, "is_new": true}"#).await, ["isNew is given twice."]);
}

#[tokio::test]
async fn null_beside_a_path_is_unset() {
    let posted = taken("POST", "/things/7", r#"{"name": null, "inner": null, "tags": null}"#).await;
    assert_eq!(posted, json!({ "name": "7" }));
}

#[tokio::test]
async fn what_is_no_json_is_told_without_repeating_it() {
    for (body, expected) in [
        (r#"{"name": "hunter2""#, "body ends too early (line 1, column 18)."),
        (r#"{"count": hunter2}"#, "body is not JSON (line 1, column 11)."),
        ("{} hunter2", "body is not JSON (line 1, column 4)."),
        (r#"{"count": 1, "count": 2}"#, "body gives \"count\" twice at line 1, column 20."),
        (r#"{"inner": {"id": "a", "id": "b"}}"#, "body gives \"id\" twice at line 1, column 26."),
        (r#""hunter2""#, "body must be a JSON object."),
        ("[]", "body must be a JSON object."),
        ("null", "body must be a JSON object."),
        ("\u{feff}{}", "body is not JSON (line 1, column 1)."),
    ] {
        let told = violations("POST", "/things/7", body).await;
        assert_eq!(told.len(), 1);
        assert!(!told[0].contains("hunter2"), "{told:?}");
        // Columns are serde_json's own.
        let words = |text: &str| {
            text.split(" at ").next().unwrap().split(" (").next().unwrap().trim_end_matches('.').to_owned()
        };
        assert_eq!(words(&told[0]), words(expected), "{body}");
    }
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(violations("POST", "/things/7", &deep).await[0].starts_with("body is not JSON"));
    let deep = format!(r#"{{"labels": {}1{}}}"#, r#"{"a":"#.repeat(120), "}".repeat(120));
    assert_eq!(violations("POST", "/things/7", &deep).await, ["labels must be an object."]);
}

#[tokio::test]
async fn other_paths_and_methods_are_told_apart() {
    for path in ["/", "/things", "/things/", "/things/1/2/3", "/Things/7", "/echo.v1.EchoService/Silent", "/things/%ff"]
    {
        let (status, _, body) = ask("POST", path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(body.contains(r#""reason":"UNKNOWN_METHOD""#), "{body}");
    }
    let (status, headers, body) = ask("PATCH", "/things/7", "").await;
    assert_eq!((status, headers[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST, PUT"));
    assert!(body.contains(r#""reason":"UNKNOWN_METHOD""#) && body.contains(r#""status":405"#));
    let (status, headers, _) = ask("PUT", "/things/7:block", "").await;
    assert_eq!((status, headers[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let (status, headers, _) = ask("POST", "/by-id/7", "").await;
    assert_eq!((status, headers[header::ALLOW].to_str().unwrap()), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
    assert_eq!(ask("HEAD", "/by-id/7", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_stream_is_server_sent_events_and_its_error_is_one() {
    let (status, headers, body) = ask("GET", "/watch?name=x", "").await;
    assert_eq!((status, headers[header::CONTENT_TYPE].to_str().unwrap()), (StatusCode::OK, "text/event-stream"));
    assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    let events: Vec<_> = body.split_terminator("\n\n").collect();
    assert_eq!(events.len(), 3, "{body}");
    let thing: Value = serde_json::from_str(events[0].strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&thing["name"], &thing["isNew"], &thing["tags"]), (&json!("x"), &json!(false), &json!([])));
    assert_eq!(events[0], events[1]);
    let problem = events[2].strip_prefix("event: error\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(problem).unwrap()["reason"], "INTERNAL", "a bare status is a fault");
}
