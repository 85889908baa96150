//! `keys`: makes a key ring, and lets keys come, take over, and go.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::{Subcommand, ValueEnum};

use super::{say, table};
use crate::{
    app::{self, RingDesk, Schema},
    clock::{Clock, SystemClock, Timestamp},
    config::{Config, RingSource},
    error::Error,
    flow::{
        Call,
        keys::{self, Broken},
    },
    model::Origin,
    seal::{KeyState, KeyUse, RootRing, WrappedKey},
    secret,
    store::Store,
    telemetry,
};

/// Live replicas hold a new key within seconds.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Subcommand)]
pub(super) enum Action {
    /// Makes a new key ring, for a new database
    Init {
        /// Prints it instead, in one line, for keys.ring_text or for what keys.ring_command reads
        #[arg(long)]
        print: bool,
    },
    /// Lists the root keys of the ring, without their secrets
    List,
    /// Shows every key, which replicas hold it, and how far values were sealed anew
    Status,
    /// Makes a new key, waits until every live replica holds it, and lets it take over
    Rotate {
        /// What it is for
        #[arg(value_name = "USE")]
        key_use: Rotated,
    },
    /// Lets a key take over that every live replica holds
    Promote(Which),
    /// Lets a key not be used any more that nothing needs
    Disable(Which),
    /// Takes `disable` back
    Enable(Which),
    /// Destroys a key for ever that nothing needs
    Destroy {
        /// The key
        #[arg(value_name = "ID")]
        id: String,
        /// Though there are values that it has sealed and that do not open with it: they were altered or moved, and are lost then
        #[arg(long)]
        give_up_broken: bool,
    },
    /// Wraps every key with the newest root key of the ring
    Rewrap,
    /// Takes a root key out of the ring that wraps nothing
    DropRoot(Which),
}

#[derive(clap::Args)]
pub(super) struct Which {
    /// The key
    #[arg(value_name = "ID")]
    id: String,
}

/// What can be rotated.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Rotated {
    /// What seals values in the stores
    Seal,
    /// What signs access tokens and the audit log
    Sign,
    /// What wraps the others, outside the database
    Root,
}

/// What the actions work with.
struct Desk<'a> {
    config: &'a Config,
    store: Store,
    roots: RootRing,
    /// For whoever changes the ring.
    ring: Option<RingDesk>,
    call: Call,
}

pub(super) async fn run(config: &Config, action: &Action) -> anyhow::Result<()> {
    telemetry::start(config)?;
    match action {
        Action::Init { print: true } => say(RootRing::generate(SystemClock.now())?.to_line().expose()),
        Action::Init { print: false } => init(config),
        Action::List => list(config).await,
        Action::Status
        | Action::Rotate { .. }
        | Action::Promote(_)
        | Action::Disable(_)
        | Action::Enable(_)
        | Action::Destroy { .. }
        | Action::Rewrap
        | Action::DropRoot(_) => {
            let desk = Desk::open(config, action).await?;
            let store = desk.store.clone();
            let done = Box::pin(desk.run(action)).await;
            store.close().await?;
            done
        }
    }
}

fn init(config: &Config) -> anyhow::Result<()> {
    let path = config.keys.file()?;
    let shown = path.display();
    ensure!(!path.exists(), "{shown} is there already; a ring is never written over");
    app::write_ring(&config.keys, &RootRing::generate(SystemClock.now())?)?;
    say(&format!(
        "Made the key ring {shown}. Keep a copy apart from the database: without it the database cannot be used."
    ))
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let source = &config.keys.source;
    let ring = app::read_ring(&config.keys).await?;
    let ring = ring.with_context(|| format!("there is no key ring {source}; remedy: countersign keys init"))?;
    let mut rows = vec![["ID", "USE", "CHECK VALUE"].map(str::to_owned).to_vec()];
    for root in ring.roots() {
        rows.push(vec![root.id.clone(), KeyUse::Root.as_str().to_owned(), secret::to_text(&root.check_value())]);
    }
    say(&table(&rows))
}

