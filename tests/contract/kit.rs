//! The verbs without a wire: a kit over a database of its own, with cheap hashes, a clock that stands where it is put, and an
//! ephemeral store that counts its calls.

use std::{
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use countersign::{
    app::{Schema, open_store, open_with_roots},
    clock::Timestamp,
    config::{Config, Layers},
    ephemeral::{
        DatabaseHash, EntryHash, Ephemeral, Kind, Memory, NewEntry, Newest, Payment, Shelf, SourceHash, SourceWindow,
        Taken, Try,
    },
    error::Error,
    flow::{self, Call, EnableRequest, Kit, NewUser, Outbox, Refusals, SignIn, Sources, VerifyRequest},
    hash::{Cost, Hasher},
    model::{Caller, Email, Origin, Role},
    seal::RootRing,
    secret::Secret,
    swap::Swap,
    token::{access::AccessTokens, keys::SigningKeys},
    wire::caller::Rules,
};
use http::{HeaderMap, header};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::peek;

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const PASSWORD: &str = "correct horse battery staple";
const CHEAP: Cost = Cost { memory: 8, passes: 1 };

/// The verbs of a service with some accounts.
pub struct Bench {
    pub kit: Kit,
    pub ephemeral: Arc<Counting>,
    pub roots: RootRing,
    rules: Rules,
    home: TempDir,
}

/// An ephemeral store that counts its calls.
pub struct Counting {
    inner: Arc<dyn Ephemeral>,
    calls: AtomicU64,
    meanwhile: Mutex<Option<Meanwhile>>,
}

/// What happens before an epoch is asked for, and the epoch that is known then.
type Meanwhile = (Pin<Box<dyn Future<Output = ()> + Send>>, Timestamp);

impl Bench {
    /// A bench with these accounts, all of which have the same password.
    pub async fn new(emails: &[&str]) -> Self {
        Self::over(Arc::new(Memory::new(10_000)), emails).await
    }

    /// The same over an ephemeral store of the caller's.
    pub async fn over(inner: Arc<dyn Ephemeral>, emails: &[&str]) -> Self {
        let home = temporary();
        copy(template(), home.path());
        let config = config(home.path());
        let (store, ring, roots) = open_with_roots(&config, Schema::AsConfigured, NOW).await.unwrap();
        let signing = SigningKeys::from_ring(&ring).unwrap();
        let hasher = Hasher::with_cost(1, CHEAP).unwrap();
        let settings = watch::Sender::new(store.settings().await.unwrap());
        let ephemeral = Arc::new(Counting { inner, calls: AtomicU64::new(0), meanwhile: Mutex::default() });
        let kit = Kit {
            store,
            ephemeral: Arc::clone(&ephemeral) as Arc<dyn Ephemeral>,
            ring,
            hasher,
            access: AccessTokens::new("issuer".to_owned(), "audience".to_owned(), signing),
            service_name: "Countersign".to_owned(),
            sources: Sources::new(None),
            refusals: Refusals::default(),
            sms: None,
            webhook: None,
            mail: None,
            outbox: Outbox::new().0,
            settings,
        };
        for email in emails {
            let password = Secret::new(PASSWORD.to_owned());
            let email = Email::parse(email).unwrap();
            let new = NewUser {
                service: "Countersign",
                email,
                password: &password,
                role: Role::User,
                phone: None,
                notice_email: None,
            };
            flow::add_user(&kit.store, &kit.hasher, new, &call(NOW)).await.unwrap();
        }
        Self { kit, ephemeral, roots, rules: Rules::of_this_release().unwrap(), home }
    }

    /// Who calls an rpc with a token, after its access rule.
    pub async fn admit(&self, rpc: &str, token: &str, now: Timestamp) -> Result<Caller, Error> {
        let mut headers = HeaderMap::new();
        if !token.is_empty() {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let path = format!("/countersign.v1.{rpc}");
        self.rules
            .find(&path)
            .unwrap_or_else(|| panic!("no rule for {path}"))
            .admit(&self.kit, &headers, &call(now))
            .await
    }
}

impl Bench {
    /// What a query counts, as `n`.
    pub async fn count(&self, query: &str) -> i64 {
        peek::count(&self.database(), query).await
    }

    /// Runs a statement behind the store's back.
    pub async fn execute(&self, statement: &str) {
        peek::execute(&self.database(), statement).await;
    }

    fn database(&self) -> String {
        peek::url(&config(self.home.path()).database.address)
    }

    /// Begins an enrolment with a session's token; answers its authenticator app.
    pub async fn enable(&self, token: &str) -> impl Fn(Timestamp) -> String + use<> {
        let caller = self.admit("TwoFaService/Enable", token, NOW).await.unwrap();
        let request = EnableRequest { method: None, phone_number: String::new(), label: String::new(), replaces: None };
        let enabled = flow::enable(&self.kit, &caller, request, &call(NOW)).await.unwrap();
        let key = totp_rs::Totp::from_url(enabled.shown.key().unwrap().uri.expose()).unwrap();
        move |now| key.generate(now.seconds().cast_unsigned()).to_string()
    }

    /// Enrols an authenticator in a session, and confirms it.
    pub async fn enrol(&self, token: &str) {
        let app = self.enable(token).await;
        let caller = self.admit("TwoFaService/Verify", token, NOW).await.unwrap();
        let request = VerifyRequest { code: app(NOW), challenge_id: String::new(), method: None };
        flow::verify(&self.kit, &caller, &request, &call(NOW)).await.unwrap();
    }

    /// The token of a session that the password alone gives.
    pub async fn token(&self, email: &str) -> String {
        let signed_in = flow::local_auth(&self.kit, email, &Secret::new(PASSWORD.to_owned()), &call(NOW)).await;
        let SignIn::Tokens { tokens, .. } = signed_in.unwrap() else { panic!("no factor yet") };
        tokens.access_token.expose().clone()
    }
}

impl Counting {
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Lets something happen before the epoch is asked for once.
    pub fn meanwhile(&self, happens: Pin<Box<dyn Future<Output = ()> + Send>>, epoch: Timestamp) {
        *self.meanwhile.lock().unwrap() = Some((happens, epoch));
    }

    fn count(&self) -> &dyn Ephemeral {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.as_ref()
    }
}

#[async_trait::async_trait]
impl Ephemeral for Counting {
    async fn open(&self, shelf: Shelf, entry: NewEntry, now: Timestamp) -> Result<(), Error> {
        self.count().open(shelf, entry, now).await
    }
    async fn take(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        self.count().take(shelf, hash, now).await
    }
    async fn find(&self, shelf: Shelf, hash: EntryHash, now: Timestamp) -> Result<Option<Taken>, Error> {
        self.count().find(shelf, hash, now).await
    }
    async fn take_newest(&self, shelf: Shelf, kinds: &[Kind], now: Timestamp) -> Result<Newest, Error> {
        self.count().take_newest(shelf, kinds, now).await
    }
    async fn save_code(&self, shelf: Shelf, hash: EntryHash, code: &[u8], now: Timestamp) -> Result<Swap, Error> {
        self.count().save_code(shelf, hash, code, now).await
    }
    async fn give_back(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        self.count().give_back(shelf, hash).await
    }
    async fn close(&self, shelf: Shelf, hash: EntryHash) -> Result<(), Error> {
        self.count().close(shelf, hash).await
    }
    async fn pay(&self, source: SourceHash, window: SourceWindow, now: Timestamp) -> Result<Payment, Error> {
        self.count().pay(source, window, now).await
    }
    async fn settle(&self, source: SourceHash, ended: Try, now: Timestamp) -> Result<(), Error> {
        self.count().settle(source, ended, now).await
    }
    async fn raise_epoch(&self, database: DatabaseHash, epoch: Timestamp) -> Result<Timestamp, Error> {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some((happens, epoch)) = meanwhile {
            happens.await;
            self.inner.raise_epoch(database, epoch).await?;
        }
        self.count().raise_epoch(database, epoch).await
    }
    async fn ping(&self) -> Result<(), Error> {
        self.count().ping().await
    }
    async fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.count().sweep(now).await
    }
}

/// A call at a moment.
pub fn call(now: Timestamp) -> Call {
    Call { now, origin: Origin::command_line() }
}

fn config(home: &Path) -> Config {
    Config::read(Layers::load(None, &[format!("data_dir={}", home.join("data").display())])).unwrap()
}

/// In memory where the machine has such a place: the disk is not what is looked at here.
fn temporary() -> TempDir {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() { tempfile::tempdir_in(shared).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to.join("data")).unwrap();
    for entry in std::fs::read_dir(from.join("data")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join("data").join(entry.file_name())).unwrap();
    }
}

/// An empty database with its ring, made once for all tests of the process.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<TempDir> = OnceLock::new();
    let make = || {
        let home = temporary();
        let config = config(home.path());
        let made = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime
                .block_on(async { open_store(&config, Schema::Migrate, NOW).await.unwrap().0.close().await.unwrap() });
        });
        made.join().unwrap();
        home
    };
    TEMPLATE.get_or_init(make).path()
}
