//! Reading beside the writer: read-only connections, opened as they are needed, on blocking
//! threads.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::Semaphore;

use super::cache::{Filling, ThreadFacts, ThreadView};
use super::row::{damaged, timestamp};
use super::state::{Counters, Members, ThreadRecord, deleted_to};
use super::{Shared, schema, settle};
use crate::chat::access::Membership;
use crate::error::{Error, Result, StoreFailure};
use crate::model::{Message, ThreadId, UserId, Version};

/// Connections, and so reads that run at the same time.
const READERS_MAX: usize = 4;

/// Reads that may wait for a connection before further ones are refused with 503.
const READS_WAITING_MAX: usize = 4096;

/// The read-only connections.
pub(super) struct Readers {
    database: PathBuf,
    page_cache_bytes_max: usize,
    idle: Mutex<Vec<Connection>>,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    begun: AtomicU64,
}

impl Readers {
    /// None is open yet.
    pub(super) fn new(database: PathBuf, page_cache_bytes_max: usize) -> Self {
        Self {
            database,
            page_cache_bytes_max,
            idle: Mutex::default(),
            free: Arc::new(Semaphore::new(READERS_MAX)),
            waiting: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
        }
    }

    /// How many reads have had a connection so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Does the work on a blocking thread with a connection.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let permit = {
            let _waits = self.wait()?;
            let free = Arc::clone(&self.free);
            free.acquire_owned()
                .await
                .map_err(|_| StoreFailure::new("the store is closed"))?
        };
        self.begun.fetch_add(1, Relaxed);
        let readers = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = match readers.idle().pop() {
                Some(connection) => connection,
                None => readers.open().map_err(failed)?,
            };
            let result = work(&connection);
            // One that failed is not used again.
            if !matches!(result, Err(Error::Store(_))) && !readers.free.is_closed() {
                readers.idle().push(connection);
            }
            result
        });
        read.await
            .unwrap_or_else(|_| Err(StoreFailure::new("a reader has stopped").into()))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = schema::open_for_reading(&self.database)?;
        schema::bound_pages(&connection, self.page_cache_bytes_max)?;
        Ok(connection)
    }

    /// Closes the connections that are at rest, and refuses further reads.
    pub(super) fn close(&self) {
        self.free.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Result<Waits<'_>> {
        if self.waiting.fetch_add(1, Relaxed) < READS_WAITING_MAX {
            return Ok(Waits(self));
        }
        self.waiting.fetch_sub(1, Relaxed);
        Err(StoreFailure::new("too many reads wait").into())
    }
}

/// A read that waits; counted until this is dropped, also when whoever asked has gone.
struct Waits<'a>(&'a Readers);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A failure of the engine in a read.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    Error::Store(StoreFailure::new(error))
}

/// One state of the database, until it is dropped.
pub(super) struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    /// Begins at the first statement that follows.
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(connection))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self
            .0
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]));
        if let Err(error) = ended {
            tracing::error!(%error, "ending a read");
        }
    }
}

/// A snapshot in which a thread is read by somebody who takes or took part in it.
pub(super) struct ReadThread<'c> {
    connection: &'c Connection,
    shared: &'c Shared,
    snapshot: Option<Snapshot<'c>>,
    pub(super) facts: ThreadFacts,
    pub(super) membership: Membership,
    view: Arc<ThreadView>,
    epoch: u64,
    counters: Counters,
}

