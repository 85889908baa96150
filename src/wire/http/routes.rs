//! The routes: read from the `google.api.http` option of each rpc, so that an rpc that carries it is served by its path too.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};
use http::{Method, uri::PathAndQuery};
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, Value};

use super::template::Template;

const OPTION: &str = "google.api.http";

/// A route: a method and a path, and the rpc that they name.
#[derive(Debug)]
pub struct Route {
    /// The HTTP method.
    pub method: Method,
    /// The path.
    pub template: Template,
    /// What the body holds.
    pub body: Body,
    /// The field that the answer holds; None = the whole message.
    pub response_body: Option<FieldDescriptor>,
    /// The rpc.
    pub rpc: MethodDescriptor,
    /// Its path in gRPC.
    pub grpc_path: PathAndQuery,
}

/// What the body of a request holds.
#[derive(Debug)]
pub enum Body {
    /// Nothing: every field that is not in the path is in the query.
    Nothing,
    /// Every field that is not in the path.
    Everything,
    /// This field; others are in the query.
    Field(FieldDescriptor),
}

/// All routes.
#[derive(Debug)]
pub struct Routes(Vec<Route>);

/// What a method and a path lead to.
pub enum Found<'a> {
    /// An rpc, and the fields that the path holds.
    Route(&'a Route, Vec<(&'a str, String)>),
    /// The path is one of ours, for these methods.
    OtherMethods(BTreeSet<&'a str>),
    /// The path is none of ours.
    Nothing,
}

impl Routes {
    /// The routes of every rpc with the option.
    pub fn read(pool: &DescriptorPool) -> anyhow::Result<Self> {
        let mut routes = Vec::new();
        for rpc in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let Some(option) = option(pool, &rpc)? else {
                continue;
            };
            let bindings = list(&option, "additional_bindings");
            for rule in std::iter::once(&option).chain(&bindings) {
                routes.push(route(&rpc, rule).with_context(|| format!("the option {OPTION} of {}", rpc.full_name()))?);
            }
        }
        for (at, route) in routes.iter().enumerate() {
            let is_same =
                |other: &&Route| other.method == route.method && other.template.plain() == route.template.plain();
            if let Some(other) = routes[..at].iter().find(is_same) {
                bail!("{} and {} have the same path", other.rpc.full_name(), route.rpc.full_name());
            }
        }
        // Else a variable would swallow the verb of another route.
        routes.sort_by_key(|route| !route.template.has_verb());
        Ok(Self(routes))
    }

    /// Every route.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Finds the route. HEAD is GET without the body of the answer (RFC 9110 section 9.3.2).
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let (mut others, mut has_verb) = (BTreeSet::new(), false);
        for route in &self.0 {
            // What a verb stands at the end of is no name: those with verbs come first, and then come alone.
            if has_verb && !route.template.has_verb() {
                break;
            }
            let Some(values) = route.template.find_values(path) else {
                continue;
            };
            has_verb = route.template.has_verb();
            if route.method == *method {
                return Found::Route(route, values);
            }
            others.insert(route.method.as_str());
            if route.method == Method::GET {
                others.insert(Method::HEAD.as_str());
            }
        }
        if others.is_empty() { Found::Nothing } else { Found::OtherMethods(others) }
    }
}

fn option(pool: &DescriptorPool, rpc: &MethodDescriptor) -> anyhow::Result<Option<DynamicMessage>> {
    let option = pool.get_extension_by_name(OPTION).with_context(|| format!("the descriptors lack {OPTION}"))?;
    let options = rpc.options();
    if !options.has_extension(&option) {
        return Ok(None);
    }
    let option = options.get_extension(&option);
    Ok(Some(option.as_message().with_context(|| format!("{OPTION} is no message"))?.clone()))
}

fn route(rpc: &MethodDescriptor, rule: &DynamicMessage) -> anyhow::Result<Route> {
    ensure!(!rpc.is_client_streaming(), "the rpc takes a stream");
    let (method, path) = pattern(rule)?;
    let template = Template::parse(&path)?;
    for field in template.fields() {
        ensure!(find_field(rpc, field), "the path names {field}, which is no field of {}", rpc.input().full_name());
    }
    let body = match text(rule, "body").as_str() {
        "" => Body::Nothing,
        "*" => Body::Everything,
        name => Body::Field(
            rpc.input().get_field_by_name(name).with_context(|| format!("body names {name}, which is no field"))?,
        ),
    };
    let response_body = match text(rule, "response_body").as_str() {
        "" => None,
        name => {
            let field = rpc.output().get_field_by_name(name);
            Some(field.with_context(|| format!("response_body names {name}, which is no field"))?)
        }
    };
    let grpc_path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()).parse()?;
    Ok(Route { method, template, body, response_body, rpc: rpc.clone(), grpc_path })
}

fn pattern(rule: &DynamicMessage) -> anyhow::Result<(Method, String)> {
    for (field, method) in [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ] {
        if rule.has_field_by_name(field) {
            return Ok((method, text(rule, field)));
        }
    }
    match rule.get_field_by_name("custom").map(std::borrow::Cow::into_owned) {
        Some(Value::Message(custom)) if rule.has_field_by_name("custom") => {
            let kind = text(&custom, "kind");
            ensure!(kind != "*", "a path for every method cannot be told from others");
            Ok((kind.parse()?, text(&custom, "path")))
        }
        _ => bail!("it has no path"),
    }
}

fn find_field(rpc: &MethodDescriptor, path: &str) -> bool {
    let mut message = Some(rpc.input());
    path.split('.').all(|name| {
        let field = message.as_ref().and_then(|message| message.get_field_by_name(name));
        message = field.as_ref().and_then(|field| field.kind().as_message().cloned());
        field.is_some_and(|field| !field.is_list() && !field.is_map())
    })
}

fn text(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    let value = message.get_field_by_name(field);
    let values = value.as_deref().and_then(Value::as_list).unwrap_or_default();
    values.iter().filter_map(|value| value.as_message().cloned()).collect()
}
