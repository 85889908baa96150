//! The OpenAPI document: every rpc is in it and has a route, and the copy in `proto/` is the one that is served.

use std::{collections::BTreeSet, fs};

use countersign::wire::{
    http::{document, document_of},
    pb,
};
use prost_reflect::DescriptorPool;
use serde_json::Value;

use crate::transcoding;

const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/proto/openapi.json");

#[test]
fn the_copy_is_what_is_served() {
    let copy = fs::read_to_string(COPY).unwrap_or_default();
    let is_current = copy == document().unwrap();
    assert!(is_current, "proto/openapi.json is behind: curl -s localhost:3000/openapi.json > proto/openapi.json");
}

#[test]
fn every_rpc_has_a_route() {
    let document: Value = serde_json::from_str(&document().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let routed: BTreeSet<_> =
        operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
    let pool = DescriptorPool::decode(pb::DESCRIPTORS).unwrap();
    let services = pool.services().filter(|service| service.package_name() == "countersign.v1");
    let rpcs: BTreeSet<_> =
        services.flat_map(|service| service.methods().map(|rpc| rpc.name().to_owned()).collect::<Vec<_>>()).collect();
    assert!(rpcs.len() >= 33);
    assert_eq!(routed, rpcs);
}

/// With what Countersign's own rpcs do not use yet.
#[test]
fn every_kind_of_path_can_be_told() {
    let document: Value = serde_json::from_str(&document_of(&transcoding::pool()).unwrap()).unwrap();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(paths, ["/by-id/{id}", "/things/{name}", "/things/{name}:block", "/watch"]);
    let mut ids: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((count, ids), (6, vec!["Block", "Get", "Get2", "Post", "Put", "Watch"]));
    let put = &document["paths"]["/things/{name}"]["put"];
    assert_eq!(put["requestBody"]["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/InnerInput");
    assert!(document["paths"]["/watch"]["get"]["responses"]["200"]["content"]["text/event-stream"].is_object());
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_described() {
    let text = document().unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (at, _) in text.match_indices("#/components/schemas/") {
        let name = text[at + 21..].split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    for (name, schema) in schemas {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}.{field}");
        }
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap();
            assert!(
                summary.ends_with('.') && !summary.contains('\n') && !summary.contains(". "),
                "{method} {path}: {summary}"
            );
        }
    }
}
