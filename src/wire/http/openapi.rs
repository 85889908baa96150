//! The API as an OpenAPI 3.1 document, made from the descriptors that the calls are made from.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};
use serde_json::{Map, Value, json};

use super::{
    manual::{Manual, sentences},
    problem,
    reasons::{REASONS, Reason},
    routes::{Body, Route, Routes},
    schema::{Schemas, Way},
    template::short,
};
use crate::wire::pb;

/// The methods that OpenAPI has.
const METHODS: [Method; 5] = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH];

/// The document of the rpcs in these descriptors.
pub fn document_of(pool: &DescriptorPool) -> anyhow::Result<String> {
    of_routes(&Routes::read(pool)?, &Manual::read(pool)?)
}

/// The document of this release.
pub fn document() -> anyhow::Result<String> {
    document_of(&DescriptorPool::decode(pb::DESCRIPTORS)?)
}

/// The document of these routes.
pub fn of_routes(routes: &Routes, manual: &Manual) -> anyhow::Result<String> {
    let mut schemas = Schemas::new(manual, routes.iter().map(|route| route.rpc.output()));
    let (mut paths, mut tags) = (BTreeMap::<String, Map<String, Value>>::new(), BTreeMap::new());
    let mut told = BTreeMap::<String, usize>::new();
    for route in routes.iter().filter(|route| METHODS.contains(&route.method)) {
        let mut operation = operation(route, manual, &mut schemas);
        let times = told.entry(route.rpc.full_name().to_owned()).or_default();
        *times += 1;
        if *times > 1 {
            // A further path of an rpc.
            operation["operationId"] = json!(format!("{}{times}", route.rpc.name()));
        }
        paths.entry(route.template.plain()).or_default().insert(route.method.as_str().to_lowercase(), operation);
        tags.insert(route.rpc.parent_service().name().to_owned(), manual.of_service(&route.rpc));
    }
    let mut components = schemas.into_components();
    components.insert("Problem".to_owned(), problem_schema());
    // What one reason alone is given for is told once.
    let responses: Map<_, _> =
        REASONS.iter().map(|reason| (reason.name.to_owned(), refusal(reason.status.as_u16(), &[reason]))).collect();
    let tags: Vec<_> = tags.into_iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Countersign",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Two-factor authentication as a service. The same calls are served over gRPC.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": responses,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token; for the enrolment of a first factor an enrolment token.",
                },
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "countersign_challenge",
                    "description": "The challenge of a sign-in, as LocalAuth sets it; over TLS (`http.secure_cookies`) \
                                    `__Host-countersign_challenge`. Taken where the request names no challenge and shows no token.",
                },
            },
        },
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

fn operation(route: &Route, manual: &Manual, schemas: &mut Schemas<'_>) -> Value {
    let (summary, description) = sentences(manual.of_rpc(&route.rpc));
    let mut operation = json!({
        "operationId": route.rpc.name(),
        "tags": [route.rpc.parent_service().name()],
        "summary": summary,
        "description": description,
        "security": security(manual, &route.rpc),
    });
    let parameters = parameters(route, schemas);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    let in_path: Vec<_> = route.template.fields().collect();
    let body = match &route.body {
        Body::Nothing => None,
        Body::Everything if in_path.is_empty() => Some(schemas.reference(&route.rpc.input(), Way::In)),
        Body::Everything => Some(schemas.object(&route.rpc.input(), Way::In, &in_path)),
        Body::Field(field) => Some(field_in_body(field, &in_path, schemas)),
    };
    if let Some(schema) = body {
        operation["requestBody"] = json!({ "content": { "application/json": { "schema": schema } } });
    }
    operation["responses"] = responses(route, manual, schemas);
    operation
}

/// The field that is the body, without those of its fields that are in the path.
fn field_in_body(field: &FieldDescriptor, in_path: &[&str], schemas: &mut Schemas<'_>) -> Value {
    let inner =
        |name: &&str| name.strip_prefix(field.name()).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
    let without: Vec<_> = in_path.iter().filter_map(inner).collect();
    match field.kind().as_message() {
        Some(message) if !without.is_empty() => {
            schemas.object(message, Way::In, &without.iter().map(String::as_str).collect::<Vec<_>>())
        }
        _ => schemas.field(field, Way::In),
    }
}

