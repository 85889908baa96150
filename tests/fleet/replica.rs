//! Replicas: processes of the shipped binary over one database, one Redis and one key ring; and a user who talks to them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use countersign::{
    app::{Schema, open_with_roots},
    clock::Timestamp,
    config::{Config, Layers},
    model::{Account, Email, PhoneNumber, Role, UserId},
    seal::RootRing,
    store::Store,
    swap::Swap,
    wire::pb::{
        self, admin_service_client::AdminServiceClient, session_service_client::SessionServiceClient,
        two_fa_service_client::TwoFaServiceClient,
    },
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, TransactionTrait};
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_types::StatusExt;

use crate::{
    peek,
    servers::{
        binary::{Binary, this_release},
        process::{Server, home, run},
    },
};

pub const PASSWORD: &str = "correct horse battery staple";
/// A busy machine turns some away, and says so.
pub const BUSY: [&str; 2] = ["RATE_LIMITED", "STORE_UNAVAILABLE"];

/// What replicas share.
pub struct Fleet {
    /// One fleet at a time: what is looked at here goes by real time, and hashing gives way to everything.
    _turn: MutexGuard<'static, ()>,
    binary: Binary,
    database: String,
}

/// A replica.
pub struct Replica {
    pub process: Server,
    pub twofa: TwoFaServiceClient<Channel>,
    pub sessions: SessionServiceClient<Channel>,
    pub admin: AdminServiceClient<Channel>,
}

/// A user with a second factor.
pub struct Enrolled {
    pub email: String,
    pub app: totp_rs::Totp,
    pub backup_codes: Vec<String>,
    pub session: pb::VerifyResponse,
    pub refresh_token: String,
    /// Seconds of the time of the code that has confirmed the factor.
    pub confirmed: u64,
}

impl Fleet {
    /// A fleet over these stores, with a new key ring and the schema in place.
    pub fn new(database: &str, redis: &str) -> Self {
        Self::of(this_release(), database, redis)
    }

    /// A fleet of a program that may be of another release.
    pub fn of(program: PathBuf, database: &str, redis: &str) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut binary = Binary::new(home("fleet", None), database, redis, &["limits.source_failures=0"]);
        binary.program = program;
        run(&mut binary.command(&["keys", "init"]));
        run(&mut binary.command(&["migrate"]));
        Self { _turn: turn, binary, database: database.to_owned() }
    }

    /// What is started from now on is of this release.
    #[cfg(feature = "previous-release")]
    pub fn upgrade(&mut self) {
        self.binary.program = this_release();
    }

    /// Adds a user with `PASSWORD`.
    pub fn add_user(&self, email: &str) {
        self.add(email, &[]);
    }

    /// Adds an administrator with `PASSWORD`.
    pub fn add_admin(&self, email: &str) {
        self.add(email, &["--admin"]);
    }

    fn add(&self, email: &str, options: &[&str]) {
        let input = self.binary.home.join(format!("password-{email}"));
        fs::write(&input, PASSWORD).unwrap();
        let mut command = self.binary.command(&[&["user", "add", "--email", email], options].concat());
        let output = command.stdin(fs::File::open(&input).unwrap()).stdout(Stdio::piped()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Locks every account until it is dropped.
    pub async fn lock_users(&self) -> DatabaseTransaction {
        let tx = peek::open(&self.database).await.begin().await.unwrap();
        let query = Statement::from_string(tx.get_database_backend(), "SELECT id FROM users FOR UPDATE");
        tx.query_all_raw(query).await.unwrap();
        tx
    }

    /// What a query counts in the database, as `n`.
    pub async fn count(&self, query: &str) -> i64 {
        peek::count(&self.database, query).await
    }

    /// A command of the program, with what the replicas are configured with.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        self.binary.command(args)
    }

    /// A copy of the key ring as it is now.
    pub fn keep_ring(&self) -> PathBuf {
        let kept = self.binary.home.join("kept.toml");
        fs::copy(self.binary.ring_file(), &kept).unwrap();
        kept
    }

    /// Puts a copy in the place of the key ring.
    pub fn put_ring_back(&self, kept: &Path) {
        fs::copy(kept, self.binary.ring_file()).unwrap();
    }

    /// The database with its keys, as a process of this fleet opens it.
    pub async fn open(&self) -> (Store, RootRing) {
        let config = Config::read(Layers::load(None, &self.binary.sets)).unwrap();
        let now = Timestamp::from_seconds(unix_seconds().cast_signed());
        let (store, _, roots) = open_with_roots(&config, Schema::UpToDate, now).await.unwrap();
        (store, roots)
    }

    /// Adds accounts that have a number and a second address each, and no password.
    pub async fn add_accounts(&self, count: usize) {
        let (store, _) = self.open().await;
        let tx = store.begin().await.unwrap();
        let now = Timestamp::from_seconds(unix_seconds().cast_signed());
        for n in 0..count {
            let account = Account {
                id: UserId::new(now),
                email: Email::parse(&format!("sealed{n}@example.com")).unwrap(),
                role: Role::User,
                blocked: false,
                security_version: 1,
                password_hash: None,
                phone: PhoneNumber::from_e164("+306912345678"),
                notice_email: Email::parse("second@example.com").ok(),
                create_time: now,
                role_time: now,
            };
            assert_eq!(tx.insert_account(&account).await.unwrap(), Swap::Done);
        }
        tx.commit().await.unwrap();
        store.close().await.unwrap();
    }

    /// Runs a statement behind the replicas' backs.
    pub async fn execute(&self, statement: &str) {
        peek::execute(&self.database, statement).await;
    }

    /// Holds the lease of whoever seals the audit log, as another replica would: then no replica that is looked at commits anything
    /// of its own accord. Until what is answered is dropped.
    pub async fn hold_seal(&self) -> JoinSet<()> {
        async fn hold(database: &str) {
            let end = (unix_seconds() + 8) * 1000;
            let held = format!("UPDATE audit_chain SET lease_holder = 'another', lease_end_time = {end}");
            peek::execute(database, &held).await;
        }
        hold(&self.database).await;
        let (mut holder, database) = (JoinSet::new(), self.database.clone());
        holder.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                hold(&database).await;
            }
        });
        holder
    }

    /// Starts a replica and waits until it is well.
    pub async fn replica(&self) -> Replica {
        self.replica_with(&[]).await
    }

    /// The same with something else configured.
    pub async fn replica_with(&self, sets: &[String]) -> Replica {
        let process = self.binary.serve(sets);
        let port = process.port;
        let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
        let twofa = TwoFaServiceClient::new(channel.clone());
        let replica = Replica {
            process,
            twofa,
            sessions: SessionServiceClient::new(channel.clone()),
            admin: AdminServiceClient::new(channel),
        };
        until("a new replica is well", Duration::from_secs(10), async || {
            replica.serves("countersign.v1.TwoFaService").await
        })
        .await;
        replica
    }
}

