//! A TCP proxy in front of a server, which a test commands: it passes, delays, cuts, holds back, and stops at a chunk that the
//! test has chosen.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use tokio::sync::oneshot::{self, Receiver, Sender};

/// A proxy; it ends when it is dropped.
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

/// What becomes of the chunk at which the proxy stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server never gets it.
    Lost,
    /// The server gets it and answers; the answer is lost.
    Delivered,
}

/// How chunks are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Each chunk comes later by so much.
    Delay(Duration),
    /// New connections are closed at once.
    Refuse,
    /// Connections are accepted and stay, and nothing passes.
    Hold,
    Ended,
}

/// What the test is waiting for, once.
enum Trap {
    /// A chunk of clients that holds this text: it is forwarded, and the connection ends in place of the server's answer.
    Cut { text: &'static str, done: Sender<()> },
    /// The n-th chunk of clients from now on that holds this text: nothing passes any more.
    Stop { text: &'static str, left: usize, fate: Fate, done: Sender<()> },
}

/// What is to happen when the server answers on a link.
enum Then {
    Cut(Sender<()>),
    Stop(Sender<()>),
}

/// A connection through the proxy.
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// Its chunks do not count.
    is_quiet: bool,
    /// Nothing passes on it, ever.
    is_mute: bool,
    then: Option<Then>,
}

struct State {
    mode: Mode,
    trap: Option<Trap>,
    links: HashMap<u64, Link>,
    made: u64,
    quiet: &'static [&'static str],
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

impl Proxy {
    /// A proxy in front of a port of this machine. Connections that have said one of the `quiet` texts are not counted.
    pub fn before(server: u16, quiet: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { mode: Mode::Pass, trap: None, links: HashMap::new(), made: 0, quiet };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, server, &accepting));
        Self { port, shared }
    }

    /// Everything passes. What was held back arrives late, as it does after a break of the network.
    pub fn pass(&self) {
        let mut state = self.shared.lock();
        state.trap = None;
        for link in state.links.values_mut() {
            link.then = None;
        }
        self.shared.set(&mut state, Mode::Pass);
    }

    /// New connections pass. On those that are open nothing does, and nobody tells: so it is behind a firewall that has forgotten
    /// them.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        for link in state.links.values_mut() {
            link.is_mute = true;
        }
        self.shared.set(&mut state, Mode::Pass);
    }

    /// Every chunk comes later by so much, either way.
    pub fn delay(&self, delay: Duration) {
        self.shared.set(&mut self.shared.lock(), Mode::Delay(delay));
    }

    /// Ends all connections, and takes no new ones.
    pub fn refuse(&self) {
        let mut state = self.shared.lock();
        state.end_links();
        self.shared.set(&mut state, Mode::Refuse);
    }

    /// Connections stay and new ones are accepted, but nothing passes.
    pub fn hold(&self) {
        self.shared.set(&mut self.shared.lock(), Mode::Hold);
    }

    /// Ends all connections, with all that was held back, and takes new ones.
    pub fn reset(&self) {
        let mut state = self.shared.lock();
        state.trap = None;
        state.end_links();
        self.shared.set(&mut state, Mode::Pass);
    }

    /// Ends the next connection that says this text, when the server has answered it and before the client learns of it.
    pub fn cut_after(&self, text: &'static str) -> Receiver<()> {
        let (done, receiver) = oneshot::channel();
        self.shared.lock().trap = Some(Trap::Cut { text, done });
        receiver
    }

    /// Stops everything at the n-th chunk of clients from now on; the first is 1.
    pub fn stop_at(&self, n: usize, fate: Fate) -> Receiver<()> {
        self.stop_at_text("", n, fate)
    }

    /// The same at the n-th chunk that holds a text.
    pub fn stop_at_text(&self, text: &'static str, n: usize, fate: Fate) -> Receiver<()> {
        let (done, receiver) = oneshot::channel();
        self.shared.lock().trap = Some(Trap::Stop { text, left: n, fate, done });
        receiver
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.end_links();
        self.shared.set(&mut state, Mode::Ended);
        drop(state);
        // Wakes whoever accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn set(&self, state: &mut State, mode: Mode) {
        state.mode = mode;
        self.changed.notify_all();
    }

    /// Looks at a chunk; answers whether it may go on, once it may.
    fn admits(&self, id: u64, from: From, chunk: &[u8]) -> bool {
        let mut state = self.changed.wait_while(self.lock(), |state| state.is_held(id)).unwrap();
        let stops = match from {
            From::Client => state.hear_client(id, chunk),
            From::Server => state.hear_server(id),
        };
        if let Some(done) = stops {
            state.mode = Mode::Hold;
            let _ = done.send(());
            state = self.changed.wait_while(state, |state| state.is_held(id)).unwrap();
        }
        let (mode, lives) = (state.mode, state.links.contains_key(&id));
        drop(state);
        if let Mode::Delay(delay) = mode {
            thread::sleep(delay);
        }
        lives
    }
}

