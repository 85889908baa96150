//! A configuration that cannot be used: one message that names key, source and remedy, no panic, and nothing written.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::process::{Place, ended, text};

const PASSWORD: &str = "a password that is not in any list 42\n";

/// Runs a command that must fail, and has every part in its message. It must leave what is there as it is.
fn fails(place: &Place, args: &[&str], environment: &[(&str, &str)], parts: &[&str]) {
    let before = place.files();
    let output = ended(place.command(args).envs(environment.iter().copied()));
    let message = text(&output.stderr);
    assert!(!output.status.success() && output.status.code().is_some(), "{args:?} {environment:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert_eq!(place.files(), before, "something was written");
}

#[test]
fn every_problem_is_told_at_once_with_key_source_and_remedy() {
    let place = Place::new();
    fs::write(place.path("countersign.toml"), "[grpc]\nlisten = \"nowhere\"\n[tokn]\nissuer = \"x\"\n").unwrap();
    let environment = [("COUNTERSIGN_DATABASE__URL", "oracle://host/x"), ("COUNTERSIGN_GRPC__REFLECTION", "maybe")];
    let parts = [
        "grpc.listen (from countersign.toml): must be an address and port",
        "tokn.issuer (from countersign.toml): there is no such key; did you mean token.issuer?",
        "database.url (from the environment variable COUNTERSIGN_DATABASE__URL): the scheme \"oracle\" is not known",
        "grpc.reflection (from the environment variable COUNTERSIGN_GRPC__REFLECTION): must be of type boolean",
        "redis.url (from a flag (--set)): has no scheme that is known; write embedded",
    ];
    for command in ["serve", "migrate"] {
        fails(&place, &[command, "--set", "redis.url=nats://host"], &environment, &parts);
    }
    fails(&place, &["config", "check", "--set", "redis.url=nats://host"], &environment, &parts);
}

#[test]
fn bad_values_one_by_one() {
    let place = Place::new();
    for (set, part) in [
        ("grpc.listen=127.0.0.1", "must be an address and port"),
        ("grpc.listen=127.0.0.1:99999", "must be an address and port"),
        ("grpc.listen=", "must be an address and port"),
        ("database.url=sqlite::memory:", "must name a file"),
        ("database.url=sqlite:x?mode=ro", "takes no parameters"),
        ("database.url=countersign.db", "has no scheme"),
        ("database.url=postgres://host/x", "must be set beside a database server"),
        ("database.url=mysql://host/x?ssl_mode=REQUIRED", "is not known; known are ssl-mode"),
        ("database.max_connections=0", "must be a number from 2 to 1000"),
        ("redis.url=redis", "has no scheme that is known; write embedded"),
        ("redis.url=redis+sentinel://host", "must name the sentinels and the master"),
        ("redis.key_prefix={x}", "no braces"),
        ("trusted_proxies=10.0.0.0/99", "neither an address nor a network"),
        ("limits.source_failures=-1", "must be a number from 0"),
        ("token.issuer=", "must not be empty"),
        ("totp.issuer=a:b", "no colon"),
        ("telemetry.log_level=loud", "must be error, warn"),
        ("telemetry.listen=9464", "must be"),
        ("telemetry.listen=0.0.0.0:9464", "say telemetry.allow_plaintext = true"),
        ("telemetry.otlp_endpoint=collector", "must be an address such as"),
        ("telemetry.otlp_headers=key", "must be lines of"),
        ("telemetry.trace_percent=101", "must be a number from 0 to 100"),
        ("database.url=postgres://h/d?sslmode=verify-ca", "does not look at whose certificate it is"),
        ("database.url=mysql://h/d?ssl-ca=ca.pem", "is not looked at without ssl-mode=VERIFY_IDENTITY"),
        ("data_dir=", "must not be empty"),
        ("grpc", "write --set KEY=VALUE"),
        ("nope=1", "there is no such key"),
    ] {
        fails(&place, &["serve", "--set", set], &[], &[part]);
    }
    fails(&place, &["serve", "--config", "missing.toml"], &[], &["missing.toml", "cannot be read"]);
    let elsewhere = ["serve", "--set", "grpc.listen=192.0.2.1:50051", "--set", "tls.allow_plaintext=true"];
    fails(&place, &elsewhere, &[], &["cannot listen", "grpc.listen", "remedy"]);
    fs::write(place.path("broken.toml"), "this is a = secret = value").unwrap();
    fails(&place, &["serve", "--config", "broken.toml"], &[], &["broken.toml", "is not TOML"]);
}

#[test]
fn the_demo_mode_refuses_what_somebody_has_configured() {
    let place = Place::new();
    for set in ["database.url=sqlite:x.db", "redis.url=embedded", "keys.ring_file=ring.toml", "data_dir=elsewhere"] {
        let key = set.split('=').next().unwrap();
        fails(&place, &["serve", "--dev", "--set", set], &[], &[key, "remedy"]);
    }
    fails(&place, &["serve", "--dev"], &[("COUNTERSIGN_REDIS__URL", "embedded")], &["redis.url"]);
}

#[test]
fn a_ring_that_is_missing_or_of_another_database_stops_the_start() {
    let place = Place::new();
    assert!(place.run_with_input(&["user", "add", "--email", "alice@example.com"], PASSWORD).status.success());
    let ring = place.path("countersign-data/keys.toml");
    let kept = fs::read(&ring).unwrap();
    let database = fs::read(place.path("countersign-data/countersign.db")).unwrap();
    let serve = ["serve", "--set", "grpc.listen=127.0.0.1:0"];

    fs::remove_file(&ring).unwrap();
    for command in [&serve[..], &["migrate"]] {
        fails(&place, command, &[], &["keys.toml is not there, but the database is", "remedy"]);
    }
    assert!(!ring.exists());

    assert!(place.run(&["keys", "init"]).status.success());
    fails(&place, &serve, &[], &["does not fit the database", "is in the database but not in the ring", "remedy"]);

    let altered = text(&kept);
    let secret =
        altered.lines().find_map(|line| line.strip_prefix("secret = \"")).unwrap().trim_end_matches('"').to_owned();
    let other = format!("{}{}", if secret.starts_with('A') { "B" } else { "A" }, &secret[1..]);
    fs::write(&ring, altered.replacen(&secret, &other, 1)).unwrap();
    fails(&place, &serve, &[], &["is not the one that the database was made with"]);
    fs::write(&ring, "not a ring").unwrap();
    fails(&place, &serve, &[], &["keys.toml is not a key ring"]);
    fs::write(&ring, altered.replacen(&secret, "c2hvcnQ=", 1)).unwrap();
    fails(&place, &serve, &[], &["is not 32 bytes in base64"]);

    fs::write(&ring, &kept).unwrap();
    assert_eq!(fs::read(place.path("countersign-data/countersign.db")).unwrap(), database, "nothing was written");
    let service = place.serve(&[]);
    assert_eq!(service.terminate().0, Some(0));
}

#[test]
fn a_start_that_is_refused_does_not_touch_the_database() {
    let place = Place::new();
    assert!(place.run_with_input(&["user", "add", "--email", "alice@example.com"], PASSWORD).status.success());
    let data = place.path("countersign-data");
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    // As a backup leaves it: no write-ahead log, and not marked for one.
    let database = data.join("countersign.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes[18..20].copy_from_slice(&[1, 1]);
    fs::write(&database, &bytes).unwrap();
    fs::remove_file(data.join("keys.toml")).unwrap();
    assert!(place.run(&["keys", "init"]).status.success());
    let before = names();
    fails(&place, &["serve", "--set", "grpc.listen=127.0.0.1:0"], &[], &["does not fit the database"]);
    assert!(place.run(&["migrate", "status"]).status.success());
    assert_eq!(names(), before);
    assert_eq!(fs::read(&database).unwrap(), bytes);
}

#[test]
fn what_is_refused_before_it_begins_makes_nothing() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("grpc.listen={}", taken.local_addr().unwrap());
    for command in [&["serve"][..], &["serve", "--dev"]] {
        fails(&place, &[command, &["--set", &listen]].concat(), &[], &["cannot listen on grpc.listen"]);
    }
    for (email, password) in [("no address", PASSWORD), ("alice@example.com", "short\n")] {
        let refused = place.run_with_input(&["user", "add", "--email", email], password);
        assert!(!refused.status.success());
        assert_eq!(place.files(), Vec::<String>::new());
    }
}

#[test]
fn files_that_others_may_change_are_refused() {
    let place = Place::new();
    assert!(place.run_with_input(&["user", "add", "--email", "alice@example.com"], PASSWORD).status.success());
    let serve = ["serve", "--set", "grpc.listen=127.0.0.1:0"];
    let ring = place.path("countersign-data/keys.toml");
    set_mode(&ring, 0o644);
    fails(&place, &serve, &[], &["has mode 0644", "remedy: chmod 600"]);
    set_mode(&ring, 0o600);
    let database = place.path("countersign-data/countersign.db");
    set_mode(&database, 0o660);
    fails(&place, &serve, &[], &["has mode 0660", "remedy: chmod 600"]);
    set_mode(&database, 0o600);

    let given = place.path("ring.toml");
    fs::copy(&ring, &given).unwrap();
    set_mode(&given, 0o666);
    let with_given = ["serve", "--set", "grpc.listen=127.0.0.1:0", "--set", "keys.ring_file=ring.toml"];
    fails(&place, &with_given, &[], &["ring.toml has mode 0666", "remedy: chmod go-w"]);
    set_mode(&given, 0o444);
    let service = place.serve(&["--set", "keys.ring_file=ring.toml"]);
    assert!(
        fs::read_to_string(&service.log).unwrap().contains("all may read it"),
        "a mounted secret works, with a warning"
    );
}

#[test]
fn what_is_made_is_for_its_owner_alone() {
    let place = Place::new();
    let service = place.serve(&[]);
    let data = place.path("countersign-data");
    assert_eq!(mode(&data), 0o700);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    assert_eq!(service.terminate().0, Some(0));
}

#[test]
fn commands_that_need_no_data_make_none() {
    let place = Place::new();
    let check = place.run(&["config", "check"]);
    assert!(check.status.success());
    let shown = text(&check.stdout);
    assert!(
        shown.contains("grpc.listen") && shown.contains("\"127.0.0.1:50051\"") && shown.contains("built-in default")
    );
    assert!(text(&place.run(&["migrate", "status"]).stdout).contains("There is no database yet."));
    assert!(!place.run(&["keys", "list"]).status.success());
    assert!(!place.run(&["health", "--addr", "127.0.0.1:1"]).status.success());
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn text_messages_that_cannot_be_sent_as_configured_stop_the_start() {
    let place = Place::new();
    let all = [
        "serve",
        "--set",
        "sms.provider=twilio",
        "--set",
        "sms.fallback=http",
        "--set",
        "sms.allowed_countries=GR,UK",
        "--set",
        "sms.twilio.base_url=ftp://x",
        "--set",
        "sms.origin_host=https://login.example.com/",
        "--set",
        "sms.locale=xx",
        "--set",
        "sms.daily_budget=0",
        "--set",
        "sms.http.method=BREW",
        "--set",
        "sms.http.headers=bad name: x",
    ];
    let parts = [
        "sms.twilio.base_url (from a flag (--set)): must be an http or https address without a user",
        "sms.twilio.account_sid (from the built-in default): must not be empty",
        "sms.twilio.auth_token (from the built-in default): must not be empty",
        "sms.http.url (from the built-in default): must not be empty",
        "sms.http.method (from a flag (--set)): must be GET, POST or PUT",
        "sms.http.headers (from a flag (--set)): must be lines such as",
        "sms.http.body (from the built-in default): must hold {to} and {text}",
        "sms.allowed_countries (from a flag (--set)): \"UK\" is no ISO code of a country",
        "sms.origin_host (from a flag (--set)): must be a host alone",
        "sms.locale (from a flag (--set)): must be one of de, el, en",
        "sms.daily_budget (from a flag (--set)): must be a number from 1",
    ];
    fails(&place, &all, &[], &parts);
    let kannel = ["--set", "sms.kannel.user=u", "--set", "sms.kannel.password=hunter2", "--set", "sms.kannel.from=f"];
    let provider = ["serve", "--set", "sms.provider=kannel"];
    fails(&place, &[&provider[..], &kannel[..]].concat(), &[], &["sms.allowed_countries", "must name the countries"]);
    fails(&place, &["serve", "--set", "sms.provider=console"], &[], &["sms.provider", "for serve --dev alone"]);
    fails(&place, &["serve", "--set", "sms.provider=carrier"], &[], &["must be twilio, http or kannel"]);
    fails(&place, &["serve", "--set", "sms.fallback=kannel"], &[], &["sms.fallback", "needs sms.provider"]);
    let check = place.run(
        &[&["config", "check", "--set", "sms.provider=kannel", "--set", "sms.allowed_countries=GR"], &kannel[..]]
            .concat(),
    );
    assert!(check.status.success() && !text(&check.stdout).contains("hunter2"), "{}", text(&check.stderr));
    assert!(text(&place.run(&["sms", "status"]).stdout).contains("sms.provider is not set"));
    assert_eq!(place.files(), Vec::<String>::new());
}

#[test]
fn a_secret_may_come_from_a_file() {
    let place = Place::new();
    fs::write(place.path("url"), "sqlite:elsewhere/own.db\n").unwrap();
    let output = place.command(&["config", "check"]).env("COUNTERSIGN_DATABASE__URL_FILE", "url").output().unwrap();
    assert!(text(&output.stdout).contains("url, named by the environment variable COUNTERSIGN_DATABASE__URL_FILE"));
    fs::write(place.path("url"), "postgres://user:hunter2@host/db\n").unwrap();
    let output = place.command(&["config", "check"]).env("COUNTERSIGN_DATABASE__URL_FILE", "url").output().unwrap();
    assert!(!text(&output.stdout).contains("hunter2") && !text(&output.stderr).contains("hunter2"));
    set_mode(&place.path("url"), 0o622);
    fails(&place, &["serve"], &[("COUNTERSIGN_DATABASE__URL_FILE", "url")], &["has mode 0622"]);
}

#[test]
fn migrations_wait_for_the_command_where_they_are_told_to() {
    let place = Place::new();
    let manual = ["--set", "database.auto_migrate=false"];
    fails(&place, &[&["serve"], &manual[..]].concat(), &[], &["there is no database yet", "countersign migrate"]);
    assert!(place.run(&[&["migrate", "up"], &manual[..]].concat()).status.success());
    let status = text(&place.run(&["migrate", "status"]).stdout);
    assert!(status.contains("m0001_accounts") && status.contains("applied") && !status.contains("pending"), "{status}");
    assert_eq!(place.serve(&manual).terminate().0, Some(0));
}

#[test]
fn keys_are_listed_without_their_secrets() {
    let place = Place::new();
    assert!(place.run(&["keys", "init"]).status.success());
    let ring = fs::read_to_string(place.path("countersign-data/keys.toml")).unwrap();
    let again = place.run(&["keys", "init"]);
    assert!(text(&again.stderr).contains("never written over"));
    let listed = text(&place.run(&["keys", "list"]).stdout);
    for line in ring.lines() {
        if let Some(id) = line.strip_prefix("id = ") {
            assert!(listed.contains(id.trim_matches('"')));
        }
        if let Some(secret) = line.strip_prefix("secret = ") {
            assert!(!listed.contains(secret.trim_matches('"')));
        }
    }
    assert_eq!(place.serve(&[]).terminate().0, Some(0), "a ring made beforehand is used");
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
