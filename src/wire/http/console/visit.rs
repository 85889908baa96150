//! One request of a browser: who visits, what they ask and send, and what their browser is told to keep.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use tonic::body::Body;

use super::{
    super::{
        super::{guard, peer::Peer},
        cookie::is_same_origin,
        gateway::InProcess,
    },
    Answer, Console,
    calls::rpc,
    cookies::{Jar, Kind},
    fields::Fields,
    frame::{Frame, Who},
    origin,
    refused::Refused,
    see_other,
};
use crate::{clock::Timestamp, secret, wire::pb};

/// What a call is told of a request. A token that a browser would send itself is none of ours.
const PASSED_ON: [HeaderName; 5] = [
    header::USER_AGENT,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static(guard::REQUEST_ID),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

const HTML: &str = "text/html; charset=utf-8";

/// A visit.
pub struct Visit<'a> {
    console: &'a Console,
    /// Whether a form is sent.
    pub is_post: bool,
    /// The path.
    pub path: String,
    /// What the query says.
    pub query: Fields,
    /// What was typed.
    pub form: Fields,
    /// Host and port, as the browser knows them.
    pub host: String,
    /// The cookies.
    pub jar: Jar,
    pub(super) peer: Peer,
    pub(super) passed_on: HeaderMap,
    pub(super) is_renewed: bool,
    /// Whether it is no page that is asked for, but a stream of events.
    pub takes_events: bool,
    /// Whether a proof came with this form.
    pub is_proven: bool,
    is_ours: Result<(), &'static str>,
    /// Whether the browser has sent its cookies along, as far as it says.
    is_from_here: bool,
    last_event_id: Option<String>,
    target: String,
    who: Option<Who>,
}

