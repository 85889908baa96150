//! Redis: one server, one with TLS, one with users, a cluster of three, and a master with a replica under sentinels.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{
    certificates::certificates,
    process::{Server, free_port, home, program, run},
};

/// A server, with what it is reached by.
pub struct Redis {
    pub server: Server,
    pub url: String,
    arguments: Vec<String>,
}

impl Redis {
    /// A server of a test's own.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// One that lets a user in who may do no more than `default.toml` says.
    pub fn with_user(key_prefix: &str) -> Self {
        let commands = "-@all +@scripting +@hash +pexpire +ping";
        let user = format!("user countersign on >a-password ~{key_prefix}* resetchannels {commands}");
        let file = home("redis-users", None).join("users.acl");
        fs::write(&file, format!("user default off\n{user}\n")).unwrap();
        let mut redis = Self::with(&["--aclfile", &file.display().to_string()]);
        redis.url = format!("redis://countersign:a-password@127.0.0.1:{}", redis.server.port);
        redis
    }

    /// One that speaks TLS alone; answers the certificate of its authority too.
    pub fn with_tls() -> (Self, PathBuf) {
        let home = home("redis-tls", None);
        let (ca, certificate, key) = certificates(&home);
        let port = free_port();
        let mut arguments = common(&home);
        for (name, value) in [("--tls-cert-file", &certificate), ("--tls-key-file", &key), ("--tls-ca-cert-file", &ca)]
        {
            arguments.extend([name.to_owned(), value.display().to_string()]);
        }
        arguments
            .extend(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"].map(str::to_owned));
        let server = Server::start(&program("redis-server"), &arguments, None, &home, port);
        (Self { server, url: format!("rediss://localhost:{port}"), arguments }, ca)
    }

    fn with(more: &[&str]) -> Self {
        let (home, port) = (home("redis", None), free_port());
        let mut arguments = common(&home);
        arguments.extend(["--port".to_owned(), port.to_string()]);
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        let server = Server::start(&program("redis-server"), &arguments, None, &home, port);
        Self { server, url: format!("redis://127.0.0.1:{port}"), arguments }
    }

    /// Starts the server again after it was ended, at the same place.
    pub fn start_again(&mut self) {
        let (home, port) = (self.server.home.clone(), self.server.port);
        self.server = Server::start(&program("redis-server"), &self.arguments, None, &home, port);
    }

    /// Runs a command by redis-cli.
    pub fn cli(&self, words: &[&str]) -> String {
        cli(self.server.port, words)
    }
}

/// A cluster of three masters.
pub struct Cluster {
    pub nodes: Vec<Redis>,
}

impl Cluster {
    pub fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let nodes: Vec<_> = (0..3).map(|_| Redis::with(&options)).collect();
        let addresses: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.server.port)).collect();
        let mut create = Command::new(program("redis-cli"));
        run(create.args(["--cluster", "create"]).args(&addresses).args(["--cluster-replicas", "0", "--cluster-yes"]));
        let mut cluster = Self { nodes };
        for node in &mut cluster.nodes {
            node.server.wait_until(|server| cli(server.port, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        }
        cluster
    }

    /// Its URL, naming two of its nodes.
    pub fn url(&self) -> String {
        format!("{},{}", self.nodes[0].url, self.nodes[1].url)
    }
}

/// A master and a replica under two sentinels.
pub struct Sentinels {
    pub master: Redis,
    pub replica: Redis,
    sentinels: Vec<Server>,
}

impl Sentinels {
    pub fn start() -> Self {
        let master = Redis::start();
        let port = master.server.port.to_string();
        let mut replica =
            Redis::with(&["--replicaof", &format!("127.0.0.1 {port}"), "--repl-diskless-sync-delay", "0"]);
        replica
            .server
            .wait_until(|server| cli(server.port, &["INFO", "replication"]).contains("master_link_status:up"));
        let mut sentinels: Vec<_> = (0..2).map(|_| sentinel(&port)).collect();
        for sentinel in &mut sentinels {
            // Each knows the other and the replica.
            sentinel.wait_until(|server| {
                let known = cli(server.port, &["SENTINEL", "MASTER", "main"]);
                let after = |name: &str| known.lines().skip_while(|line| *line != name).nth(1).map(str::to_owned);
                after("num-slaves").as_deref() == Some("1") && after("num-other-sentinels").as_deref() == Some("1")
            });
        }
        Self { master, replica, sentinels }
    }

    pub fn url(&self) -> String {
        let addresses: Vec<_> = self.sentinels.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
        format!("redis+sentinel://{}/main", addresses.join(","))
    }
}

/// The URL of a server for all tests of the process.
pub fn shared_url() -> String {
    static SHARED: OnceLock<Redis> = OnceLock::new();
    SHARED.get_or_init(Redis::start).url.clone()
}

fn sentinel(master_port: &str) -> Server {
    let (home, port) = (home("sentinel", None), free_port());
    let settings = [
        format!("port {port}\nbind 127.0.0.1\ndir {}", home.display()),
        format!("sentinel monitor main 127.0.0.1 {master_port} 1"),
        "sentinel down-after-milliseconds main 500".to_owned(),
        "sentinel failover-timeout main 2000".to_owned(),
    ];
    let file = home.join("sentinel.conf");
    fs::write(&file, settings.join("\n")).unwrap();
    Server::start(&program("redis-sentinel"), &[file.display().to_string()], None, &home, port)
}

fn common(home: &Path) -> Vec<String> {
    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", &home.display().to_string()]
        .map(str::to_owned)
        .to_vec()
}

fn cli(port: u16, words: &[&str]) -> String {
    run(Command::new(program("redis-cli")).args(["-p", &port.to_string()]).args(words))
}
