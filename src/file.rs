//! Files with secrets: made for their owner alone, and refused when others could have changed them.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, bail, ensure};

/// Makes a directory, and those above it, for its owner alone; leaves one that is there as it is.
pub fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Makes a file with mode 0600 that was not there before, and has it on the disk before it returns.
pub fn create_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot make the file {}", path.display()))?;
    file.write_all(content)?;
    file.sync_all()?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Refuses a file of our own making that somebody else may read or write.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    let mode = mode(path)?;
    ensure!(
        mode & 0o077 == 0,
        "{} has mode {mode:04o}, so others may read or change it; remedy: chmod 600 {}",
        path.display(),
        path.display()
    );
    Ok(())
}

/// Reads a file that the operator has given. Refuses one that others may write; warns of one that all may read.
pub fn read_given(path: &Path) -> anyhow::Result<String> {
    let mode = mode(path)?;
    if mode & 0o022 != 0 {
        bail!("{} has mode {mode:04o}, so others may change it; remedy: chmod go-w {}", path.display(), path.display());
    }
    if mode & 0o004 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{mode:04o}"), "a file with secrets can be read by all");
    }
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o7777)
}
