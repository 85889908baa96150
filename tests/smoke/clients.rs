//! The clients of `deploy/clients`, generated, built and run as their READMEs say.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    cookbook::blocks,
    process::{Place, Service, demo_password, oathtool, run_tool, text},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const HINT: &str = ".ci/install installs what the clients need";
/// What is generated or installed in a folder, and is no part of it.
const NOT_KEPT: [&str; 6] = [".venv", "__pycache__", "client", "dist", "gen", "node_modules"];

/// A client that is built.
struct Client {
    folder: PathBuf,
    program: &'static [&'static str],
}

impl Client {
    /// Generates and builds it as its README says, in a copy of its folder where `.ci/install` has installed what it needs.
    fn build(language: &str, installed: Option<(&str, &str)>, program: &'static [&'static str]) -> Self {
        let source = Path::new(ROOT).join("deploy/clients").join(language);
        let folder = Path::new(ROOT).join("target/clients").join(language);
        // In Go's cache, or by a lock file that is kept with what it has installed.
        if let Some((lock, installed)) = installed {
            let installed = fs::read(folder.join(installed).join("installed")).unwrap_or_default();
            assert!(installed == fs::read(source.join(lock)).unwrap(), "what {lock} names is not installed; {HINT}");
        }
        for old in ["client", "dist", "gen"].map(|name| folder.join(name)) {
            let _ = if old.is_dir() { fs::remove_dir_all(&old) } else { fs::remove_file(&old) };
            assert!(!old.exists(), "{} is still there", old.display());
        }
        copy(&source, &folder);
        let readme = blocks(&fs::read_to_string(source.join("README.md")).unwrap());
        // The first block installs.
        let mut bash = Command::new("bash");
        bash.args(["-euxc", &readme[1].code]).current_dir(&folder).env("GOPROXY", "off");
        let built = run_tool(&mut bash);
        assert!(built.status.success(), "{}{}\n{HINT}", text(&built.stdout), text(&built.stderr));
        assert!(folder.join("gen/countersign/v1").is_dir());
        for command in ["sign-in user@example.com > token", "check < token"] {
            let command = format!("{} {command}", program.join(" "));
            assert!(readme[2].code.contains(&command), "the README does not show {command}");
        }
        Self { folder, program }
    }

    /// Runs it with lines of standard input.
    fn run(&self, args: &[&str], input: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.arg("60").args(self.program).args(args).current_dir(&self.folder).env_clear();
        #[allow(clippy::disallowed_methods, reason = "programs are looked up on PATH")]
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|fault| panic!("{:?}: {fault}; {HINT}", self.program));
        // One that has ended by then does not read.
        let _ = child.stdin.take().unwrap().write_all(format!("{}\n", input.join("\n")).as_bytes());
        child.wait_with_output().unwrap()
    }

    /// Runs it, and answers what it says when it refuses.
    fn refused(&self, args: &[&str], input: &[&str]) -> String {
        let output = self.run(args, input);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""), "{args:?}: {told}");
        told
    }

    /// Whether it takes a token. What it does not take it must say that it has refused.
    fn takes(&self, args: &[&str], token: &str) -> bool {
        let output = self.run(&[args, &["check"]].concat(), &[token]);
        let told = text(&output.stderr);
        let refused = told.contains("token refused: ");
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(i32::from(refused)), refused), "{told}");
        !refused
    }
}

/// Copies what is kept of a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if NOT_KEPT.iter().any(|name| entry.file_name() == *name) {
        } else if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The demo user with an authenticator app whose first code is used.
struct User {
    credentials: Value,
    password: String,
    secret: String,
    used: String,
}

