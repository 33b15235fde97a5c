//! The content of deleted threads, erased behind the deletion in small steps.
//!
//! A step goes with a commit of the writer's, a larger one at rest, which comes sooner while there
//! is something to erase. Keys that an erasure waits for are settled without waiting for a full
//! run. The pages are overwritten (`secure_delete`); what the log still holds goes with its next
//! truncation, at rest.

use std::collections::VecDeque;

use rusqlite::{Connection, params};

use super::settle::Unsettled;
use crate::model::Timestamp;

/// Rows erased with one commit while requests wait.
const ROWS_PER_COMMIT: u16 = 32;

/// Rows erased in one commit at rest.
const ROWS_AT_REST: u16 = 512;

/// Deleted threads that a commit looks at, so that one whose keys wait holds up no other.
const LOOKED_AT_MAX: usize = 64;

/// The deleted threads whose content is still there.
pub(super) struct Erasing {
    threads: VecDeque<i64>,
    /// Whether rows went since the log was last emptied.
    in_log: bool,
}

/// What a commit erased.
#[derive(Clone, Copy)]
pub(super) enum Erased {
    /// There was nothing to do.
    Nothing,
    /// A piece of a thread.
    Piece,
    /// The last of the thread at that place.
    Thread(usize),
}

impl Erasing {
    /// The threads that a stop has left.
    pub(super) fn open(connection: &Connection) -> rusqlite::Result<Self> {
        let threads = connection
            .prepare(
                "SELECT thread FROM threads WHERE deleted_at IS NOT NULL AND erased_at IS NULL",
            )?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            threads,
            in_log: false,
        })
    }

    /// Whether all is erased.
    pub(super) fn is_done(&self) -> bool {
        self.threads.is_empty()
    }

    /// Whether the log may still hold what was erased.
    pub(super) fn in_log(&self) -> bool {
        self.in_log
    }

    /// The log was emptied.
    pub(super) fn left_log(&mut self) {
        self.in_log = false;
    }

    /// Whether a thread can only be erased once keys of its own are settled.
    pub(super) fn waits_for(&self, unsettled: &Unsettled) -> bool {
        let mut threads = self.threads.iter().take(LOOKED_AT_MAX);
        threads.any(|thread| unsettled.newest(*thread).is_some())
    }

    /// Erases a piece of the first thread that is settled, or else of the first one, inside the
    /// writer's transaction.
    pub(super) fn erase_some(
        &self,
        connection: &Connection,
        unsettled: &Unsettled,
        now: Timestamp,
        at_rest: bool,
    ) -> rusqlite::Result<Erased> {
        let mut threads = self.threads.iter().take(LOOKED_AT_MAX);
        let at = threads
            .position(|thread| unsettled.newest(*thread).is_none())
            .unwrap_or(0);
        let Some(&thread) = self.threads.get(at) else {
            return Ok(Erased::Nothing);
        };
        let count = if at_rest {
            ROWS_AT_REST
        } else {
            ROWS_PER_COMMIT
        };
        let keys: Vec<(i64, i64)> = connection
            .prepare_cached("SELECT version, row FROM message_index WHERE thread = ?1 LIMIT ?2")?
            .query_map(params![thread, count], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (version, row) in &keys {
            connection
                .prepare_cached("DELETE FROM messages WHERE row = ?1")?
                .execute(params![row])?;
            connection
                .prepare_cached("DELETE FROM message_index WHERE thread = ?1 AND version = ?2")?
                .execute(params![thread, version])?;
        }
        if keys.len() == usize::from(count) || unsettled.newest(thread).is_some() {
            return Ok(Erased::Piece);
        }
        // Who took part stays: it decides what they are answered.
        connection
            .prepare_cached(
                "UPDATE participants SET display_name = NULL, metadata = NULL, \
                 removed_topic = NULL, receipt_message = NULL, \
                 receipt_message_created_at = NULL, receipt_at = NULL WHERE thread = ?1",
            )?
            .execute(params![thread])?;
        connection
            .prepare_cached("UPDATE threads SET erased_at = ?2 WHERE thread = ?1")?
            .execute(params![thread, now.as_millis()])?;
        Ok(Erased::Thread(at))
    }

    /// Takes over what a synced commit did: what it erased, and which threads it deleted.
    pub(super) fn committed(&mut self, erased: Erased, deleted: Vec<i64>) {
        match erased {
            Erased::Nothing => {}
            Erased::Piece => self.in_log = true,
            Erased::Thread(at) => {
                self.in_log = true;
                self.threads.remove(at);
            }
        }
        self.threads.extend(deleted);
    }
}
