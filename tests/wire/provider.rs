//! A provider of text messages that is not one: it keeps what it is sent, and answers as it is told.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, task::JoinSet};

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes the message.
    Takes,
    /// It answers with a status.
    Answers(u16),
    /// It leads elsewhere.
    Redirects,
    /// It says nothing for half a minute.
    Hangs,
    /// It takes the message and hangs up.
    Breaks,
    /// It takes the message, and its body never ends.
    Drips,
}

/// A message that it was sent.
#[derive(Clone, Debug)]
pub struct Message {
    pub to: String,
    pub text: String,
    pub path: String,
    pub authorization: String,
}

pub struct Provider {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

struct State {
    manner: Manner,
    messages: Vec<Message>,
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { manner: Manner::Takes, messages: Vec::new() }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, _server: server }
    }

    /// What the service needs to be told of it, as a fake Twilio.
    pub fn twilio(&self) -> Vec<String> {
        [
            "sms.provider=twilio".to_owned(),
            "sms.allowed_countries=GR,DE".to_owned(),
            format!("sms.twilio.base_url=http://{}", self.address),
            "sms.twilio.account_sid=AC1".to_owned(),
            "sms.twilio.auth_token=hunter2".to_owned(),
            "sms.twilio.from=+15005550006".to_owned(),
            "sms.origin_host=login.example.com".to_owned(),
        ]
        .to_vec()
    }

    pub fn answers(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }

    pub fn messages(&self) -> Vec<Message> {
        self.state.lock().unwrap().messages.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().messages.len()
    }

    /// The code of the last message.
    pub fn code(&self) -> String {
        self.messages().last().unwrap().code()
    }
}

impl Message {
    pub fn code(&self) -> String {
        self.text.split_whitespace().next().unwrap().to_owned()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            // A client that gives up is what is tested here.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>;

async fn answer(request: Request<Incoming>, state: Arc<Mutex<State>>) -> std::io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let form: HashMap<String, String> = if body.starts_with(b"{") {
        serde_json::from_slice(&body).unwrap()
    } else {
        form_urlencoded::parse(&[query.as_bytes(), b"&", &body].concat()).into_owned().collect()
    };
    let of = |names: [&str; 3]| names.iter().find_map(|name| form.get(*name)).cloned().unwrap_or_default();
    let authorization = head.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let message = Message {
        to: of(["To", "to", "recipient"]),
        text: of(["Body", "text", "message"]),
        path: head.uri.path().to_owned(),
        authorization: authorization.unwrap_or_default(),
    };
    let manner = {
        let mut state = state.lock().unwrap();
        state.messages.push(message);
        state.manner
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"{}")).boxed());
    match manner {
        Manner::Takes => *response.status_mut() = StatusCode::CREATED,
        Manner::Answers(status) => *response.status_mut() = StatusCode::from_u16(status).unwrap(),
        Manner::Redirects => {
            *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            response.headers_mut().insert(header::LOCATION, "/elsewhere".parse().unwrap());
        }
        Manner::Hangs => tokio::time::sleep(Duration::from_secs(30)).await,
        Manner::Breaks => return Err(std::io::Error::other("hung up")),
        Manner::Drips => {
            *response.body_mut() = http_body_util::StreamBody::new(futures_util::stream::pending()).boxed();
        }
    }
    Ok(response)
}