impl User {
    fn enrol(service: &Service) -> Self {
        let password = demo_password(service, "user@example.com");
        let credentials = json!({"email": "user@example.com", "password": password});
        let session = service.call("TwoFaService/LocalAuth", "", &credentials).unwrap();
        let token = session["accessToken"].as_str().unwrap();
        let enabled = service.call("TwoFaService/Enable", token, &json!({})).unwrap();
        let secret = enabled["secret"].as_str().unwrap().to_owned();
        let used = oathtool(&secret, 0);
        service.call("TwoFaService/Verify", token, &json!({"code": used})).unwrap();
        Self { credentials, password, secret, used }
    }

    /// Guesses until no code is judged any more.
    fn lock(&self, service: &Service) {
        let challenge = service.call("TwoFaService/LocalAuth", "", &self.credentials).unwrap();
        let right: Vec<_> = (-3..=3).map(|step| oathtool(&self.secret, step * 30)).collect();
        let wrong = (0..10).map(|digit| digit.to_string().repeat(6)).filter(|code| !right.contains(code));
        for code in wrong.take(5) {
            let answer = json!({"challengeId": challenge["challengeId"], "code": code});
            assert!(service.call("TwoFaService/Verify", "", &answer).unwrap_err().contains("INVALID_CODE"));
        }
    }
}

/// Everything that a client does.
fn story(client: &Client) {
    let place = Place::new();
    let service = place.serve(&["--dev"]);
    let user = User::enrol(&service);
    let (server, jwks) = (service.address.to_string(), format!("http://{}/.well-known/jwks.json", service.http));
    let at = ["--server", &server, "--jwks", &jwks];
    let sign_in = [&at[..], &["sign-in", "user@example.com"]].concat();

    let told = client.refused(&sign_in, &["a wrong password"]);
    assert!(told.contains("refused: INVALID_CREDENTIALS: "), "{told}");
    let told = client.refused(&sign_in, &[&user.password, &user.used]);
    assert!(told.contains("A second factor is needed: ") && told.contains("TOTP"), "{told}");
    assert!(told.contains("refused: INVALID_CODE: That code is not valid."), "{told}");

    let signed_in = client.run(&sign_in, &[&user.password, &oathtool(&user.secret, 30)]);
    let told = text(&signed_in.stderr);
    assert!(signed_in.status.success(), "{told}");
    assert!(told.contains("Signed in: usr_") && told.contains(" urn:countersign:acr:2, checked by JWKS"), "{told}");
    assert!(told.contains("Refreshed: the same session"), "{told}");
    let token = text(&signed_in.stdout).trim().to_owned();
    let sessions = service.call("SessionService/ListSessions", &token, &json!({})).unwrap();
    assert!(sessions["sessions"][0]["current"] == true && sessions["sessions"][0]["refreshTime"].is_string());

    let checked = client.run(&[&at[..], &["check"]].concat(), &[&token]);
    let claims: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{}", text(&checked.stderr)));
    assert!(claims["sub"].as_str().unwrap().starts_with("usr_") && claims["exp"].is_i64(), "{claims}");
    assert!(client.takes(&at, &token));
    for (part, role) in [(1, "admin"), (2, "")] {
        assert!(!client.takes(&at, &tampered(&token, part, role)), "part {part} was tampered with");
    }
    for other in [["--audience", "billing"], ["--issuer", "https://elsewhere.example"]] {
        assert!(!client.takes(&[&at[..], &other].concat(), &token), "{other:?}");
    }

    user.lock(&service);
    let told = client.refused(&sign_in, &[&user.password, &user.used]);
    let wait = told.split_once(" Try again in ").and_then(|(_, rest)| rest.split_once(" s.")).map(|(wait, _)| wait);
    assert!(told.contains("refused: RATE_LIMITED: "), "{told}");
    assert!(wait.is_some_and(|wait| (1..=30).contains(&wait.parse().unwrap())), "{told}");
    forgeries(client);
}

/// A token with another role in its claims, or another signature.
fn tampered(token: &str, part: usize, role: &str) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[part]).unwrap();
    if part == 1 {
        let mut claims: Value = serde_json::from_slice(&bytes).unwrap();
        claims["role"] = json!(role);
        bytes = claims.to_string().into_bytes();
    } else {
        bytes[0] ^= 1;
    }
    parts[part] = URL_SAFE_NO_PAD.encode(bytes);
    parts.join(".")
}

