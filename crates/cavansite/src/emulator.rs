//! What makes `dev` an emulator: an access key that everybody knows, and data that goes away.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cavansite_core::clock::{Clock, Randomness};
use cavansite_core::model::{AccessKey, Installation, KeySlot};
use cavansite_core::secret::Secret;
use tempfile::TempDir;

use crate::platform;

/// The access key of every `dev` server, so that a connection string may stand in a test's source.
/// 64 bytes of text; connection strings carry it in base64. `serve` refuses it.
pub(crate) const WELL_KNOWN_ACCESS_KEY: &[u8; 64] =
    b"cavansite dev access key - known to everyone, never for servers!";

/// Bytes of a key that is made at random.
const KEY_BYTES: usize = 64;

/// A directory of `dev` in memory is used only where so much is free.
const FREE_BYTES_MIN: u64 = 512 * 1024 * 1024;

/// A directory younger than this may be about to be locked, and is not looked at by others.
const STALE_AGE_MIN: Duration = Duration::from_mins(1);

const DIRECTORY_PREFIX: &str = "cavansite-dev-";
const LOCK_FILE: &str = "in-use";

/// A new installation: keys from the random source, but for the emulator's primary access key.
pub(crate) fn new_installation(randomness: &dyn Randomness, emulator: bool) -> Installation {
    let random = |bytes: usize| {
        let mut key = vec![0; bytes];
        randomness.fill(&mut key);
        key
    };
    let access_key = |key: Vec<u8>| AccessKey {
        generation: 1,
        key: Secret::new(key),
    };
    let primary = if emulator {
        WELL_KNOWN_ACCESS_KEY.to_vec()
    } else {
        random(KEY_BYTES)
    };
    let mut resource = [0; 16];
    randomness.fill(&mut resource);
    Installation {
        resource: uuid::Builder::from_random_bytes(resource).into_uuid(),
        access_keys: [access_key(primary), access_key(random(KEY_BYTES))],
        token_key: Secret::new(random(KEY_BYTES)),
        derivation_key: Secret::new(random(KEY_BYTES)),
    }
}

/// Whether a key of the installation is the one that everybody knows.
pub(crate) fn has_well_known_key(installation: &Installation) -> bool {
    KeySlot::ALL
        .iter()
        .any(|slot| installation.access_key(*slot).key.expose() == WELL_KNOWN_ACCESS_KEY)
}

/// The private directory of a `dev` server without `--data`, removed when this is dropped. Its lock
/// tells it from those that killed servers left behind.
pub(crate) struct TemporaryDirectory {
    // Dropped in this order: the lock goes last.
    directory: TempDir,
    _lock: File,
}

impl TemporaryDirectory {
    /// Makes one, in memory where the system has a file system for that with room in it.
    pub(crate) fn create() -> io::Result<Self> {
        let mut last = None;
        for parent in parents() {
            match Self::create_in(&parent) {
                Ok(directory) => return Ok(directory),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("there is no directory for temporary files")))
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(DIRECTORY_PREFIX);
        platform::make_private(&mut builder);
        let directory = builder.tempdir_in(parent)?;
        let lock = File::create_new(directory.path().join(LOCK_FILE))?;
        lock.lock()?;
        Ok(Self {
            directory,
            _lock: lock,
        })
    }

    /// Where the data goes.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }
}

/// Where temporary directories may be, the best first.
fn parents() -> impl Iterator<Item = PathBuf> {
    let in_memory = [
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        Some(PathBuf::from("/dev/shm")),
    ];
    in_memory
        .into_iter()
        .flatten()
        .filter(|path| platform::free_bytes(path).is_some_and(|free| free >= FREE_BYTES_MIN))
        .chain([std::env::temp_dir()])
}

/// Removes the directories of `dev` servers that were killed: those whose lock nobody holds. What
/// belongs to other users cannot be opened and stays.
pub(crate) fn remove_stale_directories(clock: &dyn Clock) {
    for parent in parents() {
        let Ok(entries) = fs::read_dir(&parent) else {
            continue;
        };
        for entry in entries.flatten() {
            let ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.starts_with(DIRECTORY_PREFIX));
            if ours && is_stale(&entry.path(), clock) {
                let removed = fs::remove_dir_all(entry.path());
                tracing::debug!(path = %entry.path().display(), ok = removed.is_ok(),
                    "removed what a killed server left");
            }
        }
    }
}

fn is_stale(directory: &Path, clock: &dyn Clock) -> bool {
    let lock = File::options().write(true).open(directory.join(LOCK_FILE));
    let Ok(lock) = lock else {
        return false;
    };
    let made = lock.metadata().and_then(|metadata| metadata.modified());
    let made = made.ok().and_then(|made| {
        made.duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_millis()).ok())
    });
    let now = clock.now().as_millis();
    let age_min = i64::try_from(STALE_AGE_MIN.as_millis()).unwrap_or(i64::MAX);
    made.is_some_and(|made| now - made >= age_min) && lock.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Randomness for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(9);
        }
    }

    #[test]
    fn only_the_emulator_has_the_well_known_key() {
        assert!(has_well_known_key(&new_installation(&Counting, true)));
        assert!(!has_well_known_key(&new_installation(&Counting, false)));
    }

    #[test]
    fn a_new_installation_is_a_random_guid() {
        let resource = new_installation(&Counting, false).resource;
        assert_eq!(resource.get_version_num(), 4);
    }
}
