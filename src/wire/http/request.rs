//! From an HTTP request to the message of an rpc: path, query and body, as gRPC transcoding lays them out
//! (`google/api/http.proto`).

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use super::{
    json,
    problem::{Violation, camel},
    routes::{Body, Route},
};

/// The message that a request is, or all that is wrong with it.
pub fn message(
    route: &Route,
    path: &[(&str, String)],
    query: &str,
    body: &[u8],
) -> Result<DynamicMessage, Vec<Violation>> {
    let mut violations = Vec::new();
    let input = route.rpc.input();
    let mut object = from_body(route, body).map_err(|violation| vec![violation])?;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let is_known = matches!(route.body, Body::Nothing | Body::Field(_));
        let set =
            if is_known { set(&mut object, &input, &name, &value, false) } else { Err("is not taken from the query.") };
        set.unwrap_or_else(|problem| violations.push(Violation::new(&json::shortened(&name), problem)));
        if violations.len() >= json::VIOLATIONS {
            break;
        }
    }
    for (name, value) in path {
        let set = set(&mut object, &input, name, value, true);
        set.unwrap_or_else(|problem| violations.push(Violation::new(name, problem)));
    }
    if violations.is_empty() { json::message(&input, object) } else { Err(violations) }
}

fn from_body(route: &Route, body: &[u8]) -> Result<Map<String, Value>, Violation> {
    if body.is_empty() {
        return Ok(Map::new());
    }
    match &route.body {
        Body::Nothing => Err(Violation::new("body", "is not taken by this call: leave it out.")),
        Body::Everything => match json::read(body)? {
            Value::Object(object) => Ok(object),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Violation::new("body", "must be a JSON object."))
            }
        },
        Body::Field(field) => Ok(Map::from_iter([(field.json_name().to_owned(), json::read(body)?)])),
    }
}

/// Sets the field that a path with dots names, by proto or JSON names. One that is set already is not set again, unless it is a list. With
/// `may_repeat` it may be set to what it is: a resource that is sent back whole names itself in body and path.
fn set(
    object: &mut Map<String, Value>,
    descriptor: &MessageDescriptor,
    path: &str,
    text: &str,
    may_repeat: bool,
) -> Result<(), &'static str> {
    const UNKNOWN: &str = "is not a field of this call.";
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field =
        descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name)).ok_or(UNKNOWN)?;
    if let Some(rest) = rest {
        let inner = field.kind();
        let inner = inner.as_message().filter(|_| !field.is_list() && !field.is_map()).ok_or(UNKNOWN)?;
        let nested = object.entry(field.json_name()).or_insert(Value::Null);
        if nested.is_null() {
            *nested = Value::Object(Map::new());
        }
        return set(nested.as_object_mut().ok_or("is given twice.")?, inner, rest, text, may_repeat);
    }
    let value = value(&field, text).ok_or("goes in the body, not in the query.")?;
    let names = [field.json_name(), field.name()];
    match names.iter().find(|name| object.contains_key(**name)).and_then(|name| object.get_mut(*name)) {
        Some(Value::Array(items)) if field.is_list() => items.push(value),
        Some(same) if may_repeat && *same == value => {}
        // Null is unset.
        Some(unset @ Value::Null) => *unset = if field.is_list() { Value::Array(vec![value]) } else { value },
        Some(_) => return Err("is given twice."),
        None => {
            let value = if field.is_list() { Value::Array(vec![value]) } else { value };
            object.insert(field.json_name().to_owned(), value);
        }
    }
    Ok(())
}

/// What a text of path or query is in JSON; None = a field that no text can hold. What does not fit the field is found later.
fn value(field: &FieldDescriptor, text: &str) -> Option<Value> {
    if field.is_map() {
        return None;
    }
    match field.kind() {
        Kind::Bool => Some(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Bool)),
        // An enum is named, or is a number.
        Kind::Enum(_) => Some(text.parse::<i32>().map_or_else(|_| Value::String(text.to_owned()), Value::from)),
        Kind::Message(inner) if inner.full_name() == "google.protobuf.BoolValue" => {
            Some(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Bool))
        }
        Kind::Message(inner) => {
            const AS_TEXT: [&str; 11] = [
                "Timestamp",
                "Duration",
                "FieldMask",
                "StringValue",
                "BytesValue",
                "Int32Value",
                "Int64Value",
                "UInt32Value",
                "UInt64Value",
                "FloatValue",
                "DoubleValue",
            ];
            let is_text = inner.package_name() == "google.protobuf" && AS_TEXT.contains(&inner.name());
            let is_mask = inner.full_name() == "google.protobuf.FieldMask";
            is_text.then(|| Value::String(if is_mask { mask(text) } else { text.to_owned() }))
        }
        Kind::String
        | Kind::Bytes
        | Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64 => Some(Value::String(text.to_owned())),
    }
}

/// A mask by names of proto or of JSON, as JSON has it.
fn mask(text: &str) -> String {
    text.split(',').map(|path| camel(path.trim())).collect::<Vec<_>>().join(",")
}
