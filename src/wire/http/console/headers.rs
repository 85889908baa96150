//! What every answer of the console tells the browser: run nothing and load nothing that is not ours, and keep nothing.

use http::{HeaderName, HeaderValue, Response, header};
use tonic::body::Body;

/// Everything is of this host, and in files of its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const PERMISSIONS: &str = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), \
                           microphone=(), midi=(), payment=(), serial=(), usb=()";

/// For a year, and for this host.
const TLS_ALONE: &str = "max-age=31536000";

/// Puts them on an answer; where cookies are for TLS alone, so is the console. (With no referrer at all the browser would name no origin of a form, either.)
pub fn dress(response: &mut Response<Body>, is_secure: bool) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if is_secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TLS_ALONE));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
