//! A webhook's receiver that is not one: it keeps what it is posted, and answers as it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

/// What the service signs with here.
pub const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

/// An event that it was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<(u16, Vec<Posted>)>>,
    _server: JoinSet<()>,
}

impl Posted {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    pub fn position(&self) -> i64 {
        self.json()["data"]["position"].as_i64().unwrap()
    }

    /// Whether it is signed with a secret, as the specification has it.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let bytes = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        let message = [format!("{}.{}.", self.id(), self.header("webhook-timestamp")).as_bytes(), &self.body].concat();
        let mut signatures = self.header("webhook-signature").split(' ');
        signatures.any(|one| {
            let tag = STANDARD.decode(one.strip_prefix("v1,").unwrap()).unwrap();
            hmac::verify(&key, &message, &tag).is_ok()
        })
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new((200, Vec::new())));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, _server: server }
    }

    /// What the service needs to be told of it.
    pub fn sets(&self) -> Vec<String> {
        vec![
            format!("webhook.url=http://{}/hook?token=hunter2", self.address),
            format!("webhook.secret={}", SECRETS.join(" ")),
        ]
    }

    pub fn answers(&self, status: u16) {
        self.state.lock().unwrap().0 = status;
    }

    /// Every try, in the order in which they came.
    pub fn posted(&self) -> Vec<Posted> {
        self.state.lock().unwrap().1.clone()
    }

    /// Waits until there are so many tries.
    pub async fn wait_for(&self, count: usize) -> Vec<Posted> {
        for _ in 0..800 {
            if self.posted().len() >= count {
                return self.posted();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{} of {count} events came", self.posted().len());
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<(u16, Vec<Posted>)>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&state)));
            // A client that hangs up has its reasons.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<(u16, Vec<Posted>)>>,
) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let mut state = state.lock().unwrap();
    state.1.push(Posted { headers: head.headers, body });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(state.0).unwrap();
    Ok(response)
}
