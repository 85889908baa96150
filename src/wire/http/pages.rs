//! What is told about the API: the OpenAPI document, and a page for people made from the same descriptors.

use std::collections::BTreeSet;

use askama::Template;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use pulldown_cmark::{Parser, html};
use tonic::body::Body;

use super::{
    gateway::other_methods,
    manual::{Manual, sentences},
    openapi,
    reasons::{REASONS, Reason},
    routes::{Body as Part, Route, Routes},
};
use crate::wire::pb;

const STYLE: &str = include_str!("docs.css");
/// The page loads its own style, and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pages.
#[derive(Debug)]
pub struct Pages {
    openapi: Bytes,
    docs: Bytes,
}

#[derive(Template)]
#[template(path = "docs.html", config = ".askama.toml")]
struct Docs<'a> {
    version: &'a str,
    services: Vec<Service>,
    types: Vec<Type>,
    reasons: &'a [Reason],
}

struct Service {
    name: String,
    text: String,
    calls: Vec<Call>,
}

struct Call {
    name: String,
    method: String,
    path: String,
    summary: String,
    text: String,
    access: &'static str,
    /// Where fields go that are not in the body: in a call whose body is one of its fields.
    query: Vec<Field>,
    request: Vec<Field>,
    response: Vec<Field>,
    reasons: Vec<(u16, &'static str)>,
}

struct Field {
    name: String,
    kind: String,
    /// The type that the page describes further down.
    link: Option<String>,
    text: String,
}

struct Type {
    name: String,
    text: String,
    fields: Vec<Field>,
}

impl Pages {
    /// The pages about these routes.
    pub fn new(routes: &Routes) -> anyhow::Result<Self> {
        let manual = Manual::read(&DescriptorPool::decode(pb::DESCRIPTORS)?)?;
        let docs = docs(routes, &manual).render()?;
        Ok(Self { openapi: openapi::of_routes(routes, &manual)?.into(), docs: docs.into() })
    }

    /// The page that a request asks for; None = it asks for something else.
    pub fn find<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let page = match request.uri().path() {
            "/" => response("text/plain; charset=utf-8", Bytes::from_static(b"See /docs.\n")),
            "/docs" => response("text/html; charset=utf-8", self.docs.clone()),
            "/docs.css" => response("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
            "/openapi.json" => response("application/json", self.openapi.clone()),
            _ => return None,
        };
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return Some(other_methods(vec!["GET", "HEAD"]).into_response());
        }
        let mut page = page;
        if request.uri().path() == "/" {
            *page.status_mut() = StatusCode::FOUND;
            page.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/docs"));
        }
        Some(page)
    }
}