fn security(manual: &Manual, rpc: &MethodDescriptor) -> Value {
    let callers = manual.callers(rpc);
    if callers.contains(&pb::Caller::Public) {
        if manual.takes_bearer(rpc) { json!([{}, { "bearer": [] }]) } else { json!([]) }
    } else if callers.contains(&pb::Caller::Challenge) {
        json!([{}, { "cookie": [] }, { "bearer": [] }])
    } else {
        json!([{ "bearer": [] }])
    }
}

/// What goes in the path, and of fields without others in them what goes in the query.
fn parameters(route: &Route, schemas: &mut Schemas<'_>) -> Vec<Value> {
    let in_path: Vec<_> = route.template.fields().collect();
    let in_body = match &route.body {
        Body::Nothing => None,
        Body::Everything => return in_path.iter().map(|name| path_parameter(name)).collect(),
        Body::Field(field) => Some(field.name().to_owned()),
    };
    let mut parameters: Vec<_> = in_path.iter().map(|name| path_parameter(name)).collect();
    for field in route.rpc.input().fields() {
        let is_nested = in_path.iter().any(|name| name.split('.').next() == Some(field.name()));
        if !is_nested && in_body.as_deref() != Some(field.name()) && !field.is_map() {
            let mut schema = schemas.field(&field, Way::In);
            let description = schema["description"].take();
            schema.as_object_mut().map(|schema| schema.remove("description"));
            let name = field.json_name();
            parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
        }
    }
    parameters
}

fn path_parameter(name: &str) -> Value {
    json!({ "name": short(name), "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
}

fn responses(route: &Route, manual: &Manual, schemas: &mut Schemas<'_>) -> Value {
    let media = if route.rpc.is_server_streaming() { "text/event-stream" } else { "application/json" };
    let schema = match &route.response_body {
        Some(field) => schemas.field(field, Way::Out),
        None => schemas.reference(&route.rpc.output(), Way::Out),
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "Done.", "content": { media: { "schema": schema } } }));
    let mut by_status = BTreeMap::<u16, Vec<&Reason>>::new();
    let unknown =
        REASONS.iter().filter(|reason| reason.name == "UNKNOWN_METHOD" && route.template.fields().count() > 0);
    for (status, reason) in manual.reasons(&route.rpc).into_iter().chain(unknown.map(|reason| (reason.status, reason)))
    {
        by_status.entry(status.as_u16()).or_default().push(reason);
    }
    for (status, reasons) in by_status {
        let refusal = match reasons.as_slice() {
            [only] if only.status.as_u16() == status => {
                json!({ "$ref": format!("#/components/responses/{}", only.name) })
            }
            several => refusal(status, several),
        };
        responses.insert(status.to_string(), refusal);
    }
    Value::Object(responses)
}

fn refusal(status: u16, reasons: &[&Reason]) -> Value {
    let text: Vec<_> = reasons.iter().map(|reason| format!("`{}`: {}.", reason.name, reason.title)).collect();
    let names: Vec<_> = reasons.iter().map(|reason| reason.name).collect();
    let schema = json!({
        "allOf": [{ "$ref": "#/components/schemas/Problem" }],
        "properties": { "reason": { "enum": names } },
    });
    let mut refusal =
        json!({ "description": text.join(" "), "content": { problem::MEDIA_TYPE: { "schema": schema } } });
    let header = match StatusCode::from_u16(status) {
        Ok(StatusCode::UNAUTHORIZED) => Some(("WWW-Authenticate", "How to prove oneself (RFC 6750, RFC 9470).", true)),
        Ok(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            Some(("Retry-After", "Seconds to wait; absent where waiting does not help.", false))
        }
        _ => None,
    };
    if let Some((name, text, required)) = header {
        refusal["headers"] =
            json!({ name: { "description": text, "required": required, "schema": { "type": "string" } } });
    }
    refusal
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "properties": {
            "type": { "type": "string", "description": "Where the reason is described: a path of this service." },
            "title": { "type": "string", "description": "The reason in a few words; the same for every error with it." },
            "status": { "type": "integer", "description": "The HTTP status." },
            "detail": { "type": "string", "description": "A sentence for a person that says what to do." },
            "reason": { "type": "string", "description": "The stable name that programs go by." },
            "violations": {
                "type": "array",
                "description": "Fields that are malformed.",
                "items": {
                    "type": "object",
                    "properties": {
                        "field": { "type": "string", "description": "Its name, with dots between levels; \"body\" for all." },
                        "description": { "type": "string", "description": "What is wrong with it." },
                    },
                    "required": ["field", "description"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["type", "title", "status", "detail", "reason"],
        "additionalProperties": false,
    })
}
