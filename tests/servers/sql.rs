//! PostgreSQL and MariaDB. What is written need not outlast a power cut in a test, so nothing waits for a disk; unless it is asked
//! for.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use super::{
    certificates::certificates,
    process::{Server, free_port, give, home, program, run},
};

const PASSWORD: &str = "a-password-of-tests";
const POSTGRES: &str = "postgres";

/// A database server.
pub struct Sql {
    pub server: Server,
    arguments: Vec<String>,
    scheme: &'static str,
    user: &'static str,
}

impl Sql {
    /// A PostgreSQL server.
    pub fn postgres() -> Self {
        Self::postgres_with(&[])
    }

    /// One that keeps what it has committed, with the memory of a small server of its own.
    pub fn durable_postgres() -> Self {
        let durable = ["fsync=on", "synchronous_commit=on", "full_page_writes=on"];
        Self::postgres_with(&[&durable[..], &["shared_buffers=512MB", "max_wal_size=4GB"]].concat())
    }

    /// One that speaks TLS; answers the certificate of its authority too.
    pub fn postgres_with_tls() -> (Self, PathBuf) {
        let (ca, certificate, key) = certificates(&home("postgres-tls", None));
        for file in [&certificate, &key] {
            give(file, POSTGRES);
        }
        let files = [("ssl_cert_file", &certificate), ("ssl_key_file", &key), ("ssl_ca_file", &ca)];
        let files = files.map(|(name, file)| format!("{name}={}", file.display()));
        (Self::postgres_with(&["ssl=on", &files[0], &files[1], &files[2]]), ca)
    }

