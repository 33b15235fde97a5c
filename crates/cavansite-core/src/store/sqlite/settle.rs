//! The index (thread, version) -> row, settled behind the sends.
//!
//! A send writes its row at the end of `messages` and nothing else. Its key waits here. When a run
//! of keys is full it is written to `message_index` in key order, a few keys with each following
//! commit, so that no commit stalls and neighbouring keys share a leaf. When the run is in,
//! `engine.settled_through` moves to its last row, in that same commit. Rows beyond that mark are
//! read back at the start.
//!
//! Who reads takes the waiting keys first and the database's snapshot after: a key that is settled
//! in between is then seen twice, never missed. Rows that came in between are read from the
//! snapshot itself (`tail`).

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, params};

use super::transaction::Effects;

/// Where a message stands: its thread's number and its version.
pub(super) type Key = (i64, i64);

/// How many keys go with a commit, beside those that its new rows pay for.
const KEYS_PER_COMMIT: usize = 16;

/// The keys that are not in `message_index` yet, with the row of each.
#[derive(Default)]
pub(super) struct Unsettled {
    runs: RwLock<Runs>,
}

#[derive(Default)]
struct Runs {
    /// The run that takes new keys.
    filling: BTreeMap<Key, i64>,
    /// The run that is being written.
    draining: BTreeMap<Key, i64>,
    /// The last row whose key is or was in a run.
    through: i64,
}

impl Unsettled {
    /// The last row whose key waits or is settled. Rows beyond it are of commits that are not
    /// shown yet.
    pub(super) fn through(&self) -> i64 {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.through
    }

    /// The waiting keys of a thread with a version below `before`: at least the `limit` highest of
    /// them, highest first, as version and row.
    pub(super) fn of_thread(&self, thread: i64, before: i64, limit: usize) -> Vec<(i64, i64)> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let keys = |run: &BTreeMap<Key, i64>, to: &mut Vec<(i64, i64)>| {
            let versions = run.range((thread, i64::MIN)..(thread, before)).rev();
            to.extend(
                versions
                    .take(limit)
                    .map(|(&(_, version), &row)| (version, row)),
            );
        };
        // A later run has the higher versions: only sends wait here, and theirs rise.
        let mut waiting = Vec::new();
        keys(&runs.filling, &mut waiting);
        keys(&runs.draining, &mut waiting);
        waiting
    }

    /// The waiting key with the highest version of a thread.
    pub(super) fn newest(&self, thread: i64) -> Option<(i64, i64)> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        [&runs.filling, &runs.draining]
            .into_iter()
            .filter_map(|run| {
                run.range((thread, i64::MIN)..=(thread, i64::MAX))
                    .next_back()
            })
            .map(|(&(_, version), &row)| (version, row))
            .max()
    }

    /// The row of a waiting key.
    pub(super) fn row(&self, key: Key) -> Option<i64> {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        let row = runs.filling.get(&key).or_else(|| runs.draining.get(&key));
        row.copied()
    }

    /// How many keys wait.
    pub(super) fn len(&self) -> usize {
        let runs = self.runs.read().unwrap_or_else(PoisonError::into_inner);
        runs.filling.len() + runs.draining.len()
    }
}

/// The writer's side: what is to be written next. Nothing moves before the commit is synced.
pub(super) struct Settling {
    /// Keys in one run.
    run_keys: usize,
    /// The last row whose key is in `filling` or before.
    newest_row: i64,
    /// The last row of the run that is being written; `None` when none is.
    draining_through: Option<i64>,
    /// The last key written of it.
    written_to: Option<Key>,
}

/// What a commit wrote of the run, to be taken over once it is synced.
pub(super) struct Step {
    written_to: Option<Key>,
    run_is_in: bool,
}

impl Settling {
    /// Reads back the rows beyond the mark. `newest_row` is the highest row there is or was.
    pub(super) fn open(
        connection: &Connection,
        unsettled: &Unsettled,
        run_keys: usize,
    ) -> rusqlite::Result<Self> {
        let settled: i64 =
            connection.query_row("SELECT settled_through FROM engine", [], |row| row.get(0))?;
        let mut newest_row = settled;
        let mut runs = unsettled
            .runs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *runs = Runs::default();
        let mut statement = connection
            .prepare("SELECT row, thread, version FROM messages WHERE row > ?1 ORDER BY row")?;
        let mut rows = statement.query(params![settled])?;
        while let Some(row) = rows.next()? {
            newest_row = row.get(0)?;
            runs.filling.insert((row.get(1)?, row.get(2)?), newest_row);
        }
        runs.through = newest_row;
        Ok(Self {
            run_keys,
            newest_row,
            draining_through: None,
            written_to: None,
        })
    }

    /// The highest row there is or was: rows are never used again.
    pub(super) fn newest_row(&self) -> i64 {
        self.newest_row
    }

