//! An administrator with the tools of the README: grpcurl and curl.

use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Place, Service, demo_password, oathtool, run_tool, text};

/// An administrator who has signed in with a second factor.
pub struct Administrator {
    pub token: String,
}

/// The administrator of the demo, enrolled.
pub fn administrator(service: &Service) -> Administrator {
    let credentials = json!({"email": "admin@example.com", "password": demo_password(service, "admin@example.com")});
    let led = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
    let token = led["enrollmentToken"].as_str().unwrap();
    let enabled = service.call("TwoFaService/Enable", token, &json!({})).unwrap();
    let code = json!({"code": oathtool(enabled["secret"].as_str().unwrap(), 0)});
    let confirmed = service.call("TwoFaService/Verify", token, &code).unwrap();
    Administrator { token: confirmed["accessToken"].as_str().unwrap().to_owned() }
}

/// A call over REST.
fn curl(service: &Service, admin: &Administrator, method: &str, path: &str, body: &Value) -> Value {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--request", method, &format!("http://{}{path}", service.http)]);
    command.args(["--header", &format!("Authorization: Bearer {}", admin.token)]);
    if !body.is_null() {
        command.args(["--json", &body.to_string()]);
    }
    let output = run_tool(&mut command);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stdout)))
}

#[test]
fn the_policy_is_previewed_changed_and_listed() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let admin = administrator(&service);
    let read = curl(&service, &admin, "GET", "/admin/settings", &Value::Null);
    assert_eq!(read["settings"]["gracePeriod"], "604800s");
    let change = json!({"settings": {"requiredFor": "REQUIRED_FOR_ALL"}});
    let preview = curl(&service, &admin, "POST", "/admin/settings:preview", &change);
    assert_eq!(preview["unready"]["count"], "1");
    assert_eq!(preview["unready"]["examples"][0]["email"], "user@example.com");
    let change = json!({"requiredFor": "REQUIRED_FOR_ALL", "etag": read["settings"]["etag"]});
    let changed = curl(&service, &admin, "PATCH", "/admin/settings", &change);
    assert_eq!(changed["settings"]["requiredFor"], "REQUIRED_FOR_ALL");
    assert_eq!(curl(&service, &admin, "PATCH", "/admin/settings", &change)["reason"], "VERSION_MISMATCH");
    let masked =
        curl(&service, &admin, "PATCH", "/admin/settings?updateMask=twoFaEnabled", &json!({"twoFaEnabled": false}));
    assert_eq!(masked["settings"]["twoFaEnabled"], false);
    let versions = curl(&service, &admin, "GET", "/admin/settings/versions?pageSize=2", &Value::Null);
    assert_eq!(versions["settingsVersions"].as_array().unwrap().len(), 2);
    assert_eq!(curl(&service, &admin, "GET", "/admin/adoption-report", &Value::Null)["users"], "2");
}

#[test]
fn a_user_is_made_found_changed_helped_and_removed() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let admin = administrator(&service);
    let make = json!({"user": {"email": "new@example.com"}, "requestId": "5f0c"});
    let made = curl(&service, &admin, "POST", "/admin/users", &make);
    assert!(made["passwordToken"].as_str().unwrap().starts_with("pwt_"), "{made}");
    let found = curl(&service, &admin, "GET", "/admin/users?search=new@&enrolled=false", &Value::Null);
    let user = &found["users"][0];
    let id = user["userId"].as_str().unwrap();
    // The whole resource, as it was read, with one thing another way.
    let mut changed = user.clone();
    changed["email"] = json!("newer@example.com");
    let path = format!("/admin/users/{id}");
    assert_eq!(curl(&service, &admin, "PATCH", &path, &changed)["user"]["email"], "newer@example.com");
    let reset = format!("{path}:resetTwoFa");
    assert_eq!(curl(&service, &admin, "POST", &reset, &Value::Null)["reason"], "INVALID_ARGUMENT");
    let why = json!({"reason": "lost the phone; showed a passport at the desk"});
    assert_eq!(curl(&service, &admin, "POST", &reset, &why), json!({}));
    let blocked = service.call("AdminService/BlockUser", &admin.token, &json!({"userId": id})).unwrap();
    assert_eq!(blocked["user"]["blocked"], true);
    assert_eq!(curl(&service, &admin, "DELETE", &path, &Value::Null), json!({}));
    assert_eq!(curl(&service, &admin, "GET", &path, &Value::Null)["reason"], "NOT_FOUND");
    let own = service.call("AdminService/ListUsers", &admin.token, &json!({"role": "ROLE_ADMIN"})).unwrap();
    let own = own["users"][0]["userId"].as_str().unwrap();
    let refused = service.call("AdminService/DeleteUser", &admin.token, &json!({"userId": own})).unwrap_err();
    assert!(refused.contains("LAST_ADMIN"), "{refused}");
}

#[test]
fn the_audit_log_is_listed_followed_verified_and_exported() {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let admin = administrator(&service);
    let listed = curl(&service, &admin, "GET", "/admin/audit-events?kinds=authn_factor_created", &Value::Null);
    let event = loop {
        // A record is shown once it is sealed.
        let listed = curl(&service, &admin, "GET", "/admin/audit-events?kinds=authn_factor_created", &Value::Null);
        let event = listed["auditEvents"][0].clone();
        if !event.is_null() {
            break event;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    assert!(listed["auditEvents"].is_array());
    assert_eq!((&event["kind"], &event["method"]), (&json!("authn_factor_created"), &json!("totp")));

    let mut command = Command::new("curl");
    command.args(["--silent", "--no-buffer", "--max-time", "2"]);
    command.args(["--header", &format!("Authorization: Bearer {}", admin.token)]);
    command.arg(format!("http://{}/admin/audit-events:watch?resumeToken=0", service.http));
    let followed = text(&run_tool(&mut command).stdout);
    let first = followed.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_else(|| panic!("{followed}"));
    let first: Value = serde_json::from_str(first).unwrap();
    assert_eq!((&first["resumeToken"], &first["auditEvent"]["kind"]), (&json!("1"), &json!("user_created")));

    assert_eq!(service.terminate().0, Some(0));
    let data = ["--set", "data_dir=countersign-dev"];
    let verified = place.run(&[&["audit", "verify"], &data[..]].concat());
    let told = text(&verified.stdout);
    assert!(verified.status.success() && told.contains("What was sealed is what it was."), "{told}");
    let exported = place.run(&[&["audit", "export"], &data[..]].concat());
    let lines: Vec<Value> = text(&exported.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 3 && lines.iter().zip(1..).all(|(line, at)| line["position"] == at));
    assert_eq!(lines[0]["kind"], "user_created");
    let head = told.lines().next().unwrap().rsplit(' ').next().unwrap();
    let again = place.run(&[&["audit", "verify", "--head", head], &data[..]].concat());
    assert!(again.status.success(), "{}", text(&again.stderr));
    let more = place.run(&[&["audit", "verify", "--head", "100000:00"], &data[..]].concat());
    assert_eq!(more.status.code(), Some(1));
    assert!(text(&more.stdout).contains("was longer"), "{}", text(&more.stdout));
}
