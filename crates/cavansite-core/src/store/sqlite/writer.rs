//! The one writer: a thread of its own that owns the write connection and commits in groups.
//!
//! It takes all requests that wait, carries them out in one transaction, commits, and only then
//! shows the changes to readers and answers. There is no timer: while a commit is being synced the
//! next group gathers by itself. A request checks before it writes, so that one that is refused has
//! changed nothing and its neighbours go on.
//!
//! When a statement or the commit fails (I/O error, disk full), nobody knows what of the group is
//! on the disk. Every request of the group is answered with [`crate::Error::Store`], and everything
//! that the writer had in memory is dropped. Before it takes the next group it opens a new
//! connection beside the old one and commits a mark of its own. That commit overwrites the log's
//! frames that the failed one may have left, so a refused write cannot turn up later; until it
//! succeeds, every write is refused.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rusqlite::Connection;

use super::checkpoint::Checkpointer;
use super::erase::Erasing;
use super::queue::{End, Next, Request};
use super::settle::Settling;
use super::state::ThreadStates;
use super::transaction::{Batch, Transaction};
use super::{Durability, Shared, schema};
use crate::error::StoreFailure;
use crate::events::Event;

/// After so long without a write the writer settles what is left, checkpoints and erases.
const REST_AFTER: Duration = Duration::from_secs(2);

/// The same while there is something to erase: light traffic must not put it off.
const ERASE_AFTER: Duration = Duration::from_millis(250);

/// Requests that a group counts for, at the least, in settling keys that an erasure waits for: two
/// full runs are in after about sixty commits.
const SETTLE_TO_ERASE: usize = 512;

/// Keys settled in one commit at rest or at the end.
const SETTLE_AT_REST: usize = 4096;

/// The writer thread's own.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    database: PathBuf,
    durability: Durability,
    threads: ThreadStates,
    settling: Settling,
    erasing: Erasing,
    checkpointer: Checkpointer,
    /// Set after a failed commit, until a mark has been committed.
    in_doubt: bool,
    /// Whether there is something to do at rest.
    restless: bool,
}

impl Writer {
    /// A writer on an open connection; reads back what is not settled.
    pub(super) fn new(
        shared: Arc<Shared>,
        connection: Connection,
        database: PathBuf,
        durability: Durability,
        run_keys: usize,
    ) -> rusqlite::Result<Self> {
        schema::bound_pages(&connection, shared.limits.page_cache_bytes_max)?;
        let settling = Settling::open(&connection, &shared.unsettled, run_keys)?;
        let erasing = Erasing::open(&connection)?;
        let restless = shared.unsettled.len() > 0 || !erasing.is_done();
        Ok(Self {
            threads: ThreadStates::new(shared.limits.thread_cache_bytes_max / STATE_SHARE),
            shared,
            connection,
            checkpointer: Checkpointer::new(database.clone(), durability),
            database,
            durability,
            settling,
            erasing,
            in_doubt: false,
            restless,
        })
    }

    /// Serves the queue until its end.
    pub(super) fn run(mut self) {
        loop {
            let rest_after = if self.erasing.is_done() && !self.erasing.in_log() {
                REST_AFTER
            } else {
                ERASE_AFTER
            };
            let rest_after = self.restless.then_some(rest_after);
            match self.shared.queue.next(rest_after) {
                Next::Requests(requests) => {
                    self.restless = true;
                    self.serve(requests);
                }
                Next::Rest => self.rest(),
                Next::End(End::Drop) => return,
                Next::End(End::Close) => return self.finish(),
            }
        }
    }

    fn serve(&mut self, mut requests: Vec<Box<dyn Request>>) {
        let failed = self.commit(&mut requests).err().map(|error| {
            tracing::error!(%error, requests = requests.len(), "a group of writes failed");
            self.doubt();
            StoreFailure::new(error)
        });
        #[cfg(feature = "fault-injection")]
        let failed = failed.filter(|_| !super::fault::passes_for_done());
        for request in requests {
            request.answer(failed.as_ref());
        }
        self.threads.evict();
        self.shared.threads.evict();
        self.shared.lists.evict();
        if !self.in_doubt {
            self.checkpointer.copy_if_due(&self.connection);
        }
    }

