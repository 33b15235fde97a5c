//! The data directory: made for its owner alone, held under a lock, looked at before it is touched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::schema::APPLICATION_ID;
use super::{Durability, OpenError};

/// The database's file name in the data directory.
const DATABASE: &str = "cavansite.db";

/// The name of its log, which SQLite gives it.
const LOG: &str = "cavansite.db-wal";

/// The name under which a new database is made, before it gets its own.
const NEW_DATABASE: &str = "cavansite.db.new";

/// The file whose lock says that an engine has the directory.
const LOCK: &str = "cavansite.lock";

/// Where the database of that directory is.
pub(super) fn database(directory: &Path) -> PathBuf {
    directory.join(DATABASE)
}

/// Makes the directory where there is none, readable by its owner alone.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Takes the directory's lock, which lasts as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK);
    let file = private().create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
            directory: directory.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Makes a database by filling a new file and giving it its name once it is whole and synced.
pub(super) fn create_database(
    directory: &Path,
    durability: Durability,
    fill: impl FnOnce(&Path) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let new = directory.join(NEW_DATABASE);
    private().create(true).truncate(true).open(&new)?;
    let synced = durability == Durability::Synced;
    let filled = fill(&new).and_then(|()| {
        if synced {
            File::open(&new)?.sync_all()?;
        }
        Ok(())
    });
    if let Err(error) = filled {
        // The next start would make it anew; on a full disk its pages are better free.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    if synced {
        // Before the database has its name: with it, no later start comes here again.
        sync_names_above(directory)?;
    }
    fs::rename(&new, database(directory))?;
    if synced {
        sync_names(directory)?;
    }
    Ok(())
}

/// Syncs a log that a process left which was killed: what is read from it may not be on the disk
/// yet, and is as good as acknowledged once it is shown.
pub(super) fn sync_log(directory: &Path) -> io::Result<()> {
    match File::open(directory.join(LOG)) {
        Ok(log) if log.metadata()?.len() > 0 => log.sync_all(),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Syncs the names in a directory. Systems other than Unix do that themselves.
pub(super) fn sync_names(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Syncs the directory's own name, and those of the directories above, which may be as new.
fn sync_names_above(directory: &Path) -> io::Result<()> {
    for above in std::path::absolute(directory)?.ancestors().skip(1) {
        match sync_names(above) {
            // One that may not be read was not made by this user, so its names are not new.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// What stands where the database should be.
#[derive(PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty file.
    Nothing,
    /// A database of ours.
    Ours,
}

/// Looks at the first bytes of the database file, without SQLite, which might change it.
pub(super) fn look(database: &Path) -> Result<Found, OpenError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    const APPLICATION_ID_AT: usize = 68;
    let mut header = Vec::with_capacity(100);
    match File::open(database) {
        Ok(file) => file.take(100).read_to_end(&mut header)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error.into()),
    };
    if header.is_empty() {
        return nothing(database);
    }
    let application = header.get(APPLICATION_ID_AT..APPLICATION_ID_AT + 4);
    if header.starts_with(MAGIC) && application == Some(&APPLICATION_ID.to_be_bytes()) {
        Ok(Found::Ours)
    } else {
        Err(OpenError::Foreign {
            file: database.to_owned(),
        })
    }
}

/// No database is there. A log that is would be replayed into the one to be made: refused.
fn nothing(database: &Path) -> Result<Found, OpenError> {
    let log = database.with_file_name(LOG);
    match fs::metadata(&log) {
        Ok(found) if found.len() > 0 => Err(OpenError::LogAlone {
            log,
            database: database.to_owned(),
        }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(Found::Nothing),
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
