//! Files with secrets: made for their owner alone, and refused when others could have changed them.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::Path,
};

use anyhow::{Context, bail, ensure};

/// What the name of a file holds while it is being written.
const DRAFT: &str = ".draft-";

/// Whether a file is what was left of one that was being written when the process was cut off.
pub fn is_draft(name: &OsStr) -> bool {
    name.to_string_lossy().contains(DRAFT)
}

/// Makes a directory, and those above it, for its owner alone; leaves one that is there as it is.
pub fn make_private_dir(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the directory {}", path.display()))
}

/// Makes a file with mode 0600 that was not there before, and has it on the disk before it returns. It is there whole or not at
/// all, whatever happens meanwhile.
pub fn create_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!("{DRAFT}{}", std::process::id()));
    let made = write_private(Path::new(&draft), content).and_then(|()| Ok(fs::hard_link(&draft, path)?));
    // Whether or not it became the file, the draft has done its work.
    let _ = fs::remove_file(&draft);
    made.with_context(|| format!("cannot make the file {}", path.display()))?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

/// Writes another content into a file with secrets; it is the old one or the new one, whatever happens meanwhile. Whoever could read the
/// old one can read the new one. One process at a time may do this.
pub fn replace_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let path = fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!("{DRAFT}{}", std::process::id()));
    let draft = Path::new(&draft);
    let replace = || {
        let before = fs::metadata(&path)?;
        write_private(draft, content)?;
        let after = fs::metadata(draft)?;
        if (before.uid(), before.gid()) != (after.uid(), after.gid()) {
            chown(draft, Some(before.uid()), Some(before.gid())).context("its owner cannot be kept")?;
        }
        fs::set_permissions(draft, before.permissions())?;
        anyhow::Ok(fs::rename(draft, &path)?)
    };
    let made = replace();
    if made.is_err() {
        // What could not take its place is of no use.
        let _ = fs::remove_file(draft);
    }
    made.with_context(|| format!("cannot write the file {}", path.display()))?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    Ok(file.sync_all()?)
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

/// What was read from a file, and what its operator should know of it.
pub struct Given {
    /// The content.
    pub text: String,
    /// A warning: others may read it.
    pub warning: Option<String>,
}

/// Reads a file that the operator has given and that holds no secret. Refuses one that others may write.
pub fn read_public(path: &Path) -> anyhow::Result<String> {
    let mode = mode(path)?;
    if mode & 0o022 != 0 {
        bail!("{} has mode {mode:04o}, so others may change it; remedy: chmod go-w {}", path.display(), path.display());
    }
    let mut text = String::new();
    File::open(path)?.read_to_string(&mut text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text)
}

/// Reads a file with secrets that the operator has given. Refuses one that others may write; warns of one that all may read.
pub fn read_given(path: &Path) -> anyhow::Result<Given> {
    let text = read_public(path)?;
    let mode = mode(path)?;
    let shared = mode & 0o004 != 0;
    let warning =
        shared.then(|| format!("{} holds secrets and has mode {mode:04o}, so all may read it", path.display()));
    Ok(Given { text, warning })
}

fn mode(path: &Path) -> anyhow::Result<u32> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o7777)
}
