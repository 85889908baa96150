//! Opens the database together with the key ring that fits it. Checks first, writes afterwards: whatever is wrong, nothing has
//! been written when it is told.

use std::{
    fs,
    io::ErrorKind,
    process::{Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};

use crate::{
    clock::Timestamp,
    config::{Config, Keys, RingSource},
    error::Error,
    file,
    seal::{KeyCheck, KeyRing, KeyState, KeyUse, RootRing, WrappedKey},
    secret::Secret,
    store::{self, Home, Look, SchemaStatus, Store},
};

/// What is done about a schema that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It is brought up to date.
    Migrate,
    /// As `database.auto_migrate` says.
    AsConfigured,
}

/// Opens the database with its keys, and makes ring and keys where none are there.
pub async fn open_store(config: &Config, schema: Schema, now: Timestamp) -> anyhow::Result<(Store, Arc<KeyRing>)> {
    let (store, ring, _) = open_with_roots(config, schema, now).await?;
    Ok((store, ring))
}

/// The same, with the root keys.
pub async fn open_with_roots(
    config: &Config,
    schema: Schema,
    now: Timestamp,
) -> anyhow::Result<(Store, Arc<KeyRing>, RootRing)> {
    let existing = read_ring(&config.keys)?;
    check(config, schema, existing.as_ref()).await?;
    let roots = match existing {
        Some(roots) => roots,
        None => {
            let roots = RootRing::generate(now)?;
            write_ring(&config.keys, &roots)?;
            roots
        }
    };
    // From here on one process at a time; what was found may have changed until this one's turn.
    let held = store::Schema::take(&config.database.address).await?;
    let known = held.look().key_checks().await?;
    fits(config, &roots, &known)?;
    open_keys(config, &roots, &held.look().data_keys().await?)?;
    held.migrate().await?;
    let home = Home::open(&config.database.address, config.database.max_connections).await?;
    let ring = Arc::new(KeyRing::default());
    let store = Store::new(home, Arc::clone(&ring));
    let keys = keep_keys(&store, &roots, &known, now).await.context("cannot keep the keys in the database")?;
    ring.hold(&roots, &keys)?;
    held.release().await?;
    Ok((store, ring, roots))
}

/// Finds whatever is wrong, and writes nothing.
async fn check(config: &Config, schema: Schema, ring: Option<&RootRing>) -> anyhow::Result<()> {
    let look = Look::at(&config.database.address).await?;
    let (known, keys) = match &look {
        Some(look) => (look.key_checks().await?, look.data_keys().await?),
        None => (Vec::new(), Vec::new()),
    };
    match ring {
        Some(ring) => {
            fits(config, ring, &known)?;
            open_keys(config, ring, &keys)?;
        }
        None => may_be_made(config, look.is_some())?,
    }
    if schema == Schema::AsConfigured && !config.database.auto_migrate {
        is_up_to_date(look.as_ref()).await?;
    }
    if let Some(look) = look {
        look.close().await?;
    }
    Ok(())
}

/// The state of the schema; None = there is no database.
pub async fn schema_status(config: &Config) -> anyhow::Result<Option<SchemaStatus>> {
    let Some(look) = Look::at(&config.database.address).await? else {
        return Ok(None);
    };
    let status = look.schema_status().await?;
    look.close().await?;
    Ok(Some(status))
}

/// Reads the key ring; None = its file is not there.
pub fn read_ring(keys: &Keys) -> anyhow::Result<Option<RootRing>> {
    match &keys.source {
        RingSource::Text(text) => RootRing::parse(text.expose()).context("keys.ring_text is not a key ring").map(Some),
        RingSource::Command(command) => {
            let text = Secret::new(printed_by(command)?);
            RootRing::parse(text.expose()).context("what keys.ring_command prints is not a key ring").map(Some)
        }
        RingSource::File { path, .. } if !path.exists() => Ok(None),
        RingSource::File { path, given } => {
            if !given {
                file::check_private(path)?;
            }
            RootRing::read(path).map(Some)
        }
    }
}

