//! Redis: one server, one that speaks TLS alone, one with a user who may do what is needed and no more, a cluster, and sentinels
//! with their master and replica.

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

/// Some servers, and the URL by which they are configured together.
pub struct Deployment {
    pub url: String,
    pub servers: Vec<Server>,
}

/// A user who may do what `default.toml` says under `redis.key_prefix`.
pub const USER: &str = "countersign";
pub const PASSWORD: &str = "p@ss+word";

/// The server of this process, for tests that do no harm to it.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(single)
}

/// A server.
pub fn single() -> Server {
    let port = free_port();
    again(&home("redis", None), port)
}

/// A server on a port where one has been.
pub fn again(home: &Path, port: u16) -> Server {
    server(home, port, &["--port", &port.to_string()])
}

/// The URL of a server.
pub fn url(server: &Server) -> String {
    format!("redis://127.0.0.1:{}/0", server.port)
}

/// A server that speaks TLS alone; answers the file with the authority that vouches for it too.
pub fn tls() -> (Server, PathBuf) {
    tls_with("no")
}

/// The same that wants to see a certificate of its authority (`yes`), or wants none (`no`).
pub fn tls_with(clients: &str) -> (Server, PathBuf) {
    let home = home("redis-tls", None);
    let (authority, certificate, key) = certificates(&home);
    let port = free_port();
    let port_text = port.to_string();
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let args = ["--port", "0", "--tls-port", &port_text, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let ca = authority.display().to_string();
    let server =
        server(&home, port, &[&args[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", clients]].concat());
    (server, authority)
}

/// A server that knows nobody but [`USER`], with the rules that the manual names.
pub fn guarded() -> (Server, String) {
    let manual = include_str!("../../src/config/default.toml");
    let rules = manual.lines().find(|line| line.starts_with("#   ~countersign:")).unwrap().trim_start_matches("#   ");
    let home = home("redis-acl", None);
    let port = free_port();
    fs::write(home.join("users.acl"), format!("user default off\nuser {USER} on >{PASSWORD} resetchannels {rules}\n"))
        .unwrap();
    let server = server(&home, port, &["--port", &port.to_string(), "--aclfile", "users.acl"]);
    (server, format!("redis://{USER}:{}@127.0.0.1:{port}", PASSWORD.replace('@', "%40")))
}

/// A cluster of three masters.
pub fn cluster() -> Deployment {
    let servers: Vec<_> = (0..3).map(|_| node()).collect();
    let hosts: Vec<_> = servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    run(Command::new(program("redis-cli")).args(["--cluster", "create"]).args(&hosts).arg("--cluster-yes"));
    let mut cluster =
        Deployment { url: hosts.iter().map(|host| format!("redis://{host}")).collect::<Vec<_>>().join(","), servers };
    for server in &mut cluster.servers {
        server.wait_until(|server| cli(server, &["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    }
    cluster
}

/// A master, a replica, and three sentinels, in this order.
pub fn sentinels() -> Deployment {
    let master = single();
    let port = master.port.to_string();
    let replica_port = free_port();
    let replica_args =
        ["--port", &replica_port.to_string(), "--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"];
    let mut replica = server(&home("redis-replica", None), replica_port, &replica_args);
    replica.wait_until(|replica| cli(replica, &["INFO", "replication"]).contains("master_link_status:up"));
    let mut servers = vec![master, replica];
    for _ in 0..3 {
        servers.push(sentinel(&port));
    }
    for sentinel in &mut servers[2..] {
        // Quorum or not, it is the majority of those who are known that elects.
        sentinel.wait_until(|sentinel| {
            let seen = cli(sentinel, &["SENTINEL", "MASTER", "main"]);
            let after = |name| seen.lines().skip_while(|line| *line != name).nth(1).unwrap_or_default().to_owned();
            after("num-slaves") == "1" && after("num-other-sentinels") == "2"
        });
    }
    let hosts: Vec<_> = servers[2..].iter().map(|server| format!("127.0.0.1:{}", server.port)).collect();
    Deployment { url: format!("redis+sentinel://{}/main", hosts.join(",")), servers }
}

/// What a server answers to a command.
pub fn cli(server: &Server, command: &[&str]) -> String {
    run(Command::new(program("redis-cli")).args(["-p", &server.port.to_string()]).args(command))
}

fn node() -> Server {
    let port = free_port();
    server(&home("redis-node", None), port, &["--port", &port.to_string(), "--cluster-enabled", "yes"])
}

fn sentinel(master_port: &str) -> Server {
    let (home, port) = (home("redis-sentinel", None), free_port());
    let lines = [
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("sentinel monitor main 127.0.0.1 {master_port} 1"),
        "sentinel down-after-milliseconds main 500".to_owned(),
        "sentinel failover-timeout main 2000".to_owned(),
    ];
    let file = home.join("sentinel.conf");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    Server::start(&program("redis-sentinel"), &[file.to_str().unwrap().to_owned()], None, &home, port)
}

fn server(home: &Path, port: u16, args: &[&str]) -> Server {
    let common = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"];
    let args: Vec<_> = common.iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    Server::start(&program("redis-server"), &args, None, home, port)
}
