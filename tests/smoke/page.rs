//! The calls of the product's page, with real curl.

use std::process::Command;

use crate::process::{Place, run_tool, text};

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