fn response(media: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn docs<'a>(routes: &Routes, manual: &Manual) -> Docs<'a> {
    let mut services: Vec<Service> = Vec::new();
    let (mut types, mut told) = (Vec::new(), BTreeSet::new());
    for route in in_order(routes) {
        let name = route.rpc.parent_service().name().to_owned();
        if services.last().is_none_or(|service| service.name != name) {
            let text = markdown(manual.of_service(&route.rpc));
            services.push(Service { name, text, calls: Vec::new() });
        }
        if let Some(service) = services.last_mut() {
            service.calls.push(call(route, manual));
        }
        for message in [route.rpc.input(), route.rpc.output()] {
            add_types(&message, manual, &mut types, &mut told);
        }
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Docs { version: env!("CARGO_PKG_VERSION"), services, types, reasons: &REASONS }
}

/// The routes as the proto files have them, the service of sign-ins first.
fn in_order(routes: &Routes) -> Vec<&Route> {
    let mut all: Vec<_> = routes.iter().collect();
    let first = |route: &Route| route.rpc.parent_service().name() == "TwoFaService";
    all.sort_by_key(|route| {
        (!first(route), route.rpc.parent_service().full_name().to_owned(), route.rpc.path().to_vec())
    });
    all
}

fn call(route: &Route, manual: &Manual) -> Call {
    let (summary, text) = sentences(manual.of_rpc(&route.rpc));
    let callers = manual.callers(&route.rpc);
    let has = |caller| callers.contains(&caller);
    let access = if has(pb::Caller::Public) {
        "Open to anyone."
    } else if has(pb::Caller::Challenge) {
        "With a challenge; or with a Bearer token, an access token or an enrolment token."
    } else if has(pb::Caller::Enrollee) {
        "With a Bearer token: an access token or an enrolment token."
    } else if has(pb::Caller::Admin) && manual.is_for_fresh(&route.rpc) {
        "With a Bearer token: an access token of an administrator, whose second factor was proven within 300 s."
    } else if has(pb::Caller::Admin) {
        "With a Bearer token: an access token of an administrator, proven by a second factor."
    } else {
        "With a Bearer token: an access token."
    };
    let mut reasons: Vec<_> =
        manual.reasons(&route.rpc).into_iter().map(|(status, reason)| (status.as_u16(), reason.name)).collect();
    reasons.sort_unstable();
    let (request, query) = match &route.body {
        // The body is that field itself; the others go in the query.
        Part::Field(body) => {
            let message = body.kind().as_message().map(|message| message.fields().collect::<Vec<_>>());
            let others: Vec<_> = route.rpc.input().fields().filter(|other| other.name() != body.name()).collect();
            (message.unwrap_or_default(), others)
        }
        Part::Nothing | Part::Everything => (route.rpc.input().fields().collect(), Vec::new()),
    };
    let fields = |all: Vec<FieldDescriptor>| all.iter().map(|f| field(f, manual)).collect();
    let (request, query) = (fields(request), fields(query));
    Call {
        name: route.rpc.name().to_owned(),
        method: route.method.to_string(),
        path: route.template.plain(),
        summary: markdown(summary),
        text: markdown(text),
        access,
        query,
        request,
        response: route.rpc.output().fields().map(|f| field(&f, manual)).collect(),
        reasons,
    }
}

fn field(field: &FieldDescriptor, manual: &Manual) -> Field {
    let (kind, link) = match field.kind() {
        Kind::String => ("text".to_owned(), None),
        Kind::Bytes => ("text in base64".to_owned(), None),
        Kind::Bool => ("true or false".to_owned(), None),
        Kind::Double | Kind::Float => ("number".to_owned(), None),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => ("whole number".to_owned(), None),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => {
            ("whole number, as text".to_owned(), None)
        }
        Kind::Enum(kind) => (kind.name().to_owned(), Some(kind.name().to_owned())),
        Kind::Message(message) if message.package_name() == "google.protobuf" => {
            let name = match message.name() {
                "Timestamp" => "time (RFC 3339)",
                "Duration" => "duration (\"300s\")",
                "FieldMask" => "names of fields with commas between them",
                other => other,
            };
            (name.to_owned(), None)
        }
        Kind::Message(message) => (message.name().to_owned(), Some(message.name().to_owned())),
    };
    let kind = if field.is_list() { format!("list of {kind}") } else { kind };
    Field { name: field.json_name().to_owned(), kind, link, text: markdown(manual.of_field(field)) }
}

/// The types of fields, and of theirs.
fn add_types(message: &MessageDescriptor, manual: &Manual, types: &mut Vec<Type>, told: &mut BTreeSet<String>) {
    for kind in message.fields().map(|field| field.kind()) {
        if let Some(kind) = kind.as_enum().filter(|kind| told.insert(kind.full_name().to_owned())) {
            let text = markdown(&manual.of_enum(kind));
            types.push(Type { name: kind.name().to_owned(), text, fields: Vec::new() });
        }
        let inner = kind.as_message().filter(|inner| inner.package_name() != "google.protobuf");
        if let Some(inner) = inner.filter(|inner| told.insert(inner.full_name().to_owned())) {
            let fields = inner.fields().map(|f| field(&f, manual)).collect();
            let text = markdown(manual.of_message(inner));
            types.push(Type { name: inner.name().to_owned(), text, fields });
            add_types(inner, manual, types, told);
        }
    }
}

/// HTML of a comment of ours.
fn markdown(text: &str) -> String {
    let mut page = String::new();
    html::push_html(&mut page, Parser::new(text));
    page
}
