//! The shipped binary, over stores that its processes share.

use std::{path::PathBuf, process::Command};

use super::process::{Server, free_port, home};

/// How its commands are run.
pub struct Binary {
    /// The program.
    pub program: PathBuf,
    pub home: PathBuf,
    /// What it is configured with.
    pub sets: Vec<String>,
}

impl Binary {
    /// With these stores, something else configured as `KEY=VALUE`, and a key ring in a directory of its own.
    pub fn new(home: PathBuf, database: &str, redis: &str, more: &[&str]) -> Self {
        let mut binary = Self { program: this_release(), home, sets: Vec::new() };
        binary.sets = vec![
            format!("database.url={database}"),
            format!("redis.url={redis}"),
            format!("keys.ring_file={}", binary.ring_file().display()),
        ];
        binary.sets.extend(more.iter().map(|set| (*set).to_owned()));
        binary
    }

    /// The key ring that its processes share.
    pub fn ring_file(&self) -> PathBuf {
        self.home.join("keys.toml")
    }

    /// A command.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).args(self.arguments()).current_dir(&self.home).env_clear();
        command
    }

    /// A process that serves, with something else configured. Its port is taken.
    pub fn serve(&self, sets: &[String]) -> Server {
        let port = free_port();
        let mut args = vec!["serve".to_owned()];
        args.extend(self.arguments());
        for set in [format!("grpc.listen=127.0.0.1:{port}"), "http.listen=off".to_owned()] {
            args.extend(["--set".to_owned(), set]);
        }
        args.extend(sets.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
        let home = home("replica", None);
        Server::start(&self.program, &args, None, &home, port)
    }

    fn arguments(&self) -> Vec<String> {
        self.sets.iter().flat_map(|set| ["--set".to_owned(), set.clone()]).collect()
    }
}

/// The program that the tests are of.
pub fn this_release() -> PathBuf {
    env!("CARGO_BIN_EXE_countersign").into()
}
