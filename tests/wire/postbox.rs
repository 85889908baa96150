//! A mail server that is none: it keeps what it is given, and refuses whom it is told to. (A real one is in `tests/smoke`.)

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub to: String,
    /// Headers and body as they came.
    pub text: String,
}

#[derive(Default)]
struct State {
    /// What is said to whoever is written to.
    answer: String,
    taken: Vec<Taken>,
}

pub struct Postbox {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl Taken {
    pub fn header(&self, name: &str) -> String {
        let start = format!("{name}: ");
        self.text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_default().to_owned()
    }

    /// The subject, less the name of the service.
    pub fn subject(&self) -> String {
        self.header("Subject").trim_start_matches("Countersign: ").to_owned()
    }
}

impl Postbox {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&state)));
        Self { address, state, _server: server }
    }

    /// What the service needs to be told of it.
    pub fn sets(&self) -> Vec<String> {
        vec![
            format!("mail.host={}", self.address.ip()),
            format!("mail.port={}", self.address.port()),
            "mail.security=none".to_owned(),
            "mail.from=Example <no-reply@example.com>".to_owned(),
            "mail.help=Call extension 100.".to_owned(),
        ]
    }

    /// Answers whoever is written to like this from now on; empty = takes the mail.
    pub fn answers(&self, answer: &str) {
        answer.clone_into(&mut self.state.lock().unwrap().answer);
    }

    pub fn taken(&self) -> Vec<Taken> {
        self.state.lock().unwrap().taken.clone()
    }

    /// What an address was told, by subject, in the order in which it came.
    pub fn subjects(&self, to: &str) -> Vec<String> {
        self.taken().iter().filter(|taken| taken.to == to).map(Taken::subject).collect()
    }

    /// Waits until so many were taken.
    pub async fn wait_for(&self, count: usize) -> Vec<Taken> {
        for _ in 0..800 {
            if self.taken().len() >= count {
                return self.taken();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{} of {count} mails came", self.taken().len());
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // A client that hangs up has its reasons.
            let _ = converse(stream, state).await;
        });
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 postbox\r\n").await?;
    let (mut to, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let command = line.trim().to_owned();
        let answer = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-postbox\r\n250 8BITMIME".to_owned(),
            "RCPT" => {
                command.split(['<', '>']).nth(1).unwrap().clone_into(&mut to);
                let answer = state.lock().unwrap().answer.clone();
                if answer.is_empty() { "250 ok".to_owned() } else { answer }
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let text = data(&mut stream).await?;
                // A line that was broken for the way (quoted-printable) is whole again.
                let text = text.replace("=\r\n", "");
                state.lock().unwrap().taken.push(Taken { to: to.clone(), text });
                "250 taken".to_owned()
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let (mut text, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        if line == ".\r\n" || line.is_empty() {
            return Ok(text);
        }
        text.push_str(&line);
    }
}
