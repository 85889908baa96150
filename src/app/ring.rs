//! The root keys' way in and out: a file, the configuration, or what a command prints.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{process::Command, time::timeout};

use crate::{
    config::{Keys, RingSource},
    file,
    seal::RootRing,
    secret::Secret,
};

/// A command that prints the ring has so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the key ring, and warns of a file that others may read; None = its file is not there.
pub async fn read_ring(keys: &Keys) -> anyhow::Result<Option<RootRing>> {
    let (ring, warning) = reread_ring(keys).await?.unzip();
    if let Some(warning) = warning.flatten() {
        tracing::warn!("{warning}");
    }
    Ok(ring)
}

/// The same; the warning comes with the answer.
pub(super) async fn reread_ring(keys: &Keys) -> anyhow::Result<Option<(RootRing, Option<String>)>> {
    let (name, text) = match &keys.source {
        RingSource::Text(text) => ("keys.ring_text", text.expose().to_owned()),
        RingSource::Command(command) => ("what keys.ring_command prints", printed_by(command).await?),
        RingSource::File { path, .. } if !path.exists() => return Ok(None),
        RingSource::File { path, given } => {
            if !given {
                file::check_private(path)?;
            }
            return RootRing::read(path).map(Some);
        }
    };
    let text = Secret::new(text);
    let ring = RootRing::parse(text.expose()).with_context(|| format!("{name} is not a key ring"))?;
    Ok(Some((ring, None)))
}

/// What a command prints. It is run without a shell, so that nothing in it is taken for another command.
async fn printed_by(command: &str) -> anyhow::Result<String> {
    let mut words = command.split_whitespace();
    let program = words.next().context("keys.ring_command is empty")?;
    let mut run = Command::new(program);
    run.args(words).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    let output = timeout(PATIENCE, run.output()).await;
    let output = output.with_context(|| format!("keys.ring_command: {program} has not ended within {PATIENCE:?}"))?;
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

/// The ring file in the hands of the one process that may change it, until this is dropped.
pub struct RingDesk {
    path: PathBuf,
    _lock: File,
}

impl RingDesk {
    /// Takes it. What was read of the ring before is to be read anew.
    pub fn take(keys: &Keys) -> anyhow::Result<Self> {
        let path = keys.file()?;
        let path = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
        // The directory stays the same one when the file is written anew.
        let directory = path.parent().unwrap_or(Path::new("/"));
        let lock = File::open(directory).with_context(|| format!("cannot open {}", directory.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another process is changing the key ring {}; remedy: wait until it is done, and try again",
                path.display()
            ),
            Err(TryLockError::Error(fault)) => {
                Err(fault).with_context(|| format!("cannot take the lock of {}", directory.display()))
            }
        }
    }

    /// Writes another ring in its place.
    pub fn save(&self, ring: &RootRing) -> anyhow::Result<()> {
        ring.replace(&self.path)
    }
}
