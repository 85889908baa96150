//! Starts servers that end with this process, however it ends, and removes what earlier runs have left.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Sender},
    },
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(60);
const PREFIX: &str = "countersign-servers-";

/// A running server.
pub struct Server {
    pub port: u16,
    pub home: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a program, and waits until its port answers. `user` = whom it runs as when this process is root's.
    pub fn start(program: &Path, args: &[String], user: Option<&str>, home: &Path, port: u16) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = user.filter(|_| is_root()) {
            command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
        }
        let log = fs::File::options().create(true).append(true).open(home.join("log")).unwrap();
        command.arg("--").arg(program).args(args).current_dir(home).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Self { port, home: home.to_owned(), child: spawn(command) };
        server.wait_until(|server| TcpStream::connect(("127.0.0.1", server.port)).is_ok());
        server
    }

    /// Waits until something holds; a server that has ended says why.
    pub fn wait_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let begun = now();
        while !holds(self) {
            let ended = self.child.try_wait().unwrap();
            let log = || fs::read_to_string(self.home.join("log")).unwrap_or_default();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "a server does not start: {}", log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Ends it by a signal, and waits until it has ended.
    pub fn stop(&mut self, signal: &str) {
        self.signal(signal);
        self.wait();
    }

    /// Sends it a signal by its name, such as STOP.
    pub fn signal(&self, name: &str) {
        run(Command::new("kill").args([format!("-{name}"), self.pid().to_string()]));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program that must succeed; answers what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|fault| panic!("{command:?} cannot be run ({fault}); .ci/install installs it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where a program is: on PATH, or where Debian keeps it off PATH.
pub fn program(name: &str) -> PathBuf {
    #[allow(clippy::disallowed_methods, reason = "programs are looked up on PATH")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<_> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    for version in fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten() {
        places.push(version.path().join("bin"));
    }
    let found = places.iter().map(|place| place.join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not there; .ci/install installs it"))
}

/// A directory for a server, which belongs to `user` when this process is root's.
pub fn home(name: &str, user: Option<&str>) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let home = own_place().join(format!("{name}-{number}"));
    fs::create_dir(&home).unwrap();
    if let Some(user) = user {
        give(&home, user);
    }
    home
}

/// Gives a file to a user when this process is root's.
pub fn give(path: &Path, user: &str) {
    if is_root() {
        let id = |flag| run(Command::new("id").args([flag, user])).trim().parse().unwrap();
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

/// Free a moment ago, and not handed out to anybody else by this process.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut taken = TAKEN.lock().unwrap();
    loop {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // A node of a Redis cluster listens at its port and 10,000 more.
        if port < 50_000 && !taken.contains(&port) {
            taken.push(port);
            return port;
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// The directory of this process; those of processes that are gone are removed.
fn own_place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let parent = std::env::temp_dir();
        for entry in fs::read_dir(&parent).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap_or_default();
            let pid = name.strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                // Another suite may be removing it too.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let place = parent.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        place
    })
}

/// Starts a process from a thread that lives as long as this process: the signal at a parent's death is of the thread's death.
fn spawn(command: Command) -> Child {
    type Order = (Command, Sender<Child>);
    static NURSERY: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let nursery = NURSERY.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, answer) in inbox {
                let child = command.spawn().unwrap_or_else(|fault| panic!("{command:?} cannot be run ({fault})"));
                answer.send(child).unwrap();
            }
        });
        Mutex::new(orders)
    });
    let (answer, child) = mpsc::channel();
    nursery.lock().unwrap().send((command, answer)).unwrap();
    child.recv().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a process is waited for in real time")]
fn now() -> Instant {
    Instant::now()
}