    fn postgres_with(settings: &[&str]) -> Self {
        let (home, port) = (home("postgres", Some(POSTGRES)), free_port());
        let data = home.join("data");
        let password = home.join("password");
        std::fs::write(&password, PASSWORD).unwrap();
        let mut initdb = Command::new(program("initdb"));
        initdb.args(["--no-sync", "--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=password"]);
        as_user(initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data), POSTGRES);
        let mut arguments = postgres_arguments(&data, &home, port);
        arguments.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let mut server = Server::start(&program("postgres"), &arguments, Some(POSTGRES), &home, port);
        // Its port answers before it does.
        let log = |server: &Server| std::fs::read_to_string(server.home.join("log")).unwrap_or_default();
        server.wait_until(|server| log(server).contains("ready to accept connections"));
        Self { server, arguments, scheme: "postgres", user: "postgres" }
    }

    /// A MariaDB server.
    pub fn mariadb() -> Self {
        Self::mariadb_with(&[])
    }

    /// One that keeps what it has committed, with the memory of a small server of its own.
    pub fn durable_mariadb() -> Self {
        Self::mariadb_with(
            &[
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-doublewrite=1",
                "--innodb-buffer-pool-size=1G",
                "--innodb-log-file-size=512M",
            ]
            .map(str::to_owned),
        )
    }

    /// One that speaks TLS; answers the certificate of its authority too.
    pub fn mariadb_with_tls() -> (Self, PathBuf) {
        let (ca, certificate, key) = certificates(&home("mariadb-tls", None));
        let files = [("cert", &certificate), ("key", &key), ("ca", &ca)];
        (Self::mariadb_with(&files.map(|(name, file)| format!("--ssl-{name}={}", file.display()))), ca)
    }

    fn mariadb_with(options: &[String]) -> Self {
        let (home, port) = (home("mariadb", None), free_port());
        let mut install = Command::new(program("mariadb-install-db"));
        // A place of its own: a server that starts removes the temporary tables of all that share one.
        install.env("TMPDIR", &home);
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        run(install.arg(format!("--datadir={}", home.join("data").display())).arg("--user=root"));
        let arguments = [&mariadb_arguments(&home, port), options].concat();
        let server = Server::start(&program("mariadbd"), &arguments, None, &home, port);
        let sql = Self { server, arguments, scheme: "mysql", user: "tests" };
        sql.run(&format!("CREATE USER tests@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO tests@'%'"));
        sql
    }

    /// One of each, for all tests of the process.
    pub fn shared() -> [&'static Self; 2] {
        [Self::shared_postgres(), Self::shared_mariadb()]
    }

    pub fn shared_postgres() -> &'static Self {
        static POSTGRES: OnceLock<Sql> = OnceLock::new();
        POSTGRES.get_or_init(Self::postgres)
    }

    pub fn shared_mariadb() -> &'static Self {
        static MARIADB: OnceLock<Sql> = OnceLock::new();
        MARIADB.get_or_init(Self::mariadb)
    }

    /// Makes an empty database; answers its URL.
    pub fn new_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("countersign_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// A command that prints all that is in a database.
    pub fn dump(&self, url: &str) -> Command {
        if self.is_postgres() {
            let mut dump = Command::new(program("pg_dump"));
            dump.arg(format!("--dbname={url}"));
            return dump;
        }
        let name = url.rsplit('/').next().unwrap();
        let mut dump = Command::new(program("mariadb-dump"));
        dump.args(["--no-defaults", "--single-transaction", "--hex-blob", "--host=127.0.0.1", "--user=tests"]);
        dump.args([format!("--port={}", self.server.port), format!("--password={PASSWORD}"), name.to_owned()]);
        dump
    }

    /// Puts what was dumped in the place of what is in a database.
    pub fn restore(&self, url: &str, dump: &Path) {
        let name = url.rsplit('/').next().unwrap();
        self.run(&format!("DROP DATABASE {name}"));
        self.run(&format!("CREATE DATABASE {name}"));
        self.feed(url, dump);
    }

    /// Runs a file of statements in a database.
    pub fn feed(&self, url: &str, file: &Path) {
        let statements = std::fs::File::open(file).unwrap();
        let mut client = if self.is_postgres() {
            let mut psql = Command::new(program("psql"));
            psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", url]);
            psql
        } else {
            let mut mariadb = Command::new(program("mariadb"));
            let socket = format!("--socket={}", self.server.home.join("socket").display());
            mariadb.args([
                "--no-defaults",
                "--protocol=socket",
                "--user=root",
                &socket,
                url.rsplit('/').next().unwrap(),
            ]);
            mariadb
        };
        let done = client.stdin(statements).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes a copy of a database that nobody is connected to.
    pub fn copy_database(&self, from: &str, to: &str) {
        if self.is_postgres() {
            self.run(&format!("CREATE DATABASE {to} TEMPLATE {from}"));
            return;
        }
        let find = format!("SELECT table_name FROM information_schema.tables WHERE table_schema = '{from}'");
        let mut statements = format!("CREATE DATABASE {to};");
        for table in self.run(&find).split_whitespace() {
            statements += &format!(
                "CREATE TABLE {to}.{table} LIKE {from}.{table}; INSERT INTO {to}.{table} SELECT * FROM {from}.{table};"
            );
        }
        self.run(&statements);
    }

    /// Adds a user who is let in with a certificate of the server's authority alone; answers the URL of a new database for it.
    pub fn certified_database(&self) -> String {
        let url = self.new_database();
        if self.is_postgres() {
            self.run(&format!("CREATE ROLE certified SUPERUSER LOGIN PASSWORD '{PASSWORD}'"));
            let rules = self.server.home.join("data/pg_hba.conf");
            let others = std::fs::read_to_string(&rules).unwrap();
            let first = "hostssl all certified all password clientcert=verify-ca\nhost all certified all reject\n";
            std::fs::write(&rules, [first, &others].concat()).unwrap();
            self.run("SELECT pg_reload_conf()");
        } else {
            self.run(&format!(
                "CREATE USER certified@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509; GRANT ALL ON *.* TO certified@'%'"
            ));
        }
        url.replace(&format!("{}:{PASSWORD}@", self.user), &format!("certified:{PASSWORD}@"))
    }

    /// Lets the server take no more writes, as one that is a replica.
    pub fn demote(&mut self) {
        if self.is_postgres() {
            self.server.stop("INT");
            let standby = self.server.home.join("data/standby.signal");
            std::fs::write(&standby, "").unwrap();
            give(&standby, POSTGRES);
            let (home, port) = (self.server.home.clone(), self.server.port);
            self.server = Server::start(&program("postgres"), &self.arguments, Some(POSTGRES), &home, port);
        } else {
            self.run("SET GLOBAL read_only = ON");
        }
    }

    /// Lets it take writes again.
    pub fn promote(&self) {
        self.run(if self.is_postgres() { "SELECT pg_promote()" } else { "SET GLOBAL read_only = OFF" });
    }

    /// Runs SQL as the server's administrator.
    pub fn run(&self, statement: &str) -> String {
        if self.is_postgres() {
            let mut psql = Command::new(program("psql"));
            run(psql
                .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command", statement])
                .arg(self.admin_url()))
        } else {
            let socket = format!("--socket={}", self.server.home.join("socket").display());
            let mut mariadb = Command::new(program("mariadb"));
            mariadb.args(["--no-defaults", "--protocol=socket", "--user=root", "--skip-column-names", &socket]);
            run(mariadb.args(["--execute", statement]))
        }
    }

    /// The URL of a database of this server.
    pub fn url(&self, database: &str) -> String {
        self.url_by(self.server.port, database)
    }

    /// The URL of a database of this server behind another port.
    pub fn url_by(&self, port: u16, database: &str) -> String {
        format!("{}://{}:{PASSWORD}@127.0.0.1:{port}/{database}", self.scheme, self.user)
    }

    /// The same without TLS, so that a proxy can read along.
    pub fn url_in_clear(&self, port: u16, database: &str) -> String {
        let clear = if self.is_postgres() { "sslmode=disable" } else { "ssl-mode=DISABLED" };
        format!("{}?{clear}", self.url_by(port, database))
    }

    /// The URL of the database that is always there.
    pub fn admin_url(&self) -> String {
        self.url(if self.is_postgres() { "postgres" } else { "mysql" })
    }

    /// A name that may be a word of the language.
    pub fn quoted(&self, name: &str) -> String {
        if self.is_postgres() { format!("\"{name}\"") } else { format!("`{name}`") }
    }

    pub fn is_postgres(&self) -> bool {
        self.scheme == "postgres"
    }
}

fn postgres_arguments(data: &Path, home: &Path, port: u16) -> Vec<String> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string(), "-k".to_owned(), home.display().to_string()];
    for setting in [
        &format!("port={port}"),
        "listen_addresses=127.0.0.1",
        "max_connections=300",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "shared_buffers=64MB",
    ] {
        arguments.extend(["-c".to_owned(), setting.to_owned()]);
    }
    arguments
}

fn mariadb_arguments(home: &Path, port: u16) -> Vec<String> {
    [
        "--no-defaults",
        "--user=root",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=300",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-buffer-pool-size=64M",
        "--innodb-log-file-size=16M",
        "--sync-binlog=0",
        &format!("--tmpdir={}", home.display()),
        &format!("--port={port}"),
        &format!("--datadir={}", home.join("data").display()),
        &format!("--socket={}", home.join("socket").display()),
        &format!("--pid-file={}", home.join("pid").display()),
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Runs a program as a user when this process is root's: PostgreSQL refuses root.
fn as_user(command: &mut Command, user: &str) {
    let is_root = run(Command::new("id").arg("-u")).trim() == "0";
    if !is_root {
        run(command);
        return;
    }
    let mut wrapped = Command::new("setpriv");
    wrapped.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned(), "--".to_owned()]);
    run(wrapped.arg(command.get_program()).args(command.get_args()));
}
