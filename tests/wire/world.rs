//! A world of a test's own: the real service on a free port, its own database and ring, and a clock that the test moves.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use countersign::{
    app::{App, Schema, listen, open_store},
    clock::{Clock, ManualClock, Timestamp},
    config::Config,
    flow::{self, Call},
    hash::Cost,
    model::{Email, Origin},
    wire::pb::{
        self, admin_service_client::AdminServiceClient, session_service_client::SessionServiceClient,
        two_fa_service_client::TwoFaServiceClient,
    },
};
use tempfile::TempDir;
use tonic::{Code, Request, Response, Status, body::Body, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{ServiceExt, util::BoxCloneSyncService};

use crate::{peek, rest::Rest, stack};

/// What the clients of a world speak over.
pub type Wire = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Status>;

pub const ALICE: &str = "alice@example.com";
pub const BOB: &str = "bob@example.com";
pub const ADMIN: &str = "admin@example.com";
pub const PASSWORD: &str = "correct horse battery staple";
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// What a hash costs here: next to nothing, so that a busy machine does not make the service turn callers away.
pub const CHEAP: Cost = Cost { memory: 8, passes: 1 };

/// A world.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub twofa: TwoFaServiceClient<Wire>,
    pub sessions: SessionServiceClient<Wire>,
    pub admin: AdminServiceClient<Wire>,
    pub wire: Wire,
    /// gRPC, whatever the clients speak.
    pub channel: Channel,
    /// Where REST is served.
    pub http: SocketAddr,
    pub home: TempDir,
    pub config: Config,
    sets: Vec<String>,
    app: App,
}

/// A user's authenticator app.
#[derive(Clone)]
pub struct Authenticator {
    key: totp_rs::Totp,
    clock: Arc<ManualClock>,
}

impl World {
    /// A new world with the accounts ALICE, BOB and ADMIN.
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same with something else configured.
    pub async fn with(sets: &[&str]) -> Self {
        let (home, mut own) = stack::new_place();
        own.extend(sets.iter().map(|set| (*set).to_owned()));
        Self::start(home, own, Arc::new(ManualClock::at(NOW))).await
    }

