//! Whether a request comes from a page of ours: by what browsers say of it, and by a token in each form that belongs to a cookie of
//! this browser.

use http::{HeaderMap, HeaderValue, Response, header};
use http_body_util::Full;
use tonic::body::Body;

use super::{
    super::cookie::{SEC_FETCH_SITE, is_same_origin},
    assets,
    texts::ENGLISH,
};
use crate::secret;

/// The field of a form that holds its token.
pub const FIELD: &str = "form_token";

/// The token of the forms of a browser with this cookie. It cannot be turned back into the cookie.
pub fn form_token(cookie: &str) -> String {
    secret::to_text(&secret::fingerprint(format!("countersign console form {cookie}").as_bytes()))
}

/// Refuses a form that was not made for a browser with this cookie, or not sent by a page of ours; the reason says which.
pub fn judge(headers: &HeaderMap, is_secure: bool, cookie: Option<&str>, shown: &str) -> Result<(), &'static str> {
    // Every browser says at least one of them of a form.
    let is_told = headers.contains_key(header::ORIGIN) || headers.contains_key(SEC_FETCH_SITE);
    if !is_told || !is_same_origin(headers, is_secure) {
        return Err("FORM_ELSEWHERE");
    }
    let cookie = cookie.ok_or("FORM_WITHOUT_COOKIE")?;
    if secret::same(form_token(cookie).as_bytes(), shown.as_bytes()) { Ok(()) } else { Err("FORM_EXPIRED") }
}

/// Whether a link of another site leads here: then the browser has sent none of our cookies along.
pub fn is_led_from_elsewhere(headers: &HeaderMap) -> bool {
    let is = |name: &str, values: &[&str]| {
        headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| values.contains(&value))
    };
    is("sec-fetch-site", &["cross-site", "same-site"]) && is("sec-fetch-mode", &["navigate"])
}

/// Has the browser ask once more, from here: now it sends the cookies along.
pub fn step_inside() -> Response<Body> {
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Countersign</title>\
         <link rel=\"icon\" href=\"{}\"><meta http-equiv=\"refresh\" content=\"0\"></head><body><p><a href=\"\">{}</a></p></body></html>\n",
        assets::icon(),
        ENGLISH.go_on
    );
    let mut response = Response::new(Body::new(Full::from(page)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
