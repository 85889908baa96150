//! REST with tools that people really use: the calls of the product's page with curl, and the OpenAPI document with schemathesis.

use std::{fs, process::Command};

use serde_json::json;

use crate::{
    admin::administrator,
    process::{Place, demo_password, run_tool, text},
};

/// What is sent may be taken more widely than the document says (null, numbers as text: the proto3 mapping); what comes back may not.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,missing_required_header,unsupported_method,allow_header_conformance";

#[test]
fn the_calls_of_the_page_work_as_they_are_printed() {
    let place = Place::new();
    let password = "a password that is not in any list 42";
    let added = place.run_with_input(&["user", "add", "--email", "user@example.com"], &format!("{password}\n"));
    assert!(added.status.success(), "{}", text(&added.stderr));
    let service = place.serve(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/page");
    let output = run_tool(Command::new(script).args([&service.http.port().to_string(), "user@example.com", password]));
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn without_a_gateway_nothing_listens_there() {
    let place = Place::new();
    let service = place.serve(&["--set", "http.listen=off"]);
    assert!(std::net::TcpStream::connect(service.http).is_err());
    assert_eq!(service.terminate().0, Some(0));
}

/// For so many seconds each; without the variable it is a few cases of each call.
fn extent() -> [String; 2] {
    #[allow(clippy::disallowed_methods, reason = "whoever runs the suite chooses how long it takes")]
    match std::env::var("SCHEMA_SECONDS") {
        Ok(seconds) => ["--max-time".to_owned(), seconds],
        Err(_) => ["--max-examples".to_owned(), "25".to_owned()],
    }
}

#[test]
fn the_answers_are_those_of_the_document() {
    let place = Place::new();
    let service = place.serve(&["--dev", "--set", "limits.source_failures=0"]);
    let credentials = json!({"email": "user@example.com", "password": demo_password(&service, "user@example.com")});
    let session = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    let bearer = format!("Authorization: Bearer {}", session["accessToken"].as_str().unwrap());
    // EndSession would end what the others need.
    let signed_in = ["--header", bearer.as_str(), "--exclude-operation-id", "EndSession"];
    let admin = format!("Authorization: Bearer {}", administrator(&service).token);
    // An administrator is the only one, and so cannot get rid of themselves; signing out they can. And a stream has no end.
    let without = ["EndSession", "DeleteSession", "WatchAuditEvents"].map(|call| ["--exclude-operation-id", call]);
    let administrator = [&["--header", admin.as_str()], without.as_flattened()].concat();
    for caller in [&[][..], &signed_in[..], &administrator[..]] {
        let mut command = Command::new("schemathesis");
        command.args(["--no-color", "run", &format!("http://{}/openapi.json", service.http), "--seed", "1"]);
        command.args(["--phases", "coverage,fuzzing", "--generation-database", "none", "--continue-on-failure"]);
        command.args(["--checks", CHECKS]).args(extent()).args(caller).current_dir(place.home.path());
        let output = run_tool(&mut command);
        assert!(output.status.success(), "{}", text(&output.stdout));
        let told = text(&output.stdout);
        let cases =
            told.lines().find_map(|line| line.trim().strip_suffix(" passed")?.split_once(" generated, ")).unwrap();
        assert_eq!(cases.0, cases.1, "{told}");
        assert!(cases.0.replace(',', "").parse::<u32>().unwrap() > 300, "{told}");
    }
    assert!(!fs::read_to_string(&service.log).unwrap().contains("ERROR"), "a fault was logged");
}

#[test]
fn a_stop_does_not_wait_for_clients_that_have_asked_nothing() {
    use std::io::Write;
    let place = Place::new();
    let service = place.serve(&[]);
    let silent = std::net::TcpStream::connect(service.http).unwrap();
    let mut half = std::net::TcpStream::connect(service.http).unwrap();
    half.write_all(b"GET /docs HTTP/1.1\r\nhost: x").unwrap();
    let (status, took) = service.terminate();
    assert_eq!(status, Some(0));
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    drop((silent, half));
}
