//! Accounts, from the command line and by `bootstrap.*`.

use std::fs;

use serde_json::json;

use crate::process::{Place, Service, oathtool, text};

const PASSWORD: &str = "a password that is not in any list 42\n";

fn sign_in(service: &Service, email: &str, password: &str) -> Result<serde_json::Value, String> {
    service.call("TwoFaService/LocalAuth", "", &json!({"email": email, "password": password.trim_end()}))
}

#[test]
fn passwords_of_accounts_are_set_from_standard_input() {
    let place = Place::new();
    let add = |email: &str, password: &str| place.run_with_input(&["user", "add", "--email", email], password);
    let added = add("alice@example.com", PASSWORD);
    assert!(added.status.success() && text(&added.stdout).starts_with("Made usr_"), "{added:?}");
    assert!(text(&add("ALICE@example.com", PASSWORD).stderr).contains("there is an account with this e-mail address"));
    assert!(text(&add("bob@example.com", "short\n").stderr).contains("8 to 256 characters"));
    assert!(text(&add("no address", PASSWORD).stderr).contains("--email: must be an address"));
    let set = place.run_with_input(&["user", "set-password", "--email", "alice@example.com"], "another password 77\n");
    assert!(set.status.success(), "{set:?}");
    let unknown = place.run_with_input(&["user", "set-password", "--email", "bob@example.com"], PASSWORD);
    assert!(text(&unknown.stderr).contains("there is no account"));
    assert!(!place.run(&["user", "add", "--email", "x@example.com", "--password", "y"]).status.success());
}

#[test]
fn a_locked_out_user_is_helped_from_the_command_line() {
    let place = Place::new();
    assert!(place.run_with_input(&["user", "add", "--email", "alice@example.com"], PASSWORD).status.success());
    let service = place.serve(&[]);
    let session = sign_in(&service, "alice@example.com", PASSWORD).unwrap();
    let token = session["accessToken"].as_str().unwrap().to_owned();
    let enabled = service.call("TwoFaService/Enable", &token, &json!({})).unwrap();
    let secret = enabled["secret"].as_str().unwrap();
    let confirmed = service.call("TwoFaService/Verify", &token, &json!({"code": oathtool(secret, 0)})).unwrap();
    assert_eq!(confirmed["backupCodes"].as_array().unwrap().len(), 10);
    let listed = text(&place.run(&["user", "list"]).stdout);
    let line = listed.lines().find(|line| line.contains("alice@example.com")).unwrap();
    assert_eq!(line.split_whitespace().skip(2).collect::<Vec<_>>(), ["user", "active", "1", "10"], "{listed}");

    for _ in 0..5 {
        assert!(sign_in(&service, "alice@example.com", "wrong").unwrap_err().contains("INVALID_CREDENTIALS"));
    }
    assert!(sign_in(&service, "alice@example.com", PASSWORD).unwrap_err().contains("RATE_LIMITED"));
    assert!(place.run(&["user", "unlock", "--email", "alice@example.com"]).status.success());
    let challenge = sign_in(&service, "alice@example.com", PASSWORD).unwrap();
    assert_eq!(challenge["twoFaRequired"], true);
    assert!(place.run(&["user", "reset-2fa", "--email", "alice@example.com"]).status.success());
    let judged = service.call("SessionService/ValidateAccessToken", "", &json!({"accessToken": token})).unwrap();
    assert_eq!(judged["status"], "TOKEN_STATUS_UNAUTHENTICATED");
    assert!(sign_in(&service, "alice@example.com", PASSWORD).unwrap()["accessToken"].is_string());

    let issued = place.run(&["user", "issue-password-token", "--email", "alice@example.com"]);
    let token = text(&issued.stdout);
    let set = json!({"token": token.trim(), "newPassword": "another password 77"});
    service.call("SessionService/SetPassword", "", &set).unwrap();
    assert!(sign_in(&service, "alice@example.com", "another password 77").unwrap()["accessToken"].is_string());
    for action in ["unlock", "reset-2fa", "issue-password-token"] {
        let unknown = place.run(&["user", action, "--email", "nobody@example.com"]);
        assert!(text(&unknown.stderr).contains("there is no account"));
    }
}

#[test]
fn the_first_administrator_is_made_while_there_is_none() {
    let place = Place::new();
    fs::write(place.path("password"), PASSWORD).unwrap();
    let bootstrap =
        ["--set", "bootstrap.admin_email=root@example.com", "--set", "bootstrap.admin_password_file=password"];
    let service = place.serve(&bootstrap);
    assert_eq!(sign_in(&service, "root@example.com", PASSWORD).unwrap()["enrollmentRequired"], true);
    assert_eq!(service.terminate().0, Some(0));
    fs::write(place.path("password"), "yet another password 5\n").unwrap();
    let service = place.serve(&bootstrap);
    assert!(sign_in(&service, "root@example.com", PASSWORD).is_ok(), "an administrator is left alone");
    assert_eq!(service.terminate().0, Some(0));
    fs::remove_file(place.path("password")).unwrap();
    assert_eq!(place.serve(&bootstrap).terminate().0, Some(0), "and the file is no longer needed");

    let fresh = Place::new();
    let half = fresh.run(&["serve", "--set", "bootstrap.admin_email=root@example.com"]);
    assert!(text(&half.stderr).contains("bootstrap.admin_password_file (from the built-in default): must be set too"));
    fs::write(fresh.path("password"), "password\n").unwrap();
    let common = fresh.run(&[&["serve", "--set", "grpc.listen=127.0.0.1:0"], &bootstrap[..]].concat());
    assert!(text(&common.stderr).contains("most common"), "{}", text(&common.stderr));
}