/// Tokens that are signed with a key of the JWKS, or look as if they were: what a service would never issue is refused all the same.
fn forgeries(client: &Client) {
    let key = Ed25519KeyPair::generate().unwrap();
    let public = key.public_key().as_ref().to_vec();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(&public), "kid": "k", "use": "sig", "alg": "EdDSA"});
    let (curve, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let other = EcdsaKeyPair::generate(curve).unwrap();
    let [x, y] = [1..33, 33..65].map(|part| URL_SAFE_NO_PAD.encode(&other.public_key().as_ref()[part]));
    let other_jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "e", "use": "sig", "alg": "ES256"});
    let url = serve(json!({"keys": [jwk, other_jwk]}).to_string());
    let signed = |header: &Value, claims: &Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())))
    };
    let by_key = |signed: &[u8]| key.sign(signed).as_ref().to_vec();
    let by_other = |signed: &[u8]| other.sign(&random, signed).unwrap().as_ref().to_vec();
    let by_hmac = |signed: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed).as_ref().to_vec();
    let header = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k"});
    let now = now();
    let claims = json!({"iss": "http://localhost:3000", "aud": "countersign", "sub": "usr_1", "exp": now + 600, "nbf": now, "iat": now});
    let with = |value: &Value, name: &str, new: Value| {
        let mut changed = value.clone();
        let fields = changed.as_object_mut().unwrap();
        fields.insert(name.to_owned(), new);
        fields.retain(|_, value| !value.is_null());
        changed
    };
    let takes = |header: &Value, claims: &Value, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        client.takes(&["--jwks", &url], &signed(header, claims, sign))
    };
    assert!(takes(&header, &claims, &by_key), "so far nothing is wrong with it");
    for (name, new) in [("typ", json!("JWT")), ("typ", Value::Null), ("kid", json!("other"))] {
        assert!(!takes(&with(&header, name, new.clone()), &claims, &by_key), "{name} {new}");
    }
    assert!(!takes(&with(&header, "alg", json!("none")), &claims, &|_| Vec::new()), "no signature");
    assert!(!takes(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "e"}), &claims, &by_other), "another algorithm");
    assert!(!takes(&with(&header, "alg", json!("HS256")), &claims, &by_hmac), "a MAC by the public key");
    for (name, new) in [
        ("aud", json!("billing")),
        ("aud", Value::Null),
        ("iss", json!("https://elsewhere.example")),
        ("iss", Value::Null),
        ("exp", json!(now - 60)),
        ("exp", Value::Null),
        ("sub", Value::Null),
    ] {
        assert!(!takes(&header, &with(&claims, name, new.clone()), &by_key), "{name} {new}");
    }
}

/// Serves a document over HTTP as long as this process lives; answers where.
fn serve(document: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    thread::spawn(move || {
        let answer = |mut stream: TcpStream| {
            let mut lines = BufReader::new(stream.try_clone()?).lines();
            while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{document}", document.len())
        };
        // A client that hangs up says so itself.
        listener.incoming().for_each(|stream| drop(stream.and_then(answer)));
    });
    url
}

#[allow(clippy::disallowed_methods, reason = "clients go by the time of the machine")]
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn the_client_in_typescript_signs_in_with_a_code_and_checks_tokens() {
    story(&Client::build("typescript", Some(("package-lock.json", "node_modules")), &["node", "dist/client.js"]));
}

#[test]
fn the_client_in_python_signs_in_with_a_code_and_checks_tokens() {
    story(&Client::build("python", Some(("requirements.txt", ".venv")), &[".venv/bin/python", "client.py"]));
}

#[test]
fn the_client_in_go_signs_in_with_a_code_and_checks_tokens() {
    story(&Client::build("go", None, &["./client"]));
}
