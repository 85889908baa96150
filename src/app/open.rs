//! Opens the database together with the key ring that fits it. Checks first, writes afterwards: whatever is wrong, nothing has
//! been written when it is told.

use std::{fs, io::ErrorKind, sync::Arc};

use anyhow::{Context, bail, ensure};

use super::ring::{read_ring, write_ring};
use crate::{
    clock::{Timestamp, steady_now},
    config::Config,
    error::Error,
    file,
    seal::{DataKey, KeyCheck, KeyRing, KeyState, KeyUse, RootRing, WrappedKey},
    store::{self, Home, Look, SchemaStatus, Store},
};

/// What is done about a schema that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It is brought up to date.
    Migrate,
    /// As `database.auto_migrate` says.
    AsConfigured,
    /// Nothing: it must be up to date.
    UpToDate,
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
    let existing = read_ring(&config.keys).await?;
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
    let begin = steady_now();
    let known = held.look().key_checks().await?;
    fits(config, &roots, &known, &held.look().data_keys().await?)?;
    held.migrate().await?;
    let home = Home::open(&config.database.address, config.database.max_connections).await?;
    let ring = Arc::new(KeyRing::default());
    let store = Store::new(home, Arc::clone(&ring));
    let keys = keep_keys(&store, &roots, &known, now).await.context("cannot keep the keys in the database")?;
    ring.hold(&roots, &keys)?;
    ring.fence().open_from(begin);
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
        Some(ring) => fits(config, ring, &known, &keys)?,
        None => may_be_made(config, look.is_some())?,
    }
    let must_be_up_to_date = match schema {
        Schema::Migrate => false,
        Schema::AsConfigured => !config.database.auto_migrate,
        Schema::UpToDate => true,
    };
    if must_be_up_to_date {
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

/// Refuses a ring that the database was not used with, or that a key of the database does not open with.
fn fits(config: &Config, ring: &RootRing, known: &[KeyCheck], keys: &[WrappedKey]) -> anyhow::Result<()> {
    let source = &config.keys.source;
    let remedy = "remedy: put back the ring that the database was used with";
    if let Err(problems) = ring.verify(known) {
        bail!("the key ring {source} does not fit the database: {}; {remedy}", problems.join("; "));
    }
    for key in keys.iter().filter(|key| key.state != KeyState::Destroyed) {
        ring.unwrap(key).with_context(|| format!("the key ring {source} does not fit the database; {remedy}"))?;
    }
    let was_wrapped = known.iter().find(|check| check.key_use == KeyUse::Root.as_str());
    match was_wrapped {
        Some(root) if keys.is_empty() => bail!(
            "the database was used with the root key {}, but the keys that it wraps are gone (table data_keys); remedy: restore them              from a backup",
            root.id
        ),
        Some(_) | None => Ok(()),
    }
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
                inherited => inherited.iter().map(|key| take_over(roots, key, now)).collect::<anyhow::Result<_>>()?,
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

/// A key of an older release's ring, wrapped. Whether that release has used it a moment ago is not known: it is taken for one that was.
fn take_over(roots: &RootRing, key: &DataKey, now: Timestamp) -> anyhow::Result<WrappedKey> {
    let wrapped = roots.wrap(key, now)?;
    let demote_time = (!key.is_active).then_some(now);
    Ok(WrappedKey { active_time: Some(key.create_time), demote_time, ..wrapped })
}
