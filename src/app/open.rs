//! Opens the database together with the key ring that fits it. Checks first, writes afterwards: whatever is wrong, nothing has
//! been written when it is told.

use std::{fs, io::ErrorKind, sync::Arc};

use anyhow::{Context, bail, ensure};

use crate::{
    clock::Timestamp,
    config::{Config, Keys},
    error::Error,
    file,
    seal::{KeyCheck, KeyRing},
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

/// Opens the database with its ring, and makes both where neither is there.
pub async fn open_store(config: &Config, schema: Schema, now: Timestamp) -> anyhow::Result<(Store, Arc<KeyRing>)> {
    let existing = read_ring(&config.keys)?;
    check(config, schema, existing.as_ref()).await?;
    let ring = match existing {
        Some(ring) => ring,
        None => {
            let ring = KeyRing::generate(now)?;
            write_ring(&config.keys, &ring)?;
            ring
        }
    };
    // From here on one process at a time; what was found may have changed until this one's turn.
    let held = store::Schema::take(&config.database.address).await?;
    let known = held.look().key_checks().await?;
    fits(config, &ring, &known)?;
    held.migrate().await?;
    let home = Home::open(&config.database.address, config.database.max_connections).await?;
    let ring = Arc::new(ring);
    let store = Store::new(home, Arc::clone(&ring));
    remember_keys(&store, &ring, &known).await.context("cannot keep the check values of the key ring")?;
    held.release().await?;
    Ok((store, ring))
}

/// Finds whatever is wrong, and writes nothing.
async fn check(config: &Config, schema: Schema, ring: Option<&KeyRing>) -> anyhow::Result<()> {
    let look = Look::at(&config.database.address).await?;
    let known = match &look {
        Some(look) => look.key_checks().await?,
        None => Vec::new(),
    };
    match ring {
        Some(ring) => fits(config, ring, &known)?,
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

/// Reads the key ring; None = the file is not there.
pub fn read_ring(keys: &Keys) -> anyhow::Result<Option<KeyRing>> {
    if !keys.ring_file.exists() {
        return Ok(None);
    }
    if !keys.given {
        file::check_private(&keys.ring_file)?;
    }
    KeyRing::read(&keys.ring_file).map(Some)
}

/// Writes a new key ring; refuses to write over one.
pub fn write_ring(keys: &Keys, ring: &KeyRing) -> anyhow::Result<()> {
    if let Some(parent) = keys.ring_file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        file::make_private_dir(parent)?;
    }
    ring.create(&keys.ring_file)
}

fn fits(config: &Config, ring: &KeyRing, known: &[KeyCheck]) -> anyhow::Result<()> {
    let Err(problems) = ring.verify(known) else {
        return Ok(());
    };
    bail!(
        "the key ring {} does not fit the database: {}; remedy: put back the ring that the database was used with",
        config.keys.ring_file.display(),
        problems.join("; ")
    )
}

/// A ring is made only where nothing is that it could be the wrong one for.
fn may_be_made(config: &Config, has_database: bool) -> anyhow::Result<()> {
    let ring_file = config.keys.ring_file.display();
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
        is_empty && !config.keys.given,
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

async fn remember_keys(store: &Store, ring: &KeyRing, known: &[KeyCheck]) -> anyhow::Result<()> {
    let checks = ring.checks();
    let new: Vec<_> = checks.iter().filter(|check| known.iter().all(|known| known.id != check.id)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let write = async {
        let tx = store.begin().await?;
        for check in new {
            tx.insert_key_check(check).await?;
        }
        tx.commit().await
    };
    write.await.map_err(Error::into_anyhow)
}
