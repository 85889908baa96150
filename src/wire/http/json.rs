//! JSON in and out, after the proto3 mapping. In: every key once, none that is unknown, and every fault told by its field. Out: unset
//! fields are left out; booleans and lists are always there.

use std::fmt;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, SerializeOptions};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, error::Category};

use super::problem::Violation;

/// So many faults are told of one request.
pub const VIOLATIONS: usize = 20;

/// Reads a body. A text is never told back to its sender: it may be a password.
pub fn read(bytes: &[u8]) -> Result<Value, Violation> {
    let read: Result<Strict, _> = serde_json::from_slice(bytes);
    read.map(|strict| strict.0).map_err(|fault| {
        let at = format!("line {}, column {}", fault.line(), fault.column());
        let what = match fault.classify() {
            // Ours: a key that is there twice.
            Category::Data => format!("{fault}"),
            Category::Eof => format!("ends too early ({at})."),
            Category::Syntax | Category::Io => format!("is not JSON ({at})."),
        };
        Violation::new("body", what)
    })
}

/// The message that an object is, or all that is wrong with it.
pub fn message(descriptor: &MessageDescriptor, object: Map<String, Value>) -> Result<DynamicMessage, Vec<Violation>> {
    let mut violations = Vec::new();
    let plain = canonical(descriptor, object, "", &mut violations);
    if !violations.is_empty() {
        return Err(violations);
    }
    DynamicMessage::deserialize(descriptor.clone(), Value::Object(plain))
        .map_err(|_| vec![Violation::new("body", "is not a message of this call. See /docs.")])
}

/// What a message is in JSON.
pub fn write(message: &DynamicMessage) -> Value {
    let options = SerializeOptions::new().skip_default_fields(true);
    let plain = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap_or_default();
    complete(&message.descriptor(), plain)
}

/// What an answer is in JSON: the message, or one field of it.
pub fn answer(message: &DynamicMessage, field: Option<&FieldDescriptor>) -> Value {
    let mut value = write(message);
    match field {
        None => value,
        Some(field) => value.get_mut(field.json_name()).map(Value::take).unwrap_or_default(),
    }
}

/// Adds what is always there, and puts fields into the order of the proto files.
fn complete(descriptor: &MessageDescriptor, value: Value) -> Value {
    let Value::Object(mut object) = value else {
        return value;
    };
    if is_well_known(descriptor) {
        return Value::Object(object);
    }
    let mut whole = Map::new();
    for field in descriptor.fields() {
        let given = object.remove(field.json_name());
        let value = match (given, field.kind()) {
            (Some(Value::Array(items)), Kind::Message(inner)) if field.is_list() => {
                Some(items.into_iter().map(|item| complete(&inner, item)).collect())
            }
            (Some(item), Kind::Message(inner)) if !field.is_map() => Some(complete(&inner, item)),
            (Some(other), _) => Some(other),
            (None, _) if field.is_list() => Some(Value::Array(Vec::new())),
            (None, Kind::Bool) if !field.supports_presence() => Some(Value::Bool(false)),
            (None, _) => None,
        };
        if let Some(value) = value {
            whole.insert(field.json_name().to_owned(), value);
        }
    }
    Value::Object(whole)
}

/// The object with every key by its JSON name and without nulls, which mean unset.
fn canonical(
    descriptor: &MessageDescriptor,
    object: Map<String, Value>,
    path: &str,
    violations: &mut Vec<Violation>,
) -> Map<String, Value> {
    let mut plain = Map::new();
    for (key, value) in object {
        if violations.len() >= VIOLATIONS {
            break;
        }
        let field = descriptor.get_field_by_json_name(&key).or_else(|| descriptor.get_field_by_name(&key));
        let Some(field) = field else {
            violations.push(Violation::new(&join(path, &shortened(&key)), "is not a field of this call."));
            continue;
        };
        let path = join(path, field.json_name());
        if plain.contains_key(field.json_name()) {
            violations.push(Violation::new(&path, "is given twice."));
            continue;
        }
        if value.is_null() {
            continue;
        }
        if let Some(value) = canonical_value(&field, value, &path, violations) {
            plain.insert(field.json_name().to_owned(), value);
        }
    }
    plain
}

fn canonical_value(
    field: &FieldDescriptor,
    value: Value,
    path: &str,
    violations: &mut Vec<Violation>,
) -> Option<Value> {
    match (field.kind(), value) {
        (Kind::Message(inner), Value::Object(object)) if is_nested(field, &inner) && !field.is_list() => {
            Some(Value::Object(canonical(&inner, object, path, violations)))
        }
        (Kind::Message(inner), Value::Array(items)) if is_nested(field, &inner) && field.is_list() => {
            let items = items.into_iter().enumerate().filter_map(|(at, item)| match item {
                Value::Object(object) => {
                    Some(Value::Object(canonical(&inner, object, &format!("{path}[{at}]"), violations)))
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    violations.push(Violation::new(&format!("{path}[{at}]"), "must be an object."));
                    None
                }
            });
            Some(Value::Array(items.collect()))
        }
        (_, value) => {
            let mut alone = Map::new();
            alone.insert(field.json_name().to_owned(), value);
            match DynamicMessage::deserialize(field.parent_message().clone(), &Value::Object(alone.clone())) {
                Ok(_) => alone.remove(field.json_name()),
                Err(_) => {
                    violations.push(Violation::new(path, expected(field)));
                    None
                }
            }
        }
    }
}

fn is_nested(field: &FieldDescriptor, inner: &MessageDescriptor) -> bool {
    !field.is_map() && !is_well_known(inner)
}

/// Messages whose JSON is not that of their fields.
fn is_well_known(descriptor: &MessageDescriptor) -> bool {
    descriptor.package_name() == "google.protobuf"
}

/// What a field takes, as a sentence.
fn expected(field: &FieldDescriptor) -> String {
    let what = match field.kind() {
        Kind::String => "text".to_owned(),
        Kind::Bool => "true or false".to_owned(),
        Kind::Bytes => "base64 in text".to_owned(),
        Kind::Double | Kind::Float => "a number".to_owned(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "a whole number of 32 bits".to_owned(),
        Kind::Uint32 | Kind::Fixed32 => "a whole number of 32 bits, not below 0".to_owned(),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "a whole number of 64 bits".to_owned(),
        Kind::Uint64 | Kind::Fixed64 => "a whole number of 64 bits, not below 0".to_owned(),
        Kind::Enum(kind) => {
            let names: Vec<_> =
                kind.values().filter(|value| value.number() != 0).map(|v| v.name().to_owned()).collect();
            format!("one of {}", names.join(", "))
        }
        Kind::Message(inner) => match inner.full_name() {
            "google.protobuf.Timestamp" => "a time such as \"2026-11-24T08:00:00Z\"".to_owned(),
            "google.protobuf.Duration" => "a duration such as \"300s\"".to_owned(),
            "google.protobuf.FieldMask" => {
                "names of fields with commas between them, such as \"gracePeriod,totpDigits\"".to_owned()
            }
            _ => "an object".to_owned(),
        },
    };
    if field.is_map() {
        "must be an object.".to_owned()
    } else if field.is_list() {
        format!("must be a list, and each of it {what}.")
    } else {
        format!("must be {what}.")
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A key as it can be shown: not a whole message by itself.
pub fn shortened(key: &str) -> String {
    key.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(64).collect()
}

/// JSON in which no object has a key twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(Strict(Value::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("gives {:?} twice", shortened(&key))));
            }
            object.insert(key, value);
        }
        Ok(Strict(Value::Object(object)))
    }
}