impl<'a> Visit<'a> {
    /// A visit with this request.
    pub fn new(console: &'a Console, head: &Parts, peer: Peer, form: Fields) -> anyhow::Result<Self> {
        let mut jar = Jar::read(&head.headers, console.is_secure);
        let is_ours = origin::judge(&head.headers, console.is_secure, jar.get(Kind::Form), form.get(origin::FIELD));
        if jar.get(Kind::Form).is_none() {
            jar.set(Kind::Form, secret::to_text(&secret::random::<32>()?));
        }
        let mut passed_on = HeaderMap::new();
        for name in PASSED_ON {
            for value in head.headers.get_all(&name) {
                passed_on.append(name.clone(), value.clone());
            }
        }
        let last_event_id = head.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        Ok(Self {
            console,
            is_post: head.method == http::Method::POST,
            path: head.uri.path().to_owned(),
            query: Fields::parse(head.uri.query().unwrap_or_default().as_bytes()),
            form,
            host: host.to_owned(),
            jar,
            peer,
            passed_on,
            is_renewed: false,
            takes_events: head.headers.get(header::ACCEPT).is_some_and(|media| media == "text/event-stream"),
            is_proven: false,
            is_ours,
            is_from_here: is_same_origin(&head.headers, console.is_secure),
            last_event_id: last_event_id.map(str::to_owned),
            target: head.uri.path_and_query().map(|target| target.as_str().to_owned()).unwrap_or_default(),
            who: None,
        })
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The last event that a browser has seen of a stream, when it comes again.
    pub fn last_event_id(&self) -> Option<String> {
        self.last_event_id.clone()
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.console.clock.now()
    }

    /// The services.
    pub fn services(&self) -> &InProcess {
        &self.console.services
    }

    /// Where the browser is, as an origin.
    pub fn own_origin(&self) -> String {
        format!("{}://{}", if self.console.is_secure { "https" } else { "http" }, self.host)
    }

    /// Refuses a form that no page of ours has sent.
    pub fn must_be_ours(&self) -> Result<(), Refused> {
        self.is_ours.map_err(Refused::new)
    }

    /// Whether somebody has a session, or had one a moment ago.
    pub fn has_session(&self) -> bool {
        self.jar.get(Kind::Refresh).is_some() || self.jar.get(Kind::Access).is_some()
    }

    /// Whether somebody must enrol a factor before there is a session.
    pub fn is_enrolling(&self) -> bool {
        !self.has_session() && self.jar.get(Kind::Enrolment).is_some()
    }

    /// Keeps the tokens of a session. Without a refresh token it is another access token of the same session.
    pub fn keep_tokens(&mut self, access: String, refresh: String, seconds: i32) {
        self.jar.keep(Kind::Access, access, u64::try_from(seconds).unwrap_or(0));
        if !refresh.is_empty() {
            self.jar.set(Kind::Refresh, refresh);
        }
    }

    /// Begins a session, and other forms with it: those of the time before are of no use any more.
    pub fn begin_session(&mut self, access: String, refresh: String, seconds: i32) -> Result<(), Refused> {
        self.forget_session();
        self.keep_tokens(access, refresh, seconds);
        self.renew_forms()
    }

    /// Has the browser forget the session, and whatever was under way in it.
    pub fn forget_session(&mut self) {
        for kind in Kind::OF_SESSION {
            self.jar.end(kind);
        }
    }

    /// Ends the session that the browser came with, where there is one: nobody has its tokens any more.
    pub async fn end_session(&mut self) {
        if self.has_session() || self.is_enrolling() {
            let _ = rpc!(self, sessions.end_session(pb::EndSessionRequest::default()));
        }
        self.forget_session();
    }

    /// Makes the forms of this browser known by something else.
    pub fn renew_forms(&mut self) -> Result<(), Refused> {
        let value = secret::random::<32>().map_err(|_| Refused::new("INTERNAL"))?;
        self.jar.set(Kind::Form, secret::to_text(&value));
        Ok(())
    }

    /// Who has signed in. Of somebody who has not, there is none.
    pub async fn who(&mut self) -> Result<Option<Who>, Refused> {
        if self.who.is_none() && self.has_session() {
            let user = rpc!(self, sessions.get_current_user(pb::GetCurrentUserRequest {}))?;
            self.who = Some(Who { is_admin: user.role() == pb::Role::Admin, email: user.email, user_id: user.user_id });
        }
        Ok(self.who.clone())
    }

    /// What stands around a page.
    pub async fn frame(&mut self, title: &'static str, section: &'static str) -> Result<Frame, Refused> {
        let who = self.who().await?;
        Ok(self.frame_of(title, section, who))
    }

    /// The same, of whom is known already.
    pub fn known_frame(&self, title: &'static str) -> Frame {
        self.frame_of(title, "", self.who.clone())
    }

    /// What stands around a page of nobody in particular.
    pub fn open_frame(&self, title: &'static str) -> Frame {
        self.frame_of(title, "", None)
    }

    fn frame_of(&self, title: &'static str, section: &'static str, who: Option<Who>) -> Frame {
        let token = origin::form_token(self.jar.get(Kind::Form).unwrap_or_default());
        Frame::new(title, section, who, token, self.jar.get(Kind::Deed).unwrap_or_default())
    }

    /// A page.
    pub fn page(&self, template: &impl askama::Template) -> Answer {
        let text = template.render().map_err(|fault| {
            tracing::error!(%fault, "a page of the console cannot be drawn");
            Refused::new("INTERNAL")
        })?;
        let mut response = Response::new(Body::new(Full::from(text)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(HTML));
        Ok(response)
    }

    /// A page that says why something was not done.
    pub fn page_after(&self, refused: Option<&Refused>, template: &impl askama::Template) -> Answer {
        let mut response = self.page(template)?;
        *response.status_mut() = refused.map_or(StatusCode::OK, Refused::status);
        Ok(response)
    }

    /// Leads to another page.
    pub fn lead_to(&self, path: &str) -> Answer {
        Ok(see_other(path))
    }

    /// Leads to another page, which says what was done. No link can have it say so.
    pub fn lead_on(&mut self, path: &str, deed: &str) -> Answer {
        self.jar.set(Kind::Deed, deed.to_owned());
        self.lead_to(path)
    }

    /// The answer, with the cookies that it changes. A request from elsewhere changes none: those that the browser has kept to itself
    /// only seem to be missing.
    pub fn end(mut self, answer: Answer) -> Response<Body> {
        let mut response = answer.unwrap_or_else(|refused| super::routes::error_page(&self, &refused));
        // A page has said it.
        if response.headers().get(header::CONTENT_TYPE).is_some_and(|media| media == HTML) {
            self.jar.end(Kind::Deed);
        }
        for cookie in self.jar.changes().filter(|_| self.is_from_here) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}
