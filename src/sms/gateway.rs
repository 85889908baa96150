//! Any gateway with an HTTP interface: address, headers and body are templates.

use std::fmt::Write;

use async_trait::async_trait;
use reqwest::{Client, Method};

use super::{Failure, SmsSender, client};
use crate::{config, model::PhoneNumber, secret::Secret};

pub(super) struct Gateway {
    client: Client,
    config: config::HttpGateway,
    method: Method,
    body: Escape,
}

/// How what is filled into a template is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    /// As it is.
    Plain,
    /// As part of an address or a form.
    Form,
    /// As part of a text in JSON.
    Json,
}

impl Gateway {
    pub(super) fn new(config: &config::HttpGateway) -> anyhow::Result<Self> {
        let kind = config.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let body = match kind.map(|(_, value)| value.expose().to_ascii_lowercase()) {
            Some(kind) if kind.contains("json") => Escape::Json,
            Some(kind) if kind.contains("x-www-form-urlencoded") => Escape::Form,
            _ => Escape::Plain,
        };
        Ok(Self { client: client::client()?, config: config.clone(), method: config.method.parse()?, body })
    }
}

#[async_trait]
impl SmsSender for Gateway {
    fn name(&self) -> &'static str {
        "http"
    }

    async fn send(&self, to: &PhoneNumber, text: &Secret<String>) -> Result<(), Failure> {
        let filled = |template: &str, escape| fill(template, to.expose(), text.expose(), escape);
        let mut request = self.client.request(self.method.clone(), filled(self.config.url.expose(), Escape::Form));
        for (name, value) in &self.config.headers {
            request = request.header(name, filled(value.expose(), Escape::Plain));
        }
        if !self.config.body.expose().is_empty() {
            request = request.body(filled(self.config.body.expose(), self.body));
        }
        client::send(request).await
    }
}

/// The template with number and text in their places. What is filled in is not looked through for places.
fn fill(template: &str, to: &str, text: &str, escape: Escape) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let (value, after) = match (from.strip_prefix("{to}"), from.strip_prefix("{text}")) {
            (Some(after), _) => (escaped(to, escape), after),
            (_, Some(after)) => (escaped(text, escape), after),
            (None, None) => ("{".to_owned(), &from[1..]),
        };
        filled.push_str(&value);
        rest = after;
    }
    filled + rest
}

fn escaped(value: &str, escape: Escape) -> String {
    match escape {
        Escape::Plain => value.to_owned(),
        Escape::Form => form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        Escape::Json => value.chars().fold(String::new(), |mut text, c| {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => {
                    // Writing to a text cannot fail.
                    let _ = write!(text, "\\u{:04x}", u32::from(c));
                }
                c => text.push(c),
            }
            text
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_as_it_fits_and_once() {
        let fill = |template: &str, escape| fill(template, "+30691", "a \"b\"\n{to}", escape);
        assert_eq!(fill("t={to}&m={text}", Escape::Form), "t=%2B30691&m=a+%22b%22%0A%7Bto%7D");
        assert_eq!(fill(r#"{"t":"{to}","m":"{text}"}"#, Escape::Json), r#"{"t":"+30691","m":"a \"b\"\u000a{to}"}"#);
        assert_eq!(fill("{x} {text}", Escape::Plain), "{x} a \"b\"\n{to}");
    }
}
