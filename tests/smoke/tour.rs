//! The tour of the README, with the real tools.

use std::{fs, process::Command, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::process::{Place, Service, demo_password, oathtool, run_tool, text};

fn field(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

#[test]
fn a_demo_user_enrols_by_the_qr_code_and_signs_in_with_a_code_of_oathtool() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let credentials = json!({"email": "user@example.com", "password": demo_password(&service, "user@example.com")});
    let session = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    let token = field(&session, "accessToken");
    let enabled = service.call("TwoFaService/Enable", &token, &json!({})).unwrap();

    let picture = place.path("qr.png");
    let encoded = field(&enabled, "qrCode");
    fs::write(&picture, STANDARD.decode(encoded.strip_prefix("data:image/png;base64,").unwrap()).unwrap()).unwrap();
    let read = run_tool(Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&picture));
    assert_eq!(text(&read.stdout).trim_end(), field(&enabled, "otpauthUri"));

    let secret = field(&enabled, "secret");
    let code = json!({"code": oathtool(&secret, 0)});
    let confirmed = service.call("TwoFaService/Verify", &token, &code).unwrap();
    assert_eq!(field(&confirmed, "purpose"), "PURPOSE_ENROLLMENT");

    let challenge = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    assert_eq!((&challenge["message"], &challenge["twoFaRequired"]), (&json!("2FA required"), &json!(true)));
    let used = json!({"challengeId": challenge["challengeId"], "code": code["code"]});
    let refused = service.call("TwoFaService/Verify", "", &used).unwrap_err();
    assert!(refused.contains("INVALID_CODE") && refused.contains("countersign.v1"), "{refused}");
    let next = json!({"challengeId": challenge["challengeId"], "code": oathtool(&secret, 30)});
    let verified = service.call("TwoFaService/Verify", "", &next).unwrap();
    let judged = service
        .call("SessionService/ValidateAccessToken", "", &json!({"accessToken": verified["accessToken"]}))
        .unwrap();
    assert_eq!(judged["status"], "TOKEN_STATUS_AUTHENTICATED");
    assert_eq!(judged["claims"]["amr"], json!(["pwd", "otp", "mfa"]));
}

#[test]
fn a_demo_user_reads_codes_by_text_message_on_the_terminal() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let credentials = json!({"email": "user@example.com", "password": demo_password(&service, "user@example.com")});
    let token = field(&service.call("TwoFaService/LocalAuth", "", &credentials).unwrap(), "accessToken");
    let request = json!({"method": "METHOD_PHONE", "phoneNumber": "+12025550123"});
    service.call("TwoFaService/Enable", &token, &request).unwrap();
    let code = || {
        let out = fs::read_to_string(&service.out).unwrap();
        let message = out.rsplit("Text message to +12025550123:").next().unwrap().to_owned();
        message.split_once("| ").unwrap().1[..6].to_owned()
    };
    let first = code();
    service.call("TwoFaService/Verify", &token, &json!({"code": first})).unwrap();
    let challenge = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    assert_eq!(challenge["maskedPhoneNumber"], "+*********23");
    let answer = json!({"challengeId": challenge["challengeId"], "code": code()});
    assert_eq!(service.call("TwoFaService/Verify", "", &answer).unwrap()["purpose"], "PURPOSE_LOGIN");
    let log = fs::read_to_string(&service.log).unwrap();
    assert!(!log.contains("2025550123") && !log.contains(&first), "{log}");
}

#[test]
fn the_demo_accounts_keep_their_passwords_and_the_admin_signs_in_too() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let password = demo_password(&service, "admin@example.com");
    let (status, _) = service.terminate();
    assert_eq!(status, Some(0));
    let service = place.serve(&["--dev"]);
    assert_eq!(demo_password(&service, "admin@example.com"), password);
    let credentials = json!({"email": "admin@example.com", "password": password});
    assert!(service.call("TwoFaService/LocalAuth", "", &credentials).is_ok());
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(place.path("countersign-dev/demo-passwords")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn grpcurl_lists_and_describes_what_is_served() {
    let place = Place::new();
    let service = place.serve(&[]);
    let list = run_tool(Command::new("grpcurl").args(["-plaintext", &service.address.to_string(), "list"]));
    let list = text(&list.stdout);
    for name in ["countersign.v1.TwoFaService", "countersign.v1.SessionService", "grpc.health.v1.Health"] {
        assert!(list.lines().any(|line| line == name), "{list}");
    }
    let described = run_tool(Command::new("grpcurl").args([
        "-plaintext",
        &service.address.to_string(),
        "describe",
        "countersign.v1.TwoFaService.Enable",
    ]));
    let described = text(&described.stdout);
    for part in ["/authentication/twoFa/enable", "ASSURANCE_HIGHEST", "Starts the enrolment"] {
        assert!(described.contains(part), "{described}");
    }
}

#[test]
fn failures_outlast_a_power_cut_and_the_right_code_then_has_to_wait() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let credentials = json!({"email": "user@example.com", "password": demo_password(&service, "user@example.com")});
    let token = field(&service.call("TwoFaService/LocalAuth", "", &credentials).unwrap(), "accessToken");
    let enabled = service.call("TwoFaService/Enable", &token, &json!({})).unwrap();
    let secret = field(&enabled, "secret");
    service.call("TwoFaService/Verify", &token, &json!({"code": oathtool(&secret, 0)})).unwrap();

    let guess = |service: &Service, code: &str| {
        let challenge = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
        let answer = json!({"challengeId": challenge["challengeId"], "code": code});
        service.call("TwoFaService/Verify", "", &answer)
    };
    let right: Vec<_> = (-3..=3).map(|step| oathtool(&secret, step * 30)).collect();
    let wrong = ["000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777", "888888"];
    for code in wrong.iter().filter(|code| !right.iter().any(|right| right == *code)).take(5) {
        assert!(guess(&service, code).unwrap_err().contains("INVALID_CODE"));
    }
    service.kill();
    let service = place.serve(&["--dev"]);
    let refused = guess(&service, &oathtool(&secret, 30)).unwrap_err();
    assert!(refused.contains("RATE_LIMITED") && refused.contains("retryDelay"), "{refused}");
}

#[test]
fn a_start_that_is_cut_off_at_any_moment_can_be_begun_again() {
    for millis in (0..40).map(|n| n * 8) {
        let place = Place::new();
        place.cut_off_start(std::time::Duration::from_millis(millis));
        let service = place.serve(&[]);
        assert_eq!(service.interrupt().0, Some(0), "cut off after {millis} ms");
    }
}

#[test]
fn sigterm_ends_the_service_cleanly_within_ten_seconds() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let mut watcher = Command::new("grpcurl")
        .args(["-plaintext", "-d", "{}", &service.address.to_string(), "grpc.health.v1.Health/Watch"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (status, took) = service.terminate();
    watcher.kill().unwrap();
    watcher.wait().unwrap();
    assert_eq!(status, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
}
