//! The other wire: makes of each call of a gRPC client the HTTP request that the proto files and the contract say it is, and of the
//! answer what gRPC would have answered. So every story is told over REST too, with the same outcomes and reasons, and on the way
//! everything that HTTP adds is looked at: statuses, headers, and whether the OpenAPI document knows of it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::OnceLock,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use countersign::wire::pb;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prost_reflect::{
    DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor, SerializeOptions, prost::Message,
};
use serde_json::{Map, Value};
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt};
use tower::Service;

/// What the contract says of each reason: the code of gRPC and the status of HTTP.
const REASONS: [(&str, Code, u16); 26] = [
    ("INVALID_ARGUMENT", Code::InvalidArgument, 400),
    ("PASSWORD_REJECTED", Code::InvalidArgument, 400),
    ("INVALID_CREDENTIALS", Code::Unauthenticated, 401),
    ("INVALID_CODE", Code::Unauthenticated, 401),
    ("INVALID_CODE", Code::PermissionDenied, 403),
    ("CHALLENGE_EXPIRED", Code::Unauthenticated, 401),
    ("UNAUTHENTICATED", Code::Unauthenticated, 401),
    ("STEP_UP_REQUIRED", Code::Unauthenticated, 401),
    ("ENROLLMENT_REQUIRED", Code::PermissionDenied, 403),
    ("PERMISSION_DENIED", Code::PermissionDenied, 403),
    ("USER_BLOCKED", Code::PermissionDenied, 403),
    ("RATE_LIMITED", Code::ResourceExhausted, 429),
    ("TWO_FA_UNAVAILABLE", Code::FailedPrecondition, 409),
    ("TWO_FA_NOT_ENABLED", Code::FailedPrecondition, 409),
    ("TWO_FA_REQUIRED", Code::FailedPrecondition, 409),
    ("PHONE_NUMBER_REQUIRED", Code::FailedPrecondition, 409),
    ("SMS_NOT_CONFIGURED", Code::FailedPrecondition, 409),
    ("SMS_DELIVERY_FAILED", Code::Unavailable, 503),
    ("STORE_UNAVAILABLE", Code::Unavailable, 503),
    ("NOT_FOUND", Code::NotFound, 404),
    ("ALREADY_EXISTS", Code::AlreadyExists, 409),
    ("VERSION_MISMATCH", Code::Aborted, 412),
    ("LAST_ADMIN", Code::FailedPrecondition, 409),
    ("REQUEST_TOO_LARGE", Code::ResourceExhausted, 413),
    ("DEADLINE_EXCEEDED", Code::DeadlineExceeded, 504),
    ("INTERNAL", Code::Internal, 500),
];

/// A client of the gateway that looks like a connection of gRPC.
#[derive(Clone)]
pub struct Rest {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

impl Rest {
    pub fn new(address: SocketAddr) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address }
    }

    async fn call(self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let route = Route::of(head.uri.path());
        let frame = body.collect().await.unwrap().to_bytes();
        let message = DynamicMessage::decode(route.rpc.input(), frame.slice(5..)).unwrap();
        let request = route.request(self.address, &head.headers, &message);
        let response = self.client.request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        if head.status == StatusCode::OK { route.answer(&head.headers, &body) } else { route.refusal(&head, &body) }
    }
}

impl Service<Request<Body>> for Rest {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { Ok(client.call(request).await) })
    }
}

/// How an rpc is called over HTTP.
struct Route {
    rpc: MethodDescriptor,
    method: Method,
    path: String,
    /// "*" = everything that is not in the path; else the one field that is the body; empty = none is.
    body: String,
}

impl Route {
    fn of(grpc_path: &str) -> Self {
        let pool = pool();
        let (service, method) = grpc_path.trim_start_matches('/').split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let rpc = service.methods().find(|rpc| rpc.name() == method).unwrap();
        let option = pool.get_extension_by_name("google.api.http").unwrap();
        let options = rpc.options();
        let rule = options.get_extension(&option);
        let rule = rule.as_message().unwrap();
        let pattern =
            [("get", Method::GET), ("post", Method::POST), ("patch", Method::PATCH), ("delete", Method::DELETE)];
        let (name, method) = pattern.into_iter().find(|(name, _)| rule.has_field_by_name(name)).unwrap();
        let path = rule.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
        let body = rule.get_field_by_name("body").unwrap().as_str().unwrap().to_owned();
        Self { rpc, method, path, body }
    }

    fn request(&self, address: SocketAddr, headers: &HeaderMap, message: &DynamicMessage) -> Request<Full<Bytes>> {
        let json = message.serialize_with_options(serde_json::value::Serializer, &SerializeOptions::new()).unwrap();
        let Value::Object(mut fields) = json else { panic!("a message is an object") };
        let mut path = self.path.clone();
        while let Some((before, rest)) = path.clone().split_once('{') {
            let (variable, after) = rest.split_once('}').unwrap();
            let value = encoded(&taken(&self.rpc.input(), &mut fields, variable).unwrap_or_else(|| "-".into()));
            path = format!("{before}{value}{after}");
        }
        let body = match self.body.as_str() {
            "*" => Some(Value::Object(std::mem::take(&mut fields))),
            "" => None,
            field => taken(&self.rpc.input(), &mut fields, field),
        };
        let query = fields.iter().flat_map(|(name, value)| {
            let all = value.as_array().map_or_else(|| vec![value], |items| items.iter().collect());
            all.into_iter().map(|value| format!("{name}={}", encoded(value))).collect::<Vec<_>>()
        });
        let query: Vec<_> = query.collect();
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let body = body.filter(|body| *body != Value::Object(Map::new()));
        let body: Bytes = body.map(|body| serde_json::to_vec(&body).unwrap().into()).unwrap_or_default();
        let mut request = Request::builder().method(self.method.clone()).uri(format!("http://{address}{path}"));
        let own = request.headers_mut().unwrap();
        for (name, value) in headers {
            if ![header::TE, header::CONTENT_TYPE, header::USER_AGENT].contains(name)
                && !name.as_str().starts_with("grpc-")
            {
                own.append(name, value.clone());
            }
        }
        own.insert(header::USER_AGENT, "curl of a story".parse().unwrap());
        if !body.is_empty() {
            own.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        }
        request.body(Full::new(body)).unwrap()
    }