/// What a command prints. It is run without a shell, so that nothing in it is taken for another command.
fn printed_by(command: &str) -> anyhow::Result<String> {
    let mut words = command.split_whitespace();
    let program = words.next().context("keys.ring_command is empty")?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("keys.ring_command: {program} cannot be run"))?;
    ensure!(output.status.success(), "keys.ring_command has failed ({})", output.status);
    String::from_utf8(output.stdout).map_err(|_| anyhow::anyhow!("keys.ring_command prints what is no text"))
}

/// Writes a new key ring; refuses to write over one.
pub fn write_ring(keys: &Keys, ring: &RootRing) -> anyhow::Result<()> {
    let path = keys.file()?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        file::make_private_dir(parent)?;
    }
    ring.create(path)
}

fn fits(config: &Config, ring: &RootRing, known: &[KeyCheck]) -> anyhow::Result<()> {
    let Err(problems) = ring.verify(known) else {
        return Ok(());
    };
    bail!(
        "the key ring {} does not fit the database: {}; remedy: put back the ring that the database was used with",
        config.keys.source,
        problems.join("; ")
    )
}

/// Refuses a ring that a key of the database does not open with.
fn open_keys(config: &Config, ring: &RootRing, keys: &[WrappedKey]) -> anyhow::Result<()> {
    for key in keys.iter().filter(|key| key.state != KeyState::Destroyed) {
        ring.unwrap(key).with_context(|| {
            format!(
                "the key ring {} does not fit the database; remedy: put back the ring that the database was used with",
                config.keys.source
            )
        })?;
    }
    Ok(())
}

/// A ring is made only where nothing is that it could be the wrong one for.
fn may_be_made(config: &Config, has_database: bool) -> anyhow::Result<()> {
    let ring_file = &config.keys.source;
    ensure!(
        !has_database,
        "the key ring {ring_file} is not there, but the database is; remedy: put back the ring that the database was used \
         with, or for a new database run `countersign keys init`"
    );
    let is_empty = match fs::read_dir(&config.data_dir) {
        Ok(entries) => entries.flatten().all(|entry| file::is_draft(&entry.file_name())),
        Err(fault) if fault.kind() == ErrorKind::NotFound => true,
        Err(fault) => {
            let remedy = "remedy: let data_dir name a directory that can be used";
            return Err(fault).with_context(|| format!("cannot look into {}; {remedy}", config.data_dir.display()));
        }
    };
    ensure!(
        is_empty && config.keys.is_own(),
        "the key ring {ring_file} is not there; remedy: put it there, or make a new one with `countersign keys init`"
    );
    Ok(())
}

async fn is_up_to_date(found: Option<&Look>) -> anyhow::Result<()> {
    const REMEDY: &str = "remedy: run `countersign migrate`";
    let home = found.with_context(|| format!("there is no database yet; {REMEDY}"))?;
    let pending = home.schema_status().await?.pending;
    ensure!(pending.is_empty(), "migrations are pending ({}); {REMEDY}", pending.join(", "));
    Ok(())
}

/// Keeps what the ring is known by, and makes the data keys where there are none: those that the ring has brought, or new ones.
async fn keep_keys(
    store: &Store,
    roots: &RootRing,
    known: &[KeyCheck],
    now: Timestamp,
) -> anyhow::Result<Vec<WrappedKey>> {
    let kept = async {
        let mut keys = store.data_keys().await?;
        let is_new = keys.is_empty();
        if is_new {
            let make = |key_use| roots.make(key_use, KeyState::Active, now);
            keys = match roots.inherited() {
                [] => KeyUse::DATA.into_iter().map(make).collect::<anyhow::Result<_>>()?,
                inherited => inherited.iter().map(|key| roots.wrap(key, now)).collect::<anyhow::Result<_>>()?,
            };
        }
        let checks = roots.checks(&keys);
        let missing: Vec<_> = checks.iter().filter(|check| known.iter().all(|known| known.id != check.id)).collect();
        if !is_new && missing.is_empty() {
            return Ok(keys);
        }
        let tx = store.begin().await?;
        for check in missing {
            tx.insert_key_check(check).await?;
        }
        if is_new {
            for key in &keys {
                tx.insert_data_key(key).await?;
            }
        }
        tx.commit().await?;
        Ok(keys)
    };
    kept.await.map_err(Error::into_anyhow)
}