    /// Writes the next keys of the run, as many as go with a commit of `requests` requests.
    pub(super) fn write_some(
        &self,
        connection: &Connection,
        unsettled: &Unsettled,
        requests: usize,
    ) -> rusqlite::Result<Option<Step>> {
        if self.draining_through.is_none() {
            return Ok(None);
        }
        // Twice as many as may come in, so that a run is in before the next one is full.
        self.write(connection, unsettled, requests * 2 + KEYS_PER_COMMIT)
            .map(Some)
    }

    /// Writes up to `count` keys of the run.
    fn write(
        &self,
        connection: &Connection,
        unsettled: &Unsettled,
        count: usize,
    ) -> rusqlite::Result<Step> {
        let runs = unsettled
            .runs
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let after = self.written_to.unwrap_or((i64::MIN, i64::MIN));
        let mut insert = connection
            .prepare_cached("INSERT OR REPLACE INTO message_index VALUES (?1, ?2, ?3)")?;
        let mut written_to = self.written_to;
        let mut written = 0;
        let beyond = (Bound::Excluded(after), Bound::Unbounded);
        for (&key, &row) in runs.draining.range(beyond).take(count) {
            insert.execute(params![key.0, key.1, row])?;
            written_to = Some(key);
            written += 1;
        }
        let run_is_in = written < count;
        if run_is_in {
            connection
                .prepare_cached("UPDATE engine SET settled_through = ?1")?
                .execute(params![self.draining_through])?;
        }
        Ok(Step {
            written_to,
            run_is_in,
        })
    }

    /// Starts the next run, full or not, when none is being written; tells whether one is.
    pub(super) fn start_run(&mut self, unsettled: &Unsettled) -> bool {
        if self.draining_through.is_none() {
            let mut runs = unsettled
                .runs
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            if runs.filling.is_empty() {
                return false;
            }
            runs.draining = std::mem::take(&mut runs.filling);
            self.draining_through = Some(self.newest_row);
            self.written_to = None;
        }
        true
    }

    /// Takes over what a synced commit of requests did.
    pub(super) fn committed(
        &mut self,
        unsettled: &Unsettled,
        step: Option<Step>,
        effects: &Effects,
    ) {
        self.newest_row = effects.newest_row;
        let full = {
            let mut runs = unsettled
                .runs
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            for (key, row) in &effects.appended {
                runs.filling.insert(*key, *row);
            }
            for key in &effects.superseded {
                runs.filling.remove(key);
                runs.draining.remove(key);
            }
            runs.through = effects.newest_row;
            runs.filling.len() >= self.run_keys
        };
        self.committed_at_rest(unsettled, step);
        if full {
            self.start_run(unsettled);
        }
    }

    /// Takes over what a synced commit wrote of the run.
    pub(super) fn committed_at_rest(&mut self, unsettled: &Unsettled, step: Option<Step>) {
        let Some(step) = step else { return };
        self.written_to = step.written_to;
        if step.run_is_in {
            self.draining_through = None;
            let mut runs = unsettled
                .runs
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            runs.draining = BTreeMap::new();
        }
    }
}

/// The waiting keys with those of the rows after `through`, highest version first. `through` and
/// `waiting` were taken, in this order, before the snapshot that is read: what was committed since
/// is in it, and may have no key in either place.
pub(super) fn with_tail(
    connection: &Connection,
    thread: i64,
    through: i64,
    mut waiting: Vec<(i64, i64)>,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = connection
        .prepare_cached("SELECT version, row FROM messages WHERE row > ?1 AND thread = ?2")?;
    let tail = statement.query_map(params![through, thread], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let taken = waiting.len();
    for key in tail {
        waiting.push(key?);
    }
    if waiting.len() > taken {
        waiting.sort_unstable_by(|a, b| b.cmp(a));
        waiting.dedup();
    }
    Ok(waiting)
}

/// The keys of a thread in a range of versions, highest first, at most `limit`, each as version and
/// row: those in the index and those `waiting` (highest first).
pub(super) fn keys(
    connection: &Connection,
    waiting: &[(i64, i64)],
    thread: i64,
    versions: Range<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT version, row FROM message_index \
         WHERE thread = ?1 AND version < ?2 AND version >= ?3 ORDER BY version DESC LIMIT ?4",
    )?;
    let sql_limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let settled = statement.query_map(
        params![thread, versions.end, versions.start, sql_limit],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let mut keys = settled.collect::<rusqlite::Result<Vec<_>>>()?;
    let before = waiting.partition_point(|(version, _)| *version >= versions.end);
    let waiting = waiting[before..]
        .iter()
        .take_while(|(version, _)| *version >= versions.start)
        .take(limit);
    let settled = keys.len();
    keys.extend(waiting);
    if keys.len() > settled {
        keys.sort_unstable_by(|a, b| b.cmp(a));
        keys.dedup();
        keys.truncate(limit);
    }
    Ok(keys)
}