impl<'c> ReadThread<'c> {
    /// Begins a snapshot and checks that the caller takes or took part. `waiting` is what the
    /// caller needs of the thread's keys that are not settled; they are taken before the snapshot,
    /// and completed with those of the rows that came in between.
    pub(super) fn begin(
        connection: &'c Connection,
        shared: &'c Shared,
        caller: &UserId,
        thread: ThreadId,
        waiting: impl FnOnce(i64) -> Vec<(i64, i64)>,
    ) -> Result<(Self, Vec<(i64, i64)>)> {
        let number: Option<i64> = connection
            .prepare_cached("SELECT thread FROM threads WHERE id = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row(params![thread.as_bytes()], |row| row.get(0))
                    .optional()
            })
            .map_err(failed)?;
        let number = number.ok_or(Error::ThreadNotFound)?;
        // The order of these six is what keeps memory and database together.
        let view = shared.threads.get_or_insert(thread);
        let epoch = view.epoch();
        let through = shared.unsettled.through();
        let mut newest = shared.unsettled.newest(number);
        let waiting = waiting(number);
        let snapshot = Snapshot::begin(connection).map_err(failed)?;

        let waiting = settle::with_tail(connection, number, through, waiting).map_err(failed)?;
        newest = newest.max(waiting.first().copied());
        let record = ThreadRecord::read(connection, thread)
            .map_err(failed)?
            .ok_or(Error::ThreadNotFound)?;
        if record.deleted {
            shared.threads.remove(thread, &view);
            return Err(deleted_to(connection, number, caller).map_err(failed)?);
        }
        let members = Members::read(connection, number).map_err(failed)?;
        let membership = match members.0.get(caller) {
            Some(member) => member.membership(),
            None => removed_membership(connection, number, caller)
                .map_err(failed)?
                .ok_or(Error::NotParticipant)?,
        };
        let counters = Counters::read(connection, number, newest)
            .map_err(failed)?
            .ok_or_else(|| failed(damaged(0, "a thread without messages")))?;
        let read = Self {
            connection,
            shared,
            snapshot: Some(snapshot),
            facts: ThreadFacts {
                record: Arc::new(record),
                members: Arc::new(members),
            },
            membership,
            view,
            epoch,
            counters,
        };
        Ok((read, waiting))
    }

    /// As [`ReadThread::begin`], for what only a present participant may ask.
    pub(super) fn begin_present(
        connection: &'c Connection,
        shared: &'c Shared,
        caller: &UserId,
        thread: ThreadId,
    ) -> Result<Self> {
        let (read, _) = Self::begin(connection, shared, caller, thread, |_| Vec::new())?;
        read.membership.require_present()?;
        Ok(read)
    }

    /// Ends the snapshot and begins another; returns the keys below `before` that wait, as
    /// [`ReadThread::begin`] does.
    pub(super) fn renew(&mut self, before: i64, limit: usize) -> Result<Vec<(i64, i64)>> {
        self.snapshot = None;
        let number = self.facts.record.number;
        let through = self.shared.unsettled.through();
        let waiting = self.shared.unsettled.of_thread(number, before, limit);
        self.snapshot = Some(Snapshot::begin(self.connection).map_err(failed)?);
        settle::with_tail(self.connection, number, through, waiting).map_err(failed)
    }

    /// Gives readers to come what was read: the thread, its people, and its newest messages,
    /// highest version first, all there are above `floor`.
    pub(super) fn fill(&self, newest: Vec<Arc<Message>>, floor: Option<i64>) {
        self.shared.threads.fill(
            self.facts.record.thread.id,
            &self.view,
            self.epoch,
            Filling {
                facts: self.facts.clone(),
                newest,
                top: self.counters.version,
                floor: floor.unwrap_or(self.counters.version),
                newest_created_at: self.counters.newest_created_at,
            },
        );
    }
}

/// The rights of somebody who was removed; `None` for a stranger.
fn removed_membership(
    connection: &Connection,
    thread: i64,
    user: &UserId,
) -> rusqlite::Result<Option<Membership>> {
    connection
        .prepare_cached(
            "SELECT share_history_time, removed_version FROM participants WHERE thread = ?1 \
             AND user = (SELECT user FROM users WHERE id = ?2) AND removed_version IS NOT NULL",
        )?
        .query_row(params![thread, user.as_str()], |row| {
            Ok(Membership {
                share_history_time: timestamp(row, 0)?,
                removed_at: Some(Version(row.get(1)?)),
            })
        })
        .optional()
}
