//! Where a user's files are (the XDG base directories), and how private files are written.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

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

/// Writes a file whole or not at all, readable by its owner alone.
pub(crate) fn write_private(path: &Path, mut contents: impl Read) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".cavansite-")
        .tempfile_in(directory)?;
    io::copy(&mut contents, &mut file)?;
    file.persist(path)?;
    Ok(())
}

/// Writes a file whole or not at all, readable by everybody.
pub(crate) fn write_public(path: &Path, contents: impl Read) -> io::Result<()> {
    write_private(path, contents)?;
    platform::allow_reading(path)
}