    /// Carries out a group. On an error nothing of it stands, as far as anybody is told.
    fn commit(&mut self, requests: &mut Vec<Box<dyn Request>>) -> rusqlite::Result<()> {
        if self.in_doubt {
            self.recover()?;
        }
        let shared = Arc::clone(&self.shared);
        let unsettled = &shared.unsettled;
        let count = requests.len();
        let mut settles_for = count;
        if self.erasing.waits_for(unsettled) {
            self.settling.start_run(unsettled);
            settles_for = settles_for.max(SETTLE_TO_ERASE);
        }
        begin(&self.connection)?;
        let step = self
            .settling
            .write_some(&self.connection, unsettled, settles_for)?;
        let mut batch = Batch {
            threads: &mut self.threads,
            tx: Transaction::new(&self.connection, &shared, self.settling.newest_row()),
        };
        for request in requests.iter_mut() {
            request.work(&mut batch)?;
        }
        let Transaction { now, effects, .. } = batch.tx;
        let erased = self
            .erasing
            .erase_some(&self.connection, unsettled, now, false)?;
        #[cfg(feature = "fault-injection")]
        super::fault::answer_first(requests);
        commit(&self.connection)?;
        shared.groups.fetch_add(1, Relaxed);
        shared.requests.fetch_add(count as u64, Relaxed);
        self.settling.committed(unsettled, step, &effects);
        self.erasing.committed(erased, effects.deleted);
        for (thread, publication) in effects.publications {
            shared.threads.publish(thread, publication);
        }
        shared.lists.publish(effects.activities);
        for identity in effects.identities {
            shared
                .identities
                .insert(identity.id.clone(), identity.clone());
            if let Some(sink) = shared.sink.get() {
                sink.publish(Event::Identity(identity));
            }
        }
        if let Some(sink) = shared.sink.get() {
            if let Some(installation) = effects.access_keys {
                sink.publish(Event::AccessKeys(Box::new(installation)));
            }
            for (event, audience) in effects.events {
                sink.publish(Event::Thread { event, audience });
            }
        }
        Ok(())
    }

    /// What to believe after a failure: nothing.
    fn doubt(&mut self) {
        self.in_doubt = true;
        self.threads.clear();
        // Where SQLite has not rolled back by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "rolling back a failed group");
        }
    }

    /// Opens a new connection and commits a mark on it. The old one is closed after, so that the
    /// log's end stays known and what the failed commit left behind it is overwritten.
    fn recover(&mut self) -> rusqlite::Result<()> {
        let connection = schema::open_for_writing(&self.database, self.durability)?;
        schema::bound_pages(&connection, self.shared.limits.page_cache_bytes_max)?;
        connection.execute("UPDATE engine SET recoveries = recoveries + 1", [])?;
        self.connection = connection;
        self.in_doubt = false;
        tracing::info!("the store takes writes again");
        Ok(())
    }

    /// Settles, erases and checkpoints in small steps, until there is nothing left or a request
    /// comes.
    fn rest(&mut self) {
        while self.shared.queue.is_empty() {
            match self.rest_step() {
                Ok(true) => {}
                Ok(false) => {
                    self.restless = self.erasing.in_log();
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "settling at rest failed");
                    self.doubt();
                    return;
                }
            }
        }
    }

    /// One step; tells whether there is more.
    fn rest_step(&mut self) -> rusqlite::Result<bool> {
        if self.in_doubt {
            self.recover()?;
        }
        let shared = Arc::clone(&self.shared);
        let unsettled = &shared.unsettled;
        let settles = self.settling.start_run(unsettled);
        if !settles && self.erasing.is_done() {
            if self.erasing.in_log() {
                // Not waiting for a reader that needs the log: then it is done at the next rest.
                self.connection.busy_timeout(Duration::ZERO)?;
                let emptied = Checkpointer::empty(&self.connection);
                self.connection.busy_timeout(schema::BUSY_TIMEOUT)?;
                if emptied? {
                    self.erasing.left_log();
                }
            } else {
                Checkpointer::copy(&self.connection)?;
            }
            return Ok(false);
        }
        begin(&self.connection)?;
        let step = self
            .settling
            .write_some(&self.connection, unsettled, SETTLE_AT_REST / 2)?;
        let erased =
            self.erasing
                .erase_some(&self.connection, unsettled, shared.clock.now(), true)?;
        commit(&self.connection)?;
        self.settling.committed_at_rest(unsettled, step);
        self.erasing.committed(erased, Vec::new());
        self.checkpointer.copy_if_due(&self.connection);
        Ok(true)
    }

    /// Leaves the directory as a start likes it best: settled, in one file.
    fn finish(mut self) {
        self.shared.readers.close();
        self.checkpointer.stop();
        let settled = loop {
            if self.shared.unsettled.len() == 0 {
                break Ok(());
            }
            match self.rest_step() {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let closed = settled.and_then(|()| Checkpointer::empty(&self.connection));
        if let Err(error) = closed {
            tracing::error!(%error, "closing the store: the next start has to read more back");
        }
    }
}

/// The writer's threads take this part of `thread_cache_bytes_max`, lists of threads that; readers'
/// views take the rest.
pub(super) const STATE_SHARE: usize = 2;
pub(super) const LISTS_SHARE: usize = 8;

fn begin(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    Ok(())
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