    async fn start(home: TempDir, sets: Vec<String>, clock: Arc<ManualClock>) -> Self {
        let config = stack::config(home.path(), &sets);
        let listeners = listen(&config).await.unwrap();
        let app = App::start(&config, listeners, Arc::clone(&clock) as Arc<dyn Clock>, CHEAP).await.unwrap();
        let endpoint = Channel::from_shared(format!("http://{}", app.grpc_address())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let http = app.http_address().unwrap();
        let wire = if stack::speaks_rest() {
            Wire::new(Rest::new(http))
        } else {
            Wire::new(channel.clone().map_err(|fault| Status::from_error(fault.into())))
        };
        Self {
            clock,
            twofa: TwoFaServiceClient::new(wire.clone()).max_encoding_message_size(1 << 20),
            sessions: SessionServiceClient::new(wire.clone()),
            admin: AdminServiceClient::new(wire.clone()),
            wire,
            channel,
            http,
            home,
            config,
            sets,
            app,
        }
    }

    /// The same world after its service was stopped and started again.
    pub async fn restarted(self) -> Self {
        self.app.stop(Duration::ZERO).await.unwrap();
        Self::start(self.home, self.sets, self.clock).await
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        self.app.grpc_address()
    }

    pub fn clock_seconds(&self) -> u64 {
        self.clock.now().seconds().cast_unsigned()
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn local_auth(&self, email: &str, password: &str) -> Result<pb::LocalAuthResponse, Status> {
        let request = pb::LocalAuthRequest { email: email.to_owned(), password: password.to_owned() };
        self.twofa.clone().local_auth(request).await.map(Response::into_inner)
    }

    pub async fn sign_in(&self, email: &str) -> pb::LocalAuthResponse {
        self.local_auth(email, PASSWORD).await.unwrap()
    }

    pub async fn enable(&self, token: &str) -> Result<pb::EnableResponse, Status> {
        let request = with_token(pb::EnableRequest::default(), token);
        self.twofa.clone().enable(request).await.map(Response::into_inner)
    }

    pub async fn verify(&self, challenge_id: &str, code: &str) -> Result<pb::VerifyResponse, Status> {
        let request = answer(challenge_id, code);
        self.twofa.clone().verify(request).await.map(Response::into_inner)
    }

    pub async fn verify_as(&self, token: &str, challenge_id: &str, code: &str) -> Result<pb::VerifyResponse, Status> {
        let request = with_token(answer(challenge_id, code), token);
        self.twofa.clone().verify(request).await.map(Response::into_inner)
    }

    pub async fn verify_message(&self, token: &str, request: pb::VerifyRequest) -> Result<pb::VerifyResponse, Status> {
        self.twofa.clone().verify(optional_token(request, token)).await.map(Response::into_inner)
    }

    pub async fn backup_codes(&self, token: &str, code: &str, challenge_id: &str) -> Result<Vec<String>, Status> {
        let request = pb::GenerateBackupCodesRequest { code: code.to_owned(), challenge_id: challenge_id.to_owned() };
        let response = self.twofa.clone().generate_backup_codes(with_token(request, token)).await;
        response.map(|response| response.into_inner().backup_codes)
    }

    pub async fn disable(&self, token: &str, request: pb::DisableRequest) -> Result<String, Status> {
        let response = self.twofa.clone().disable(with_token(request, token)).await;
        response.map(|response| response.into_inner().message)
    }

    /// A step-up challenge.
    pub async fn step_up(&self, token: &str) -> Result<pb::CreateChallengeResponse, Status> {
        let request = with_token(pb::CreateChallengeRequest::default(), token);
        self.twofa.clone().create_challenge(request).await.map(Response::into_inner)
    }

    pub async fn change_password(&self, token: &str, request: pb::ChangePasswordRequest) -> Result<(), Status> {
        self.sessions.clone().change_password(with_token(request, token)).await.map(|_| ())
    }

    pub async fn set_password(&self, request: pb::SetPasswordRequest) -> Result<pb::SetPasswordResponse, Status> {
        self.sessions.clone().set_password(request).await.map(Response::into_inner)
    }

    pub async fn list_sessions(&self, token: &str) -> Vec<pb::Session> {
        let request = with_token(pb::ListSessionsRequest::default(), token);
        self.sessions.clone().list_sessions(request).await.unwrap().into_inner().sessions
    }

    pub async fn delete_session(&self, token: &str, session_id: &str) -> Result<(), Status> {
        let request = pb::DeleteSessionRequest { session_id: session_id.to_owned() };
        self.sessions.clone().delete_session(with_token(request, token)).await.map(|_| ())
    }

    /// A one-time password token, as the operator of the command line issues it.
    pub async fn password_token(&self, email: &str) -> String {
        let call = Call { now: self.clock.now(), origin: Origin::command_line() };
        let (store, _) = open_store(&self.config, Schema::AsConfigured, call.now).await.unwrap();
        let account = store.find_account_by_email(&Email::parse(email).unwrap()).await.unwrap().unwrap();
        let token = flow::issue_password_token(&store, account.id, "", &call).await.unwrap();
        store.close().await.unwrap();
        token.expose().clone()
    }

    /// Signs in, enrols an authenticator, and answers it with the whole answer of the confirmation.
    pub async fn enrol_whole(&self, email: &str) -> (Authenticator, pb::VerifyResponse) {
        let response = self.sign_in(email).await;
        let token = if response.enrollment_required { response.enrollment_token } else { response.access_token };
        let enabled = self.enable(&token).await.unwrap();
        let app = self.authenticator(&enabled);
        let confirmed = self.verify_as(&token, "", &app.code()).await.unwrap();
        (app, confirmed)
    }

    pub async fn status(&self, token: &str) -> Result<pb::GetTwoFaStatusResponse, Status> {
        let request = with_token(pb::GetTwoFaStatusRequest {}, token);
        self.twofa.clone().get_two_fa_status(request).await.map(Response::into_inner)
    }

    pub async fn refresh(&self, refresh_token: &str) -> Result<pb::RefreshSessionResponse, Status> {
        let request = pb::RefreshSessionRequest { refresh_token: refresh_token.to_owned() };
        self.sessions.clone().refresh_session(request).await.map(Response::into_inner)
    }

    pub async fn end(&self, token: &str, all: bool) -> Result<pb::EndSessionResponse, Status> {
        let request = with_token(pb::EndSessionRequest { all }, token);
        self.sessions.clone().end_session(request).await.map(Response::into_inner)
    }

    pub async fn validate(&self, access_token: &str) -> pb::ValidateAccessTokenResponse {
        let request = pb::ValidateAccessTokenRequest { access_token: access_token.to_owned() };
        self.sessions.clone().validate_access_token(request).await.unwrap().into_inner()
    }

    /// Whether the access token is good.
    pub async fn is_good(&self, access_token: &str) -> bool {
        self.validate(access_token).await.status() == pb::TokenStatus::Authenticated
    }

    /// Signs in and enrols an authenticator; answers it and the access token of the session.
    pub async fn enrol(&self, email: &str) -> (Authenticator, String) {
        let (app, confirmed) = self.enrol_whole(email).await;
        (app, confirmed.access_token)
    }

    /// The authenticator app that has scanned this.
    pub fn authenticator(&self, enabled: &pb::EnableResponse) -> Authenticator {
        let key = totp_rs::Totp::from_url(&enabled.otpauth_uri).unwrap();
        Authenticator { key, clock: Arc::clone(&self.clock) }
    }

    /// A challenge of a sign-in.
    pub async fn challenge(&self, email: &str) -> String {
        let response = self.sign_in(email).await;
        assert!(response.two_fa_required && response.access_token.is_empty());
        response.challenge_id
    }

    /// Signs in with a backup code, which is always another one; answers the access token.
    pub async fn sign_in_with(&self, email: &str, backup_code: &str) -> String {
        self.verify(&self.challenge(email).await, backup_code).await.unwrap().access_token
    }

    /// The policy, as an administrator reads it.
    pub async fn settings(&self, admin: &str) -> pb::Settings {
        let request = with_token(pb::GetSettingsRequest {}, admin);
        self.admin.clone().get_settings(request).await.unwrap().into_inner().settings.unwrap()
    }

    /// Changes what is set of the policy.
    pub async fn update_settings(&self, admin: &str, settings: pb::Settings) -> Result<pb::Settings, Status> {
        let request = pb::UpdateSettingsRequest { settings: Some(settings), update_mask: None };
        let answer = self.admin.clone().update_settings(with_token(request, admin)).await;
        answer.map(|answer| answer.into_inner().settings.unwrap())
    }

    /// How many audit rows of a kind there are.
    pub async fn audited(&self, kind: &str) -> i64 {
        self.count(&format!("SELECT COUNT(*) AS n FROM audit_events WHERE kind = '{kind}'")).await
    }

    /// What a query counts, as `n`.
    pub async fn count(&self, query: &str) -> i64 {
        peek::count(&peek::url(&self.config.database.address), query).await
    }

    /// Runs a statement behind the service's back.
    pub async fn execute(&self, statement: &str) {
        peek::execute(&peek::url(&self.config.database.address), statement).await;
    }
}

impl Authenticator {
    /// The code that the app shows now.
    pub fn code(&self) -> String {
        self.code_in(0)
    }

    /// The code that the app shows so many steps from now.
    pub fn code_in(&self, steps: i64) -> String {
        let seconds = self.clock.now().seconds() + steps * 30;
        self.key.generate(seconds.cast_unsigned()).to_string()
    }

    /// A code that is wrong now and for a while.
    pub fn wrong_code(&self) -> String {
        let right: Vec<_> = (-3..=3).map(|steps| self.code_in(steps)).collect();
        (0..).map(|n| format!("{n:06}")).find(|code| !right.contains(code)).unwrap()
    }
}

/// A request with a Bearer token.
pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

/// A request with a Bearer token, unless that is empty.
pub fn optional_token<T>(message: T, token: &str) -> Request<T> {
    if token.is_empty() { Request::new(message) } else { with_token(message, token) }
}

pub fn answer(challenge_id: &str, code: &str) -> pb::VerifyRequest {
    pb::VerifyRequest { code: code.to_owned(), challenge_id: challenge_id.to_owned(), method: 0 }
}

/// The reason of a refusal; every refusal has one, of our domain.
pub fn reason<T>(result: Result<T, Status>) -> String {
    let Err(status) = result else {
        panic!("this was expected to be refused");
    };
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "countersign.v1");
    info.reason
}

/// Code and details of a refusal.
pub fn refusal<T>(result: Result<T, Status>) -> (Code, ErrorDetails) {
    let Err(status) = result else {
        panic!("this was expected to be refused");
    };
    (status.code(), status.get_error_details())
}

/// How long a RATE_LIMITED caller is told to wait, in seconds.
pub fn retry_after<T>(result: Result<T, Status>) -> u64 {
    let (code, details) = refusal(result);
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(details.error_info().unwrap().reason, "RATE_LIMITED");
    details.retry_info().unwrap().retry_delay.unwrap().as_secs()
}
