//! What must not be found: in the data directory, and in the log at its finest level.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    sync::mpsc,
    thread,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::process::{Place, Service, oathtool};

const PASSWORD: &str = "a password that is not in any list 42";
const WRONG_PASSWORD: &str = "a wrong password 43";
const WRONG_CODE: &str = "no code at all, but a secret";

/// A secret in every form that it could lie about in.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{secret:?}");
    vec![
        secret.to_vec(),
        STANDARD_NO_PAD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
        debug.trim_matches(['[', ']']).as_bytes().to_vec(),
    ]
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Lives through the whole story of a user, and answers every secret that came up in it.
fn story(service: &Service) -> Vec<(&'static str, Vec<u8>)> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let credentials = json!({"email": "alice@example.com", "password": PASSWORD});
    let local_auth = || service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    let verify = |challenge: &Value, code: &str| {
        let answer = json!({"challengeId": challenge["challengeId"], "code": code});
        service.call("TwoFaService/Verify", "", &answer)
    };
    let refresh = |token: &str| service.call("SessionService/RefreshSession", "", &json!({"refreshToken": token}));

    let session = local_auth();
    let token = text(&session, "accessToken");
    let enabled = service.call("TwoFaService/Enable", &token, &json!({})).unwrap();
    let secret = text(&enabled, "secret");
    service.call("TwoFaService/Verify", &token, &json!({"code": oathtool(&secret, 0)})).unwrap();
    let challenge = local_auth();
    verify(&challenge, WRONG_CODE).unwrap_err();
    let verified = verify(&challenge, &oathtool(&secret, 30)).unwrap();
    let renewed = refresh(&text(&verified, "refreshToken")).unwrap();
    let open = local_auth();
    let guess = json!({"email": "alice@example.com", "password": WRONG_PASSWORD});
    service.call("TwoFaService/LocalAuth", "", &guess).unwrap_err();
    refresh("rft_garbage").unwrap_err();

    let raw = totp_rs::Secret::try_from_base32(&secret).unwrap();
    let mut secrets = vec![
        ("TOTP secret", secret.into_bytes()),
        ("raw TOTP secret", raw.as_bytes().to_vec()),
        ("password", PASSWORD.as_bytes().to_vec()),
        ("wrong password", WRONG_PASSWORD.as_bytes().to_vec()),
        ("wrong code", WRONG_CODE.as_bytes().to_vec()),
        ("hash", b"$argon2id$".to_vec()),
    ];
    for (name, value) in [
        ("access token", token),
        ("access token", text(&verified, "accessToken")),
        ("refresh token", text(&session, "refreshToken")),
        ("refresh token", text(&verified, "refreshToken")),
        ("refresh token", text(&renewed, "refreshToken")),
        ("challenge", text(&enabled, "challengeId")),
        ("challenge", text(&challenge, "challengeId")),
        ("challenge", text(&open, "challengeId")),
    ] {
        assert!(value.len() > 40, "{name}");
        // The front of some names a session or a user; the end is what makes them secret.
        let tail = value[value.len() - 40..].to_owned();
        secrets.extend(URL_SAFE_NO_PAD.decode(&tail).ok().map(|bytes| (name, bytes[..28].to_vec())));
        secrets.push((name, tail.into_bytes()));
    }
    secrets
}