    fn answer(&self, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
        assert_eq!(headers[header::CONTENT_TYPE], "application/json");
        let is_public = self.rpc.name() == "GetJwks";
        assert_eq!(headers[header::CACHE_CONTROL], if is_public { "public, max-age=300" } else { "no-store" });
        let json: Value = serde_json::from_slice(body).unwrap();
        self.is_documented(StatusCode::OK, None);
        for field in self.rpc.output().fields() {
            let is_always_there = field.is_list() || field.kind() == prost_reflect::Kind::Bool;
            assert!(!is_always_there || json.get(field.json_name()).is_some(), "{} in {json}", field.json_name());
        }
        let message = DynamicMessage::deserialize(self.rpc.output(), json).unwrap().encode_to_vec();
        let mut frame = BytesMut::new();
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(&message);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = Full::new(frame.freeze()).with_trailers(async move { Some(Ok(trailers)) });
        let mut response = Response::new(Body::new(body));
        *response.headers_mut() = metadata(headers);
        response
    }

    /// The status of gRPC that a problem stands for.
    fn refusal(&self, head: &http::response::Parts, body: &[u8]) -> Response<Body> {
        assert_eq!(head.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
        let problem: Map<String, Value> = serde_json::from_slice(body).unwrap();
        let text = |name: &str| problem[name].as_str().unwrap();
        let reason = text("reason");
        let known = REASONS.iter().find(|known| known.0 == reason && known.2 == head.status.as_u16());
        let (_, code, status) = known.unwrap_or_else(|| panic!("{} with {reason}", head.status));
        assert_eq!(problem["status"], *status);
        assert_eq!(text("type"), format!("/docs#{reason}"));
        assert!(!text("title").is_empty() && text("detail").ends_with('.'), "{problem:?}");
        self.is_documented(head.status, Some(reason));
        let challenge = head.headers.get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
        assert_eq!(challenge.is_some(), *status == 401, "every 401 says how to prove oneself, and nothing else does");
        let mut details =
            ErrorDetails::with_error_info(reason, "countersign.v1", parameters(challenge.unwrap_or_default()));
        if let Some(wait) = head.headers.get(header::RETRY_AFTER) {
            details.set_retry_info(Some(Duration::from_secs(wait.to_str().unwrap().parse().unwrap())));
        }
        for violation in problem.get("violations").and_then(Value::as_array).into_iter().flatten() {
            let field = snake(violation["field"].as_str().unwrap());
            details.add_bad_request_violation(field, violation["description"].as_str().unwrap());
        }
        let mut response = Status::with_error_details(*code, text("detail"), details).into_http();
        response.headers_mut().extend(metadata(&head.headers));
        response
    }

    /// The OpenAPI document says that this call may answer so.
    fn is_documented(&self, status: StatusCode, reason: Option<&str>) {
        let path = self.path.replace("{user.", "{");
        let responses = &openapi()["paths"][&path][self.method.as_str().to_lowercase()]["responses"];
        let mut response = &responses[status.as_str()];
        if let Some(name) = response["$ref"].as_str() {
            response = openapi().pointer(name.trim_start_matches('#')).unwrap();
        }
        assert!(!response.is_null(), "{} of {} is not documented", status, self.rpc.name());
        if let Some(reason) = reason {
            let reasons = &response["content"]["application/problem+json"]["schema"]["properties"]["reason"]["enum"];
            let is_named = reasons.as_array().unwrap().iter().any(|named| named == reason);
            assert!(is_named, "{reason} of {} is not documented for {status}: {reasons}", self.rpc.name());
        }
    }
}

fn pool() -> DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(pb::DESCRIPTORS).unwrap()).clone()
}

fn openapi() -> &'static Value {
    static OPENAPI: OnceLock<Value> = OnceLock::new();
    OPENAPI.get_or_init(|| serde_json::from_str(&countersign::wire::http::document().unwrap()).unwrap())
}

/// The field that a path with dots names, taken out.
fn taken(message: &MessageDescriptor, fields: &mut Map<String, Value>, path: &str) -> Option<Value> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name).unwrap();
    match rest {
        None => fields.remove(field.json_name()),
        Some(rest) => {
            let inner = fields.get_mut(field.json_name())?.as_object_mut()?;
            taken(field.kind().as_message().unwrap(), inner, rest)
        }
    }
}

fn encoded(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string()
}

/// What a gRPC client sees of headers.
fn metadata(headers: &HeaderMap) -> HeaderMap {
    let own = ["content-type", "content-length", "date", "cache-control", "x-content-type-options", "set-cookie"];
    let headers = headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    headers.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `acr_values` and `max_age` of a challenge that asks for a step-up (RFC 9470).
fn parameters(challenge: &str) -> HashMap<String, String> {
    let Some(rest) = challenge.strip_prefix(r#"Bearer error="insufficient_user_authentication""#) else {
        return HashMap::new();
    };
    let pairs = rest.split(", ").filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

fn snake(name: &str) -> String {
    name.chars()
        .flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
        .collect()
}
