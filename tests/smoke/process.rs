//! Runs the binary and the tools around it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory to run the binary in.
pub struct Place {
    pub home: TempDir,
}

/// A running service.
pub struct Service {
    pub address: SocketAddr,
    /// Where REST is served.
    pub http: SocketAddr,
    pub log: PathBuf,
    pub out: PathBuf,
    child: Child,
}

impl Place {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A command of the binary, with an environment of its own.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(args).current_dir(self.home.path()).env_clear().stdin(Stdio::null());
        // Its default is one port for all.
        command.env("COUNTERSIGN_HTTP__LISTEN", "off");
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        ended(&mut self.command(args))
    }

    /// Runs a command that reads a password from standard input.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Output {
        let path = self.path(".input");
        fs::write(&path, input).unwrap();
        let output = ended(self.command(args).stdin(File::open(&path).unwrap()));
        fs::remove_file(path).unwrap();
        output
    }

    /// What is there now.
    pub fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.home.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Starts a service and ends it after a while, as a power cut does.
    pub fn cut_off_start(&self, after: Duration) {
        let mut child =
            self.command(&["serve", "--set", "grpc.listen=127.0.0.1:0"]).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts a service on a free port and waits until it is well.
    pub fn serve(&self, args: &[&str]) -> Service {
        let mut service = self.serve_unasked(args);
        let address = service.address.to_string();
        // With what is configured: it may speak TLS.
        let sets: Vec<_> = args.iter().copied().filter(|arg| *arg != "--dev").collect();
        let begun = now();
        while !self.run(&[&["health", "--addr", &address], &sets[..]].concat()).status.success() {
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "{}", fs::read_to_string(&service.log).unwrap());
            thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// The same without waiting for it.
    pub fn serve_unasked(&self, args: &[&str]) -> Service {
        self.start(args, append(&self.path("log")).into())
    }

    /// The same with a log that goes into a pipe.
    pub fn serve_into_pipe(&self, args: &[&str]) -> (Service, ChildStderr) {
        let mut service = self.start(args, Stdio::piped());
        let pipe = service.child.stderr.take().unwrap();
        (service, pipe)
    }

    fn start(&self, args: &[&str], stderr: Stdio) -> Service {
        let (address, http) = (free_address(), free_address());
        let (log, out) = (self.path("log"), self.path("out"));
        let listen = [format!("grpc.listen={address}"), format!("http.listen={http}")];
        let child = self
            .command(&[&["serve", "--set", &listen[0], "--set", &listen[1]], args].concat())
            .stderr(stderr)
            .stdout(append(&out))
            .spawn()
            .unwrap();
        Service { address, http, log, out, child }
    }
}

impl Service {
    /// Ends the service as Kubernetes does; answers its exit status and how long it took.
    pub fn terminate(self) -> (Option<i32>, Duration) {
        self.end("TERM")
    }

    /// Ends the service as Ctrl-C does, which waits for no platform to hear of it; answers its exit status and how long it took.
    pub fn interrupt(self) -> (Option<i32>, Duration) {
        self.end("INT")
    }

    fn end(mut self, name: &str) -> (Option<i32>, Duration) {
        let begun = now();
        signal(&self.child, name);
        (self.child.wait().unwrap().code(), begun.elapsed())
    }

    /// Ends the service as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().signal(), Some(9));
    }

    /// Calls an rpc with grpcurl; the answer as JSON, or what grpcurl says of the error.
    pub fn call(&self, method: &str, token: &str, message: &Value) -> Result<Value, String> {
        let mut command = Command::new("grpcurl");
        command.args(["-plaintext", "-max-time", "20", "-d", &message.to_string()]);
        if !token.is_empty() {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        let output = run_tool(command.arg(self.address.to_string()).arg(format!("countersign.v1.{method}")));
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(text(&output.stderr))
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A test that failed leaves nothing running. One that has ended cannot be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must end by itself; one that does not, such as a start that ought to be refused, is ended and told of.
pub fn ended(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{command:?} does not end: {}", text(&child.wait_with_output().unwrap().stderr));
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Runs a tool that must be there.
pub fn run_tool(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    command.output().unwrap_or_else(|fault| panic!("{name} cannot be run ({fault}); .ci/run installs it"))
}

/// The password that the demo banner prints for an account.
pub fn demo_password(service: &Service, email: &str) -> String {
    let out = fs::read_to_string(&service.out).unwrap();
    let line = out.lines().find(|line| line.trim_start().starts_with(email)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// The code that oathtool makes of a secret, so many seconds from now.
pub fn oathtool(secret: &str, offset: i64) -> String {
    let now = format!("now + {offset} seconds");
    let output = run_tool(Command::new("oathtool").args(["--totp", "--base32", "--now", &now, secret]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Free a moment ago, which is as good as it gets.
fn append(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "a process is waited for in real time")]
fn now() -> Instant {
    Instant::now()
}