impl<'a> Desk<'a> {
    async fn open(config: &'a Config, action: &Action) -> anyhow::Result<Self> {
        let is_file = matches!(config.keys.source, RingSource::File { .. });
        let changes_ring = is_file
            && matches!(action, Action::Rotate { key_use: Rotated::Root } | Action::Rewrap | Action::DropRoot(_));
        // Before the ring is read: what is written back is what was read, and one key more or less.
        let ring = changes_ring.then(|| RingDesk::take(&config.keys)).transpose()?;
        let machine = SystemClock.now();
        let (store, _, roots) = app::open_with_roots(config, Schema::UpToDate, machine).await?;
        let now = store.clock(machine).await.map_err(Error::into_anyhow)?;
        let call = Call { now, origin: Origin::command_line() };
        Ok(Self { config, store, roots, ring, call })
    }

    /// What all processes take for the time.
    async fn now(&self) -> anyhow::Result<Timestamp> {
        self.store.clock(SystemClock.now()).await.map_err(Error::into_anyhow)
    }

    async fn run(mut self, action: &Action) -> anyhow::Result<()> {
        let (store, call) = (&self.store, &self.call);
        match action {
            Action::Status => self.status().await,
            Action::Rotate { key_use: Rotated::Root } => self.rotate_root().await,
            Action::Rotate { key_use: Rotated::Seal } => self.rotate(KeyUse::Seal).await,
            Action::Rotate { key_use: Rotated::Sign } => self.rotate(KeyUse::Sign).await,
            Action::Promote(Which { id }) => {
                keys::promote_key(store, id, call, call.now).await.map_err(Error::into_anyhow)?;
                say(&format!("{id} is active. What older keys have made is read as before."))
            }
            Action::Disable(Which { id }) => {
                keys::disable_key(store, id, call, call.now).await.map_err(Error::into_anyhow)?;
                say(&format!("{id} is not used any more. countersign keys enable {id} takes that back."))
            }
            Action::Enable(Which { id }) => {
                keys::enable_key(store, id, call).await.map_err(Error::into_anyhow)?;
                say(&format!("{id} is readable again."))
            }
            Action::Destroy { id, give_up_broken } => {
                let broken = if *give_up_broken { Broken::GiveUp } else { Broken::Keep };
                keys::destroy_key(store, id, broken, call, call.now).await.map_err(Error::into_anyhow)?;
                say(&format!("{id} is gone."))
            }
            Action::Rewrap => {
                let count = keys::rewrap(store, &self.roots, call, call.now).await.map_err(Error::into_anyhow)?;
                say(&format!("{count} keys were wrapped anew; all are wrapped by {}.", self.roots.newest()?.id))
            }
            Action::DropRoot(Which { id }) => self.drop_root(id).await,
            Action::Init { .. } | Action::List => Ok(()),
        }
    }

    async fn rotate(&self, key_use: KeyUse) -> anyhow::Result<()> {
        let made = keys::make_key(&self.store, &self.roots, key_use, &self.call).await;
        let id = made.map_err(Error::into_anyhow)?;
        say(&format!("Made {id}."))?;
        let keys = self.store.data_keys().await.map_err(Error::into_anyhow)?;
        let old = keys.iter().find(|key| key.key_use == key_use && key.state == KeyState::Active);
        let old = old.map_or("ID", |key| key.id.as_str());
        self.wait_until_held(&id).await?;
        if key_use == KeyUse::Sign {
            return say(&format!(
                "Every live replica holds it, and it is in the JWKS. Those who check tokens by the JWKS have five minutes to read it; a minute \
                 after that:\n  \
                 countersign keys promote {id}"
            ));
        }
        let now = self.now().await?;
        let call = Call { now, ..self.call.clone() };
        keys::promote_key(&self.store, &id, &call, now).await.map_err(Error::into_anyhow)?;
        say(&format!(
            "{id} is active. A running service seals the values of older keys anew: countersign keys status. Eleven \
             minutes from now, when that is done:\n  countersign keys destroy {old}"
        ))
    }

