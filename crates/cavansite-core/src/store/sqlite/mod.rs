//! The embedded engine: SQLite, one file in the data directory.
//!
//! The layout and why it is so: docs/adr/0002-sqlite-layout.md. In short: one writer thread commits
//! in groups (`writer`); a send is one row at the end of a table, whose index is settled behind
//! (`settle`); what threads need to be written to is in the writer's memory (`state`), what
//! they need to be read from in the readers' (`cache`, `lists`). The lock on the directory is what
//! makes that memory sound: nobody else writes.
//!
//! `identities`, `threads`, `participants`, `messages` and `events` hold the SQL of their area.

mod cache;
mod checkpoint;
mod directory;
mod erase;
mod events;
#[cfg(feature = "fault-injection")]
mod fault;
mod identities;
mod lists;
mod messages;
mod participants;
mod queue;
mod read;
mod row;
mod schema;
mod settle;
mod state;
#[cfg(test)]
mod tests;
mod threads;
mod transaction;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use quick_cache::sync::Cache;
use rusqlite::Connection;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::Result;
use crate::events::EventSink;
use crate::limits::Limits;
use crate::model::{Identity, Installation, Timestamp, UserId};
use cache::ThreadCache;
use lists::ThreadLists;
use queue::{End, Outcome, Queue};
use read::Readers;
use settle::Unsettled;
use transaction::Batch;
use writer::Writer;

/// Keys in a run of the index: enough that many fall into one leaf, and few to read back.
const RUN_KEYS: usize = 32 * 1024;

/// Identities kept in memory, about 250 bytes each.
const IDENTITIES_MAX: u64 = 64 * 1024;

/// What a committed write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The machine's power may fail: every commit is synced before it is answered.
    Synced,
    /// Nothing is promised beyond the life of the process.
    None,
}

/// How to open a data directory.
pub struct SqliteOptions {
    /// The data directory; made where there is none.
    pub directory: PathBuf,
    /// What a committed write survives.
    pub durability: Durability,
    /// The bounds in force.
    pub limits: Limits,
    /// Where commit times come from.
    pub clock: Arc<dyn Clock>,
}

/// Why a data directory cannot be opened. Each says in one line what to do; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the directory.
    #[error(
        "the data directory {} is in use by another cavansite process: stop that one, or give \
         another --data directory",
        directory.display()
    )]
    Locked {
        /// The data directory.
        directory: PathBuf,
    },
    /// The file is no database of Cavansite's.
    #[error(
        "{} is not a Cavansite database: give another --data directory, or move the file away",
        file.display()
    )]
    Foreign {
        /// The file at fault.
        file: PathBuf,
    },
    /// A log lies where its database is missing or empty.
    #[error(
        "{} holds a log but its database is missing or empty: put {} back, or move the log away to \
         start anew",
        log.display(),
        database.display()
    )]
    LogAlone {
        /// The log.
        log: PathBuf,
        /// Where its database should be.
        database: PathBuf,
    },
    /// The database is ours and has no schema.
    #[error("{} holds no schema: restore the data directory from a backup", file.display())]
    NoSchema {
        /// The database.
        file: PathBuf,
    },
    /// A later version of Cavansite wrote the database.
    #[error(
        "{} was written by a newer Cavansite (schema {found}, this one knows {known}): start that \
         version or a newer one",
        file.display()
    )]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema that this program knows.
        known: i64,
    },
    /// The database is damaged.
    #[error(
        "{} is damaged ({source}): restore the data directory from a backup",
        file.display()
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What SQLite found.
        source: rusqlite::Error,
    },
    /// A file could not be read or written.
    #[error("the data directory cannot be used: {0}: check its owner, its rights and the disk")]
    Io(#[from] io::Error),
    /// SQLite could not open the database.
    #[error("the database cannot be opened: {0}: check the disk and the rights of its files")]
    Sqlite(#[from] rusqlite::Error),
}

/// What the writer and those who ask have in common.
struct Shared {
    queue: Queue,
    readers: Arc<Readers>,
    threads: ThreadCache,
    lists: ThreadLists,
    unsettled: Unsettled,
    identities: Cache<UserId, Identity>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    sink: OnceLock<Arc<dyn EventSink>>,
    groups: AtomicU64,
    requests: AtomicU64,
}

/// What the writer has done since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// Groups committed.
    pub groups: u64,
    /// Requests in them, those refused among them.
    pub requests: u64,
}

/// A data directory, opened and locked.
///
/// Dropping it is as safe as a crash: what was acknowledged is there at the next start, which has a
/// little more to read back than after [`SqliteStore::close`].
pub struct SqliteStore {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    ended: watch::Receiver<()>,
}

