//! Notices through a real mail server (aiosmtpd), by TLS from the first byte and by STARTTLS; and one that is away for a while.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use serde_json::json;

use crate::{
    admin::administrator,
    process::{Place, Service, demo_password, text},
    servers::{
        certificates::certificates,
        process::{Server, free_port, home},
    },
};

/// A mail server, and where it puts what it takes.
struct Sink {
    server: Option<Server>,
    home: PathBuf,
    port: u16,
    options: Vec<String>,
}

impl Sink {
    /// With a certificate for localhost, asked for with these options.
    fn new(options: [&str; 2], certificate: &Path, key: &Path) -> Self {
        let [for_certificate, for_key] = options;
        let options = vec![
            for_certificate.to_owned(),
            certificate.display().to_string(),
            for_key.to_owned(),
            key.display().to_string(),
        ];
        let mut sink = Self { server: None, home: home("mail", None), port: free_port(), options };
        sink.start();
        sink
    }

    fn start(&mut self) {
        let mut args: Vec<String> = ["--nosetuid", "--listen"].into_iter().map(str::to_owned).collect();
        args.push(format!("127.0.0.1:{}", self.port));
        args.extend(self.options.clone());
        args.extend([
            "--class".to_owned(),
            "aiosmtpd.handlers.Mailbox".to_owned(),
            self.home.join("box").display().to_string(),
        ]);
        self.server = Some(Server::start(&tool("aiosmtpd"), &args, None, &self.home, self.port));
    }

    fn stop(&mut self) {
        self.server = None;
    }

    fn sets(&self, security: &str, ca: &Path) -> Vec<String> {
        let sets = [
            "mail.host=localhost".to_owned(),
            format!("mail.port={}", self.port),
            format!("mail.security={security}"),
            format!("mail.ca_file={}", ca.display()),
            "mail.from=no-reply@example.com".to_owned(),
        ];
        sets.into_iter().flat_map(|set| ["--set".to_owned(), set]).collect()
    }

    /// What it has taken.
    fn taken(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.home.join("box/new")) else {
            return Vec::new();
        };
        entries.map(|entry| text(&fs::read(entry.unwrap().path()).unwrap())).collect()
    }

    fn wait_for(&self, count: usize) -> Vec<String> {
        for _ in 0..1200 {
            if self.taken().len() >= count {
                return self.taken();
            }
            thread::sleep(Duration::from_millis(25));
        }
        panic!("{} of {count} mails came", self.taken().len());
    }
}

/// A program that `.ci/install` brings.
fn tool(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin").join(name)
}

fn serve(place: &Place, sets: &[String]) -> Service {
    let mut args = vec!["--dev"];
    args.extend(sets.iter().map(String::as_str));
    place.serve(&args)
}

fn sign_in(service: &Service) {
    let credentials = json!({"email": "user@example.com", "password": demo_password(service, "user@example.com")});
    service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
}

#[test]
fn notices_are_taken_by_a_mail_server_over_tls_and_one_that_was_away_gets_them_later() {
    for (security, options) in [("tls", ["--smtpscert", "--smtpskey"]), ("starttls", ["--tlscert", "--tlskey"])] {
        let place = Place::new();
        let (ca, certificate, key) = certificates(place.home.path());
        let mut sink = Sink::new(options, &certificate, &key);
        let sets = sink.sets(security, &ca);
        let service = serve(&place, &sets);
        // The log is read from here on.
        thread::sleep(Duration::from_secs(2));
        administrator(&service);
        let taken = sink.wait_for(2);
        assert!(taken.iter().all(|mail| mail.contains("To: admin@example.com")), "{security}: {taken:?}");
        assert!(taken.iter().any(|mail| mail.contains("Subject: Countersign: a second factor was added")), "{taken:?}");

        sink.stop();
        sign_in(&service);
        thread::sleep(Duration::from_secs(2));
        let status = ["outbox", "status", "--set", "data_dir=countersign-dev"];
        let told = text(&place.run(&status).stdout);
        let line = told.lines().find(|line| line.starts_with("mail")).unwrap().to_owned();
        assert_eq!(line.split_whitespace().nth(2), Some("1"), "{told}");
        sink.start();
        let taken = sink.wait_for(3);
        assert!(taken.iter().any(|mail| mail.contains("To: user@example.com")), "{taken:?}");
    }
}

#[test]
fn a_mail_server_with_a_certificate_of_somebody_else_is_told_nothing() {
    let (place, other) = (Place::new(), Place::new());
    let (_, certificate, key) = certificates(place.home.path());
    let (other_ca, _, _) = certificates(other.home.path());
    for (security, options) in [("tls", ["--smtpscert", "--smtpskey"]), ("starttls", ["--tlscert", "--tlskey"])] {
        let sink = Sink::new(options, &certificate, &key);
        let sets = sink.sets(security, &other_ca);
        let place = Place::new();
        let service = serve(&place, &sets);
        thread::sleep(Duration::from_secs(2));
        sign_in(&service);
        thread::sleep(Duration::from_secs(3));
        assert_eq!(sink.taken(), Vec::<String>::new());
        let log = fs::read_to_string(&service.log).unwrap();
        assert!(log.contains("not taken; tried again later") && log.contains("TLS to the mail server failed"), "{log}");
        assert!(!log.contains("user@example.com"), "{log}");
    }
}
