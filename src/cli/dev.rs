//! `serve --dev`: a service to try things out with, in a directory of its own, with two demo accounts.

use std::{fs, net::SocketAddr, sync::Arc};

use anyhow::{Context, bail};

use super::{
    read, say,
    serve::{self, StopSignals, Told},
};
use crate::{
    app::{self, App, Schema},
    clock::{Clock, SystemClock},
    config::{Config, Layers, LevelSource},
    error::Error,
    file,
    flow::{self, Call, NewUser},
    hash::Hasher,
    model::{Email, Origin, Role},
    secret::{self, Secret},
    telemetry,
};

const DATA_DIR: &str = "countersign-dev";
const PASSWORD_FILE: &str = "demo-passwords";
const USER: &str = "user@example.com";
const ADMIN: &str = "admin@example.com";
/// What must not be configured: demo accounts have no business in a place that somebody has chosen.
const OWN: [&str; 7] = [
    "data_dir",
    "database.url",
    "redis.url",
    "keys.ring_file",
    "keys.ring_text",
    "keys.ring_command",
    "bootstrap.admin_email",
];
/// Letters and digits that are not taken for one another; 32 of them, 5 bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

struct Demo {
    user: Secret<String>,
    admin: Secret<String>,
}

pub(super) async fn run(mut layers: Layers, source: LevelSource) -> anyhow::Result<()> {
    let stop = StopSignals::listen()?;
    let configured: Vec<_> = OWN.into_iter().filter(|key| layers.is_set(key)).collect();
    if !configured.is_empty() {
        bail!(
            "serve --dev keeps to ./{DATA_DIR} and takes no configured {}; remedy: unset it, or run `serve` without --dev",
            configured.join(", ")
        );
    }
    layers.set_default("data_dir", DATA_DIR);
    if !layers.is_set("sms.provider") {
        layers.set_default("sms.provider", "console");
    }
    let config = read(layers)?;
    let told = Told { telemetry: telemetry::serve(&config)?, level: config.telemetry.log_level, source };
    let listeners = app::listen(&config).await?;
    let demo = demo_accounts(&config).await?;
    let app = App::start(&config, listeners, Arc::new(SystemClock), config.password).await?;
    say(&banner(app.grpc_address(), app.http_address(), &demo))?;
    serve::until_stopped(app, stop, told).await
}

/// The passwords of the demo accounts; makes what is not there yet.
async fn demo_accounts(config: &Config) -> anyhow::Result<Demo> {
    let call = Call { now: SystemClock.now(), origin: Origin::command_line() };
    let (store, _) = app::open_store(config, Schema::Migrate, call.now).await?;
    let path = config.data_dir.join(PASSWORD_FILE);
    let demo = if path.exists() {
        file::check_private(&path)?;
        let text = Secret::new(fs::read_to_string(&path)?);
        Demo { user: password_of(&text, USER)?, admin: password_of(&text, ADMIN)? }
    } else {
        let demo = Demo { user: new_password()?, admin: new_password()? };
        let text = Secret::new(format!("{USER} {}\n{ADMIN} {}\n", demo.user.expose(), demo.admin.expose()));
        file::create_private(&path, text.expose().as_bytes())?;
        demo
    };
    let hasher = Hasher::with_cost(1, config.password)?;
    for (email, password, role) in [(USER, &demo.user, Role::User), (ADMIN, &demo.admin, Role::Admin)] {
        let email = Email::parse(email).map_err(anyhow::Error::msg)?;
        if store.find_account_by_email(&email).await.map_err(Error::into_anyhow)?.is_none() {
            let new = NewUser { service: &config.totp_issuer, email, password, role, phone: None, notice_email: None };
            flow::add_user(&store, &hasher, new, &call).await.map_err(Error::into_anyhow)?;
        }
    }
    store.close().await?;
    Ok(demo)
}