impl SqliteStore {
    /// Opens a data directory and starts its writer. Blocks for a few milliseconds; longer after a
    /// crash, by up to two runs of the index.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        Self::open_with(options, RUN_KEYS)
    }

    fn open_with(options: SqliteOptions, run_keys: usize) -> Result<Self, OpenError> {
        let SqliteOptions {
            directory,
            durability,
            limits,
            clock,
        } = options;
        directory::create(&directory)?;
        let lock = directory::lock(&directory)?;
        let connection = schema::open(&directory, durability)?;
        let database = directory::database(&directory);
        let memory = limits.thread_cache_bytes_max;
        let shared = Arc::new(Shared {
            queue: Queue::new(limits.write_queue_max),
            readers: Arc::new(Readers::new(database.clone(), limits.page_cache_bytes_max)),
            threads: ThreadCache::new(
                memory - memory / writer::STATE_SHARE - memory / writer::LISTS_SHARE,
            ),
            lists: ThreadLists::new(memory / writer::LISTS_SHARE),
            unsettled: Unsettled::default(),
            identities: crate::recent::cache(IDENTITIES_MAX),
            limits,
            clock,
            sink: OnceLock::new(),
            groups: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        });
        let writer = Writer::new(
            Arc::clone(&shared),
            connection,
            database.clone(),
            durability,
            run_keys,
        )
        .map_err(|error| schema::opening(&database, error))?;
        let (end, ended) = watch::channel(());
        let thread = std::thread::Builder::new()
            .name("cavansite-store".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let _ends = Ends { shared, lock, end };
                    writer.run();
                }
            })?;
        Ok(Self {
            shared,
            writer: Mutex::new(Some(thread)),
            ended,
        })
    }

    /// Stops taking requests, finishes what waits, settles the index and leaves all of it, synced,
    /// in the one database file. What is asked of the store afterwards is refused.
    pub async fn close(&self) {
        self.shared.queue.end(End::Close);
        self.ended().await;
    }

    /// Waits until the writer has ended, because it was told to or because it broke down. Nothing
    /// can be written from then on.
    pub async fn ended(&self) {
        // The writer holds the other end until it is through.
        let _ = self.ended.clone().changed().await;
    }

    /// What the writer has done so far: the size of its groups is the quotient.
    pub fn writes(&self) -> Writes {
        Writes {
            groups: self.shared.groups.load(Relaxed),
            requests: self.shared.requests.load(Relaxed),
        }
    }

    /// How many reads went to the database so far: all others were answered from memory.
    pub fn reads(&self) -> u64 {
        self.shared.readers.begun()
    }

    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> Outcome<T> + Send + 'static,
    {
        self.shared.queue.write(work).await
    }

    /// The one time that a statement reads.
    async fn read_time(&self, statement: &'static str) -> Result<Timestamp> {
        self.read(move |connection, _| {
            connection
                .query_row(statement, [], |columns| row::timestamp(columns, 0))
                .map_err(read::failed)
        })
        .await
    }

    async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &Shared) -> Result<T> + Send + 'static,
    {
        let shared = Arc::clone(&self.shared);
        self.shared
            .readers
            .read(move |connection| work(connection, &shared))
            .await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.shared.queue.end(End::Drop);
        let thread = self
            .writer
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // At most what was waiting; after it the directory's lock is free.
            let _ = thread.join();
        }
    }
}

/// What goes with the writer's thread, however that ends: requests that wait are refused, the
/// directory's lock is freed, who waits for the end is told.
struct Ends {
    shared: Arc<Shared>,
    #[expect(dead_code, reason = "held, not read")]
    lock: File,
    #[expect(dead_code, reason = "held, not read")]
    end: watch::Sender<()>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.shared.queue.abandon();
    }
}

/// Whether a directory has a database of ours, by looking alone. Refuses one that is somebody
/// else's, and a log that has lost its database: opening would too; this is for who writes beside
/// the database before.
pub fn recognise(directory: &Path) -> Result<bool, OpenError> {
    directory::look(&directory::database(directory)).map(|found| found == directory::Found::Ours)
}

/// The installation of a data directory, read beside a running server; `None` where none was
/// started yet. Blocks.
pub fn read_installation(directory: &Path) -> Result<Option<Installation>, OpenError> {
    let database = directory::database(directory);
    if directory::look(&database)? == directory::Found::Nothing {
        return Ok(None);
    }
    let connection =
        schema::open_for_reading(&database).map_err(|error| schema::opening(&database, error))?;
    schema::version(&connection, &database)?;
    identities::read_installation(&connection).map_err(|error| schema::opening(&database, error))
}
