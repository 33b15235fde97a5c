//! Where a user's files are (the XDG base directories), and how private files are written.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cavansite_core::store::sqlite::Durability;
use tempfile::NamedTempFile;

use crate::platform;

/// The directory for what a user keeps: the local CA of `dev`.
pub(crate) fn user_data() -> io::Result<PathBuf> {
    user_directory("XDG_DATA_HOME", ".local/share")
}

/// The directory for what comes and goes: the ready files of running servers.
pub(crate) fn user_state() -> io::Result<PathBuf> {
    user_directory("XDG_STATE_HOME", ".local/state")
}

fn user_directory(variable: &str, below_home: &str) -> io::Result<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let base = std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(absolute);
    let base = base.or_else(|| {
        std::env::home_dir()
            .filter(absolute)
            .map(|h| h.join(below_home))
    });
    match base {
        Some(base) => Ok(base.join("cavansite")),
        None => Err(io::Error::other(format!(
            "neither HOME nor {variable} is set: there is no directory for Cavansite's own files"
        ))),
    }
}

/// Writes a file whole or not at all, readable by its owner alone. Where it is to be durable, its
/// contents are synced before it has its name; the name is not.
pub(crate) fn write_private(
    path: &Path,
    contents: impl Read,
    durability: Durability,
) -> io::Result<()> {
    persist(temporary(path, contents)?, path, durability)
}

/// The same, readable by everybody.
pub(crate) fn write_public(
    path: &Path,
    contents: impl Read,
    durability: Durability,
) -> io::Result<()> {
    let file = temporary(path, contents)?;
    platform::allow_reading(file.path())?;
    persist(file, path, durability)
}

/// A file beside the one to be, with its contents.
fn temporary(path: &Path, mut contents: impl Read) -> io::Result<NamedTempFile> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".cavansite-")
        .tempfile_in(directory)?;
    io::copy(&mut contents, &mut file)?;
    Ok(file)
}

fn persist(file: NamedTempFile, path: &Path, durability: Durability) -> io::Result<()> {
    if durability == Durability::Synced {
        file.as_file().sync_all()?;
    }
    let (_, temporary) = file.keep()?;
    // Not tempfile's own, which goes past libc, where `cargo xtask crash` records the renames.
    let renamed = fs::rename(&temporary, path);
    if renamed.is_err() {
        // An error changes nothing for the caller, who is told of the first.
        let _ = fs::remove_file(&temporary);
    }
    renamed
}