fn password_of(text: &Secret<String>, email: &str) -> anyhow::Result<Secret<String>> {
    let line = text.expose().lines().find_map(|line| line.strip_prefix(email));
    let password = line.map(str::trim).with_context(|| {
        format!("{DATA_DIR}/{PASSWORD_FILE} has no password for {email}; remedy: remove ./{DATA_DIR} and start again")
    })?;
    Ok(Secret::new(password.to_owned()))
}

fn new_password() -> anyhow::Result<Secret<String>> {
    let letters = secret::random::<16>()?.map(|byte| char::from(ALPHABET[usize::from(byte % 32)]));
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(Secret::new(groups.join("-")))
}

fn banner(grpc: SocketAddr, http: Option<SocketAddr>, demo: &Demo) -> String {
    let (user, admin) = (demo.user.expose(), demo.admin.expose());
    let rest = http.map_or("off".to_owned(), |http| format!("http://{http}/docs"));
    let console = http.map_or("off".to_owned(), |http| format!("http://{http}/console"));
    let curl = http.map(|http| over_curl(http, user)).unwrap_or_default();
    format!(
        r#"
Countersign is running with demo accounts, in ./{DATA_DIR} (remove it to start afresh).

  {USER}    {user}
  {ADMIN}   {admin}   (must enrol before a session is given)

  gRPC   {grpc} (plaintext)
  REST   {rest}
  Open   {console} in a browser: sign in, scan, administer
{curl}
The same with grpcurl: sign in, and keep the access token:

  TOKEN=$(grpcurl -plaintext -d '{{"email":"{USER}","password":"{user}"}}' \
    {grpc} countersign.v1.TwoFaService/LocalAuth | sed -n 's/.*"accessToken": "\(.*\)".*/\1/p')

Start an enrolment, and scan qr.png with an authenticator app (or type in the "secret" of enrol.json):

  grpcurl -plaintext -H "authorization: Bearer $TOKEN" {grpc} countersign.v1.TwoFaService/Enable > enrol.json
  sed -n 's/.*base64,\(.*\)".*/\1/p' enrol.json | base64 -d > qr.png

Confirm it with the code that the app shows; the answer holds the backup codes:

  grpcurl -plaintext -H "authorization: Bearer $TOKEN" -d '{{"code":"123456"}}' {grpc} countersign.v1.TwoFaService/Verify

From now on a sign-in answers with a challenge, which the app's next code completes:

  grpcurl -plaintext -d '{{"email":"{USER}","password":"{user}"}}' {grpc} countersign.v1.TwoFaService/LocalAuth
  grpcurl -plaintext -d '{{"challengeId":"chl_...","code":"123456"}}' {grpc} countersign.v1.TwoFaService/Verify
"#
    )
}

fn over_curl(http: SocketAddr, password: &str) -> String {
    format!(
        r#"
Sign in with curl, and keep the access token:

  TOKEN=$(curl -s http://{http}/authentication/local -H 'Content-Type: application/json' \
    -d '{{"email":"{USER}","password":"{password}"}}' | sed -n 's/.*"accessToken":"\([^"]*\)".*/\1/p')

Start an enrolment, and scan qr.png with an authenticator app (or type in the "secret" of enrol.json):

  curl -s -X POST http://{http}/authentication/twoFa/enable -H "Authorization: Bearer $TOKEN" > enrol.json
  sed -n 's/.*base64,\([^"]*\)".*/\1/p' enrol.json | base64 -d > qr.png

Confirm it with the code that the app shows; the answer holds the backup codes:

  curl http://{http}/authentication/twoFa/verify -H "Authorization: Bearer $TOKEN" \
    -H 'Content-Type: application/json' -d '{{"code":"123456"}}'

From now on a sign-in answers with a challenge, which the app's next code completes; the cookie jar remembers which:

  curl -c jar http://{http}/authentication/local -H 'Content-Type: application/json' \
    -d '{{"email":"{USER}","password":"{password}"}}'
  curl -b jar http://{http}/authentication/twoFa/verify -H 'Content-Type: application/json' -d '{{"code":"123456"}}'
"#
    )
}
