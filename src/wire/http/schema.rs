//! Messages as JSON Schema (2020-12, as OpenAPI 3.1 has it).

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::manual::Manual;

/// The schemas of messages, by name, as far as they were asked for.
pub struct Schemas<'a> {
    manual: &'a Manual,
    answered: BTreeSet<String>,
    made: BTreeMap<String, Value>,
}

/// Which way a message goes. What comes in may leave out anything; of what goes out booleans and lists are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request.
    In,
    /// An answer.
    Out,
}

impl<'a> Schemas<'a> {
    /// Schemas for an API that answers with these messages.
    pub fn new(manual: &'a Manual, answers: impl Iterator<Item = MessageDescriptor>) -> Self {
        let mut answered = BTreeSet::new();
        answers.for_each(|message| reach(&message, &mut answered));
        Self { manual, answered, made: BTreeMap::new() }
    }

    /// Everything that was made.
    pub fn into_components(self) -> Map<String, Value> {
        self.made.into_iter().collect()
    }

    /// A reference to the schema of a message.
    pub fn reference(&mut self, message: &MessageDescriptor, way: Way) -> Value {
        let name = match way {
            Way::In if self.answered.contains(message.full_name()) => format!("{}Input", message.name()),
            Way::In | Way::Out => message.name().to_owned(),
        };
        if !self.made.contains_key(&name) {
            // Before its fields, which may lead back to it.
            self.made.insert(name.clone(), Value::Null);
            let schema = self.object(message, way, &[]);
            self.made.insert(name.clone(), schema);
        }
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }

    /// The schema of a message without some fields.
    pub fn object(&mut self, message: &MessageDescriptor, way: Way, without: &[&str]) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            let is_always_there = field.is_list() || (field.kind() == Kind::Bool && !field.supports_presence());
            if way == Way::Out && is_always_there {
                required.push(field.json_name().to_owned());
            }
            let schema = self.field(&field, way);
            properties.insert(field.json_name().to_owned(), schema);
        }
        let mut schema = json!({ "type": "object", "description": self.manual.of_message(message) });
        schema["properties"] = Value::Object(properties);
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema["additionalProperties"] = json!(false);
        schema
    }

    /// The schema of a field, with what the manual says of it.
    pub fn field(&mut self, field: &FieldDescriptor, way: Way) -> Value {
        let mut schema = if field.is_map() {
            json!({ "type": "object" })
        } else if field.is_list() {
            json!({ "type": "array", "items": self.kind(&field.kind(), way) })
        } else {
            self.kind(&field.kind(), way)
        };
        schema["description"] = json!(self.manual.of_field(field));
        schema
    }

    fn kind(&mut self, kind: &Kind, way: Way) -> Value {
        match kind {
            Kind::String => json!({ "type": "string" }),
            Kind::Bytes => json!({ "type": "string", "contentEncoding": "base64" }),
            Kind::Bool => json!({ "type": "boolean" }),
            Kind::Double | Kind::Float => json!({ "type": "number" }),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({ "type": "integer", "format": "int32" }),
            Kind::Uint32 | Kind::Fixed32 => json!({ "type": "integer", "format": "uint32", "minimum": 0 }),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({ "type": "string", "pattern": "^-?[0-9]+$" }),
            Kind::Uint64 | Kind::Fixed64 => json!({ "type": "string", "pattern": "^[0-9]+$" }),
            Kind::Enum(kind) => {
                if !self.made.contains_key(kind.name()) {
                    // "Not said" is said by leaving a field out.
                    let names: Vec<_> =
                        kind.values().filter(|v| v.number() != 0).map(|v| v.name().to_owned()).collect();
                    let schema = json!({ "type": "string", "description": self.manual.of_enum(kind), "enum": names });
                    self.made.insert(kind.name().to_owned(), schema);
                }
                json!({ "$ref": format!("#/components/schemas/{}", kind.name()) })
            }
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Timestamp" => json!({ "type": "string", "format": "date-time" }),
                "google.protobuf.Duration" => json!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]{1,9})?s$" }),
                "google.protobuf.FieldMask" => json!({ "type": "string" }),
                _ => self.reference(message, way),
            },
        }
    }
}

/// A message and all that its fields lead to.
fn reach(message: &MessageDescriptor, reached: &mut BTreeSet<String>) {
    if reached.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(inner) = field.kind() {
                reach(&inner, reached);
            }
        }
    }
}
