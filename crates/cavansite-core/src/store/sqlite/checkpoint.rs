//! Copying the log into the database file, mostly beside the writer.
//!
//! A long log is copied by a thread of its own while commits go on. They add to the log meanwhile,
//! so that it never quite ends; when little is left the writer copies that itself, between two
//! commits, and the next commit begins the log anew. So no commit waits for more than a small
//! piece. The thread and its connection start when they are first needed.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::{Durability, schema};

/// Pages in the log from which it is copied (4 MiB).
const PAGES: i64 = 1000;

/// Pages not copied yet that the writer takes on itself.
const PAGES_LEFT: i64 = 128;

/// Pages in the log from which the writer copies all of it, so that the log stays bounded (32 MiB).
const PAGES_MAX: i64 = 8000;

/// Tells how long the log is and copies nothing.
const NOOP: &str = "PRAGMA wal_checkpoint(NOOP)";
/// Copies what no reader holds back.
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Copies all of it and empties the log's file.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Copies the log when it is due.
pub(super) struct Checkpointer {
    database: PathBuf,
    durability: Durability,
    thread: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl Checkpointer {
    /// Nothing runs yet.
    pub(super) fn new(database: PathBuf, durability: Durability) -> Self {
        Self {
            database,
            durability,
            thread: None,
        }
    }

    /// Has the log copied where it has become long. A failure is logged: the log is whole, and the
    /// next try copies the same pages again.
    pub(super) fn copy_if_due(&mut self, connection: &Connection) {
        if let Err(error) = self.try_copy_if_due(connection) {
            tracing::error!(%error, "copying the log into the database failed");
        }
    }

    fn try_copy_if_due(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let log = checkpoint(connection, NOOP)?;
        if log.pages < PAGES {
            return Ok(());
        }
        if log.pages - log.copied <= PAGES_LEFT || log.pages >= PAGES_MAX {
            return checkpoint(connection, PASSIVE).map(|_| ());
        }
        if self.thread.is_none() {
            self.thread = Some(self.start()?);
        }
        if let Some((wake, _)) = &self.thread {
            // Taken only when the thread waits for it; otherwise it is at it already.
            let _ = wake.try_send(());
        }
        Ok(())
    }

    fn start(&self) -> rusqlite::Result<(SyncSender<()>, JoinHandle<()>)> {
        let connection = schema::open_for_writing(&self.database, self.durability)?;
        let (wake, woken) = sync_channel(0);
        let thread = std::thread::Builder::new()
            .name("cavansite-log".to_owned())
            .spawn(move || copy(&connection, &woken))
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok((wake, thread))
    }

    /// Copies what there is, at rest.
    pub(super) fn copy(connection: &Connection) -> rusqlite::Result<()> {
        checkpoint(connection, PASSIVE).map(|_| ())
    }

    /// Copies all and empties the log's file; tells whether no reader was in the way.
    pub(super) fn empty(connection: &Connection) -> rusqlite::Result<bool> {
        checkpoint(connection, TRUNCATE).map(|log| log.complete)
    }

    /// Ends the thread and closes its connection.
    pub(super) fn stop(&mut self) {
        if let Some((wake, thread)) = self.thread.take() {
            drop(wake);
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        if let Err(error) = checkpoint(connection, PASSIVE) {
            tracing::error!(%error, "copying the log into the database failed");
        }
    }
}

/// What a checkpoint tells of the log.
struct Log {
    pages: i64,
    copied: i64,
    complete: bool,
}

fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<Log> {
    connection.prepare_cached(pragma)?.query_row([], |row| {
        Ok(Log {
            complete: row.get::<_, i64>(0)? == 0,
            pages: row.get(1)?,
            copied: row.get(2)?,
        })
    })
}
