//! The files that pages load. Each has the hash of its content in its name, so that browsers may keep it for good.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use tonic::body::Body;

use crate::secret;

/// A file.
struct Asset {
    path: String,
    media: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, media: &'static str, content: &'static str) -> Self {
        let hash = secret::to_text(&secret::fingerprint(content.as_bytes())[..9]);
        Self { path: format!("/console/static/{name}.{hash}.{ending}"), media, content }
    }
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    const SCRIPT: &str = "text/javascript; charset=utf-8";
    [
        Asset::new("console", "css", "text/css; charset=utf-8", include_str!("static/console.css")),
        Asset::new("console", "js", SCRIPT, include_str!("static/console.js")),
        Asset::new("audit", "js", SCRIPT, include_str!("static/audit.js")),
        Asset::new("icon", "svg", "image/svg+xml", include_str!("static/icon.svg")),
    ]
});

/// Where the style is.
pub fn style() -> &'static str {
    &ASSETS[0].path
}

/// Where the script of every page is.
pub fn script() -> &'static str {
    &ASSETS[1].path
}

/// Where the script of the audit log is.
pub fn audit_script() -> &'static str {
    &ASSETS[2].path
}

/// Where the icon is.
pub fn icon() -> &'static str {
    &ASSETS[3].path
}

/// The file at a path.
pub fn find(path: &str) -> Option<Response<Body>> {
    let asset = ASSETS.iter().find(|asset| asset.path == path)?;
    let mut response = Response::new(Body::new(Full::new(Bytes::from_static(asset.content.as_bytes()))));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    Some(response)
}