#[test]
fn no_secret_lies_in_the_data_directory_or_in_the_log_at_trace_level() {
    let place = Place::new();
    let added = place.run_with_input(&["user", "add", "--email", "alice@example.com"], &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{added:?}");
    let service = place.serve(&["--set", "telemetry.log_level=trace", "--set", "telemetry.log_format=json"]);
    let secrets = story(&service);
    let log = service.log.clone();
    assert!(holds(&fs::read(&log).unwrap(), b"countersign"), "the log says something");
    let data = place.path("countersign-data");
    assert!(
        !fs::read(data.join("countersign.db-wal")).unwrap().is_empty(),
        "the scan sees what is not yet in the file"
    );
    nothing_lies_in(&data, &log, &secrets);
    let (status, _) = service.terminate();
    assert_eq!(status, Some(0));
    nothing_lies_in(&data, &log, &secrets);
}

fn nothing_lies_in(data: &Path, log: &Path, secrets: &[(&str, Vec<u8>)]) {
    let mut places = files(data);
    places.retain(|(path, _)| !path.ends_with("keys.toml"));
    places.push(("the log".to_owned(), fs::read(log).unwrap()));
    for (name, secret) in secrets {
        for form in forms(secret) {
            let found = places.iter().find(|(_, bytes)| holds(bytes, &form));
            assert!(found.is_none(), "{name} lies in {}", found.unwrap().0);
        }
    }
}

/// A gateway for text messages that takes each, and hands on what it was asked.
fn gateway() -> (u16, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            BufReader::new(&stream).read_line(&mut head).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            // Nobody listens when the test is over.
            let _ = sender.send(head);
        }
    });
    (port, asked)
}

#[test]
fn no_number_and_no_code_that_is_sent_lies_in_the_log_or_the_data() {
    const NUMBER: &str = "+306912345678";
    let place = Place::new();
    let new = ["user", "add", "--email", "alice@example.com", "--phone", NUMBER];
    assert!(place.run_with_input(&new, &format!("{PASSWORD}\n")).status.success());
    let (port, asked) = gateway();
    let url = format!("sms.http.url=http://127.0.0.1:{port}/send?key=hunter2hunter2&to={{to}}&text={{text}}");
    let sets =
        ["sms.provider=http", "sms.http.method=GET", "sms.allowed_countries=GR", &url, "telemetry.log_level=trace"];
    let args: Vec<&str> = sets.iter().flat_map(|set| ["--set", *set]).collect();
    let service = place.serve(&args);
    let code_of = |head: String| head.split("text=").nth(1).unwrap()[..6].to_owned();
    let credentials = json!({"email": "alice@example.com", "password": PASSWORD});
    let token = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap()["accessToken"].clone();
    let token = token.as_str().unwrap();
    let enabled = service.call("TwoFaService/Enable", token, &json!({"method": "METHOD_PHONE"})).unwrap();
    assert_eq!(enabled["maskedPhoneNumber"], "+**********78");
    let first = asked.recv().unwrap();
    assert!(first.contains("key=hunter2hunter2&to=%2B306912345678"), "{first}");
    let first = code_of(first);
    service.call("TwoFaService/Verify", token, &json!({"code": first})).unwrap();
    let challenge = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    let second = code_of(asked.recv().unwrap());
    let refused = json!({"method": "METHOD_PHONE", "phoneNumber": "+12025550123"});
    let told = service.call("TwoFaService/Enable", token, &refused).unwrap_err();
    assert!(!told.contains("2025550123"), "an error repeats no number: {told}");
    let answer = json!({"challengeId": challenge["challengeId"], "code": second});
    service.call("TwoFaService/Verify", "", &answer).unwrap();
    let (log, data) = (service.log.clone(), place.path("countersign-data"));
    service.terminate();
    let words = [NUMBER, "306912345678", "2025550123", "hunter2hunter2"]
        .map(|word| ("number or key", word.as_bytes().to_vec()));
    nothing_lies_in(&data, &log, &words);
    // Six digits may be a part of many a number: what stands alone counts.
    let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    let mut numbers = text.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!numbers.any(|word| word == first || word == second), "a code lies in the log");
}

#[test]
fn the_scan_finds_what_is_there() {
    let place = Place::new();
    place.run_with_input(&["user", "add", "--email", "alice@example.com"], &format!("{PASSWORD}\n"));
    let database = fs::read(place.path("countersign-data/countersign.db")).unwrap();
    assert!(holds(&database, b"alice@example.com"));
}
