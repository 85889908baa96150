//! What is typed into forms, and what a query says: pairs of names and values. Values may be passwords, so all of them are wiped.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};

use crate::secret::Secret;

/// Bytes of a form.
const BODY_BYTES: usize = 64 * 1024;
/// A form that takes longer to arrive is not waited for.
const BODY_TIME: Duration = Duration::from_secs(5);
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The fields.
#[derive(Default)]
pub struct Fields(Vec<(String, Secret<String>)>);

impl Fields {
    /// Reads them.
    pub fn parse(text: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(text);
        Self(pairs.map(|(name, value)| (name.into_owned(), Secret::new(value.into_owned()))).collect())
    }

    /// A value; empty = there is none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().as_str()).unwrap_or_default()
    }

    /// A value without white space around it.
    pub fn trimmed(&self, name: &str) -> String {
        self.get(name).trim().to_owned()
    }

    /// Whether a field was sent: of a box, whether it is checked.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Names and values, of those whose name is kept.
    pub fn kept(&self, keep: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let kept = self.0.iter().filter(|(name, _)| keep(name));
        kept.map(|(name, value)| (name.clone(), value.expose().clone())).collect()
    }
}

/// A query of these fields; those that are empty are left out.
pub fn query<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields.into_iter().filter(|(_, value)| !value.is_empty()));
    query.finish()
}

/// Reads the form of a request, or tells for which reason it is refused.
pub async fn read<B>(body: B, headers: &HeaderMap) -> Result<Fields, &'static str>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send,
{
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err("UNSUPPORTED_MEDIA_TYPE");
    }
    let reading = Limited::new(body, BODY_BYTES).collect();
    let body = tokio::time::timeout(BODY_TIME, reading).await.map_err(|_| "DEADLINE_EXCEEDED")?;
    Ok(Fields::parse(&body.map_err(|_| "REQUEST_TOO_LARGE")?.to_bytes()))
}