impl Replica {
    /// Whether the health service says SERVING.
    pub async fn serves(&self, service: &str) -> bool {
        let address = format!("http://127.0.0.1:{}", self.process.port);
        let Ok(channel) = Channel::from_shared(address).unwrap().connect().await else { return false };
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(channel).check(request).await.is_ok_and(|answer| answer.into_inner().status == 1)
    }

    pub async fn local_auth(&self, email: &str) -> Result<pb::LocalAuthResponse, Status> {
        self.local_auth_with(email, PASSWORD).await
    }

    pub async fn local_auth_with(&self, email: &str, password: &str) -> Result<pb::LocalAuthResponse, Status> {
        let request = pb::LocalAuthRequest { email: email.to_owned(), password: password.to_owned() };
        self.twofa.clone().local_auth(request).await.map(Response::into_inner)
    }

    /// The same by whoever comes again while the machine is busy.
    pub async fn patient_local_auth(&self, email: &str) -> pb::LocalAuthResponse {
        let begun = now();
        loop {
            match self.local_auth(email).await {
                Ok(answer) => return answer,
                Err(status) => {
                    let reason = reason::<()>(&Err(status));
                    assert!(BUSY.contains(&reason.as_str()) && begun.elapsed() < Duration::from_secs(30), "{reason}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    pub async fn enable(&self, token: &str) -> Result<pb::EnableResponse, Status> {
        self.twofa.clone().enable(with_token(pb::EnableRequest::default(), token)).await.map(Response::into_inner)
    }

    /// Answers a challenge; with a token when there is one.
    pub async fn verify(&self, token: &str, challenge_id: &str, code: &str) -> Result<pb::VerifyResponse, Status> {
        let request = pb::VerifyRequest { code: code.to_owned(), challenge_id: challenge_id.to_owned(), method: 0 };
        self.twofa.clone().verify(with_token(request, token)).await.map(Response::into_inner)
    }

    /// A step-up challenge.
    pub async fn step_up(&self, token: &str) -> Result<pb::CreateChallengeResponse, Status> {
        let request = with_token(pb::CreateChallengeRequest::default(), token);
        self.twofa.clone().create_challenge(request).await.map(Response::into_inner)
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<pb::RefreshSessionResponse, Status> {
        let request = pb::RefreshSessionRequest { refresh_token: refresh_token.to_owned() };
        self.sessions.clone().refresh_session(request).await.map(Response::into_inner)
    }

    /// Changes what is set of the policy.
    pub async fn update_settings(&self, admin: &str, settings: pb::Settings) -> Result<pb::Settings, Status> {
        let request = pb::UpdateSettingsRequest { settings: Some(settings), update_mask: None };
        let answer = self.admin.clone().update_settings(with_token(request, admin)).await?;
        Ok(answer.into_inner().settings.unwrap())
    }

    pub async fn status(&self, token: &str) -> Result<pb::GetTwoFaStatusResponse, Status> {
        let request = with_token(pb::GetTwoFaStatusRequest {}, token);
        self.twofa.clone().get_two_fa_status(request).await.map(Response::into_inner)
    }

    pub async fn disable(&self, token: &str, code: &str) -> Result<pb::DisableResponse, Status> {
        let request = pb::DisableRequest { code: code.to_owned(), ..pb::DisableRequest::default() };
        self.twofa.clone().disable(with_token(request, token)).await.map(Response::into_inner)
    }

    pub async fn generate(&self, token: &str, code: &str) -> Result<pb::GenerateBackupCodesResponse, Status> {
        let request = pb::GenerateBackupCodesRequest { code: code.to_owned(), ..Default::default() };
        self.twofa.clone().generate_backup_codes(with_token(request, token)).await.map(Response::into_inner)
    }

    pub async fn is_good(&self, access_token: &str) -> Result<bool, Status> {
        let request = pb::ValidateAccessTokenRequest { access_token: access_token.to_owned() };
        let answer = self.sessions.clone().validate_access_token(request).await?;
        Ok(answer.into_inner().status() == pb::TokenStatus::Authenticated)
    }

    /// Signs a user in and enrols an authenticator.
    pub async fn enrol(&self, email: &str) -> Enrolled {
        self.enrol_at(email, unix_seconds).await
    }

    /// The same, confirmed by the code of another time.
    pub async fn enrol_by(&self, email: &str, confirmed: u64) -> Enrolled {
        self.enrol_at(email, || confirmed).await
    }

    async fn enrol_at(&self, email: &str, confirmed: impl FnOnce() -> u64) -> Enrolled {
        let signed_in = self.patient_local_auth(email).await;
        let token = if signed_in.enrollment_required { &signed_in.enrollment_token } else { &signed_in.access_token };
        let enabled = self.enable(token).await.unwrap();
        let app = totp_rs::Totp::from_url(&enabled.otpauth_uri).unwrap();
        // The time of now is asked once it is needed: until here a busy machine may take a while.
        let confirmed = confirmed();
        let code = app.generate(confirmed).to_string();
        // New backup codes are hashed for it: where the machine is busy, it says so before anything is judged.
        let begun = now();
        let session = loop {
            match self.verify(token, &enabled.challenge_id, &code).await {
                Err(status) if reason::<()>(&Err(status.clone())) == "RATE_LIMITED" => {
                    assert!(begun.elapsed() < Duration::from_secs(20), "{status:?}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                answer => break answer.unwrap(),
            }
        };
        let (email, backup_codes) = (email.to_owned(), session.backup_codes.clone());
        Enrolled { email, app, backup_codes, session, refresh_token: signed_in.refresh_token, confirmed }
    }
}

impl Enrolled {
    /// The next code after the one that has confirmed the factor: it is accepted already.
    pub fn next_code(&self) -> String {
        self.app.generate(self.confirmed + 30).to_string()
    }
}

/// A request with a Bearer token, unless that is empty.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// The reason of an answer; "OK" when it is none of refusal.
pub fn reason<T>(answer: &Result<T, Status>) -> String {
    match answer {
        Ok(_) => "OK".to_owned(),
        Err(status) => status.get_details_error_info().map_or_else(|| format!("{status:?}"), |info| info.reason),
    }
}

/// Waits until something holds.
pub async fn until(what: &str, patience: Duration, holds: impl AsyncFn() -> bool) {
    let begun = now();
    while !holds().await {
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often each race is run.
pub fn rounds() -> usize {
    #[allow(clippy::disallowed_methods, reason = "whoever runs the suite says how long")]
    let rounds = std::env::var("FLEET_ROUNDS");
    rounds.map_or(3, |rounds| rounds.parse().unwrap())
}

#[allow(clippy::disallowed_methods, reason = "the processes keep the machine's time")]
pub fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[allow(clippy::disallowed_methods, reason = "processes are waited for in real time")]
pub fn now() -> Instant {
    Instant::now()
}