    async fn rotate_root(&mut self) -> anyhow::Result<()> {
        let Some(ring) = &self.ring else {
            bail!(
                "the key ring is not in a file; add what `countersign keys init --print` prints to it (with a space between), restart \
                 every replica, run `countersign keys rewrap`, and take the old key out of it"
            );
        };
        let old: Vec<_> = self.roots.roots().iter().map(|root| root.id.clone()).collect();
        let id = self.roots.add(SystemClock.now())?;
        ring.save(&self.roots)?;
        say(&format!("Put the root key {id} into {}.", self.config.keys.source))?;
        self.wait_until_held(&id).await?;
        let now = self.now().await?;
        let count = keys::rewrap(&self.store, &self.roots, &self.call, now).await.map_err(Error::into_anyhow)?;
        say(&format!("{count} keys are wrapped by it."))?;
        for id in old {
            self.drop_root(&id).await?;
        }
        Ok(())
    }

    async fn drop_root(&mut self, id: &str) -> anyhow::Result<()> {
        let ring = self
            .ring
            .as_ref()
            .context("keys.ring_text and keys.ring_command are not written: take the key out where they are from")?;
        keys::must_wrap_nothing(&self.store, id).await.map_err(Error::into_anyhow)?;
        self.roots.drop_root(id)?;
        ring.save(&self.roots)?;
        say(&format!(
            "Took the root key {id} out of {}. Copies of the ring with it alone are of no use any more.",
            self.config.keys.source
        ))
    }

    async fn wait_until_held(&self, id: &str) -> anyhow::Result<()> {
        let end = self.now().await?.plus(PATIENCE);
        loop {
            let now = self.now().await?;
            let lacking = keys::lacking(&self.store, id, now).await.map_err(Error::into_anyhow)?;
            if lacking.is_empty() {
                return Ok(());
            }
            ensure!(
                now < end,
                "{} live replicas do not hold {id} after a minute ({}); see their logs, and go on with countersign keys promote {id} \
                 (a root key: keys rewrap)",
                lacking.len(),
                lacking.join(", ")
            );
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    async fn status(&self) -> anyhow::Result<()> {
        let status = keys::key_status(&self.store, self.call.now).await.map_err(Error::into_anyhow)?;
        let header = ["ID", "USE", "STATE", "MADE", "ACTIVE SINCE", "WRAPPED BY", "HELD BY"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let all = status.replicas.len();
        for key in &status.keys {
            let holders = status.replicas.iter().filter(|replica| replica.held.holds.contains(&key.id)).count();
            rows.push(row(key, &format!("{holders} of {all}")));
        }
        say(&table(&rows))?;
        if all == 0 {
            say("\nNo replica is running.")?;
        }
        if status.columns.is_empty() {
            return say("\nEvery sealed value is sealed by the active key.");
        }
        let mut rows = vec![["VALUES", "SEALED BY", "TO BE SEALED ANEW"].map(str::to_owned).to_vec()];
        for column in status.columns {
            rows.push(vec![column.column.name().to_owned(), column.key_id, column.left.to_string()]);
        }
        say(&format!("\n{}", table(&rows)))
    }
}

fn row(key: &WrappedKey, held: &str) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or("-".to_owned(), Timestamp::to_rfc3339);
    let is_gone = key.state == KeyState::Destroyed;
    vec![
        key.id.clone(),
        key.key_use.as_str().to_owned(),
        key.state.as_str().to_owned(),
        time(Some(key.create_time)),
        time(key.active_time),
        if is_gone { "-".to_owned() } else { key.root_id.clone() },
        held.to_owned(),
    ]
}