impl State {
    fn is_held(&self, id: u64) -> bool {
        self.links.get(&id).is_some_and(|link| link.is_mute || self.mode == Mode::Hold)
    }

    /// Answers whom to tell when everything stops before this chunk.
    fn hear_client(&mut self, id: u64, chunk: &[u8]) -> Option<Sender<()>> {
        let quiet = self.quiet;
        let link = self.links.get_mut(&id)?;
        // A server that has nothing to answer is not waited for.
        if let Some(Then::Stop(done)) = link.then.take_if(|then| matches!(then, Then::Stop(_))) {
            return Some(done);
        }
        link.is_quiet |= quiet.iter().any(|text| says(chunk, text));
        match self.trap.take()? {
            Trap::Cut { text, done } if says(chunk, text) => link.then = Some(Then::Cut(done)),
            Trap::Stop { text, left, fate, done } if !link.is_quiet && says(chunk, text) => match (left, fate) {
                (..=1, Fate::Lost) => return Some(done),
                (..=1, Fate::Delivered) => link.then = Some(Then::Stop(done)),
                _ => self.trap = Some(Trap::Stop { text, left: left - 1, fate, done }),
            },
            trap @ (Trap::Cut { .. } | Trap::Stop { .. }) => self.trap = Some(trap),
        }
        None
    }

    fn hear_server(&mut self, id: u64) -> Option<Sender<()>> {
        match self.links.get_mut(&id)?.then.take()? {
            Then::Stop(done) => Some(done),
            Then::Cut(done) => {
                self.end_link(id);
                let _ = done.send(());
                None
            }
        }
    }

    fn end_link(&mut self, id: u64) {
        if let Some(link) = self.links.remove(&id) {
            for stream in [link.client, link.server] {
                // It may have ended of itself.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    fn end_links(&mut self) {
        for id in self.links.keys().copied().collect::<Vec<_>>() {
            self.end_link(id);
        }
    }
}

/// Whether a chunk holds a text, whose last word ends there: COMMIT is not in READ COMMITTED.
fn says(chunk: &[u8], text: &str) -> bool {
    let mut places = chunk.windows(text.len().max(1)).enumerate();
    let ends = |end: usize| !chunk.get(end).is_some_and(u8::is_ascii_alphabetic);
    text.is_empty() || places.any(|(start, window)| window == text.as_bytes() && ends(start + text.len()))
}

fn accept(listener: &TcpListener, server: u16, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let client = client.unwrap();
        let mode = shared.lock().mode;
        match mode {
            Mode::Ended => return,
            Mode::Refuse => continue,
            Mode::Pass | Mode::Delay(_) | Mode::Hold => {}
        }
        // The server may be down; the client sees its connection end.
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
        for stream in [&client, &server] {
            stream.set_nodelay(true).unwrap();
        }
        let mut state = shared.lock();
        state.made += 1;
        let id = state.made;
        pump(shared, id, From::Client, &client, &server);
        pump(shared, id, From::Server, &server, &client);
        state.links.insert(id, Link { client, server, is_quiet: false, is_mute: false, then: None });
    }
}

/// Carries one way of a link until either side ends it.
fn pump(shared: &Arc<Shared>, id: u64, from: From, source: &TcpStream, target: &TcpStream) {
    let (mut source, mut target) = (source.try_clone().unwrap(), target.try_clone().unwrap());
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        loop {
            let read = source.read(&mut buffer).unwrap_or(0);
            let chunk = &buffer[..read];
            if read == 0 || !shared.admits(id, from, chunk) || target.write_all(chunk).is_err() {
                break;
            }
        }
        shared.lock().end_link(id);
    });
}
