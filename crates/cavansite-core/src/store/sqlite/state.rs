//! What the writer keeps in memory of active threads: counters, the people, recent sends.
//!
//! Only the writer has it, so there is no lock, and it may run ahead of the disk within a batch;
//! when a commit fails all of it is dropped. A thread is read when it is first touched: its row,
//! its people, and the newest messages for their counters and send ids.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::queue::Outcome;
use super::row;
use super::settle::{self, Unsettled};
use super::transaction::Transaction;
use crate::chat::access::Membership;
use crate::error::Error;
use crate::events::Audience;
use crate::limits::Limits;
use crate::model::{MessageId, Participant, SendFingerprint, Thread, ThreadId, Timestamp, UserId};

/// A thread's row.
#[derive(Clone)]
pub(super) struct ThreadRecord {
    /// The thread's number in this database.
    pub(super) number: i64,
    /// Whether it is deleted.
    pub(super) deleted: bool,
    /// The version of its last change of which no message tells; 0 before the first.
    pub(super) updated_version: i64,
    /// The thread itself.
    pub(super) thread: Thread,
}

impl ThreadRecord {
    /// The thread's row, deleted or not.
    pub(super) fn read(connection: &Connection, id: ThreadId) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT t.thread, t.deleted_at IS NOT NULL, t.topic, t.created_at, u.id, \
                 t.metadata, t.retention_days, t.updated_version FROM threads t \
                 JOIN users u ON u.user = t.created_by WHERE t.id = ?1",
            )?
            .query_row(params![id.as_bytes()], |columns| {
                Ok(Self {
                    number: columns.get(0)?,
                    deleted: columns.get(1)?,
                    updated_version: columns.get(7)?,
                    thread: Thread {
                        id,
                        topic: columns.get(2)?,
                        created_at: row::timestamp(columns, 3)?,
                        created_by: row::user_id(columns, 4)?,
                        metadata: row::metadata_from_sql(5, columns.get_ref(5)?.as_str_or_null()?)?,
                        retention: row::retention_from_sql(columns.get(6)?),
                    },
                })
            })
            .optional()
    }
}

/// Somebody who is in a thread.
#[derive(Clone)]
pub(super) struct Member {
    /// The user's number in this database.
    pub(super) number: i64,
    /// Their place in the order of joining.
    pub(super) joined: i64,
    /// Who they are in the thread.
    pub(super) participant: Participant,
}

impl Member {
    /// Their rights.
    pub(super) fn membership(&self) -> Membership {
        Membership {
            share_history_time: self.participant.share_history_time,
            removed_at: None,
        }
    }
}

/// The people who are in a thread now (at most `participants_per_thread_max`).
#[derive(Clone, Default)]
pub(super) struct Members(pub(super) HashMap<UserId, Member>);

impl Audience for Members {
    fn for_each(&self, tell: &mut dyn FnMut(&UserId, Timestamp)) {
        for (user, member) in &self.0 {
            tell(user, member.participant.share_history_time);
        }
    }
}

impl Members {
    /// Those of a thread.
    pub(super) fn read(connection: &Connection, thread: i64) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached(
            "SELECT u.id, p.user, p.joined, p.display_name, p.share_history_time, p.metadata \
             FROM participants p JOIN users u ON u.user = p.user \
             WHERE p.thread = ?1 AND p.removed_version IS NULL",
        )?;
        let members = statement.query_map(params![thread], |columns| {
            let user = row::user_id(columns, 0)?;
            let participant = Participant {
                user: user.clone(),
                display_name: columns.get(3)?,
                share_history_time: row::timestamp(columns, 4)?,
                metadata: row::metadata_from_sql(5, columns.get_ref(5)?.as_str_or_null()?)?,
            };
            let member = Member {
                number: columns.get(1)?,
                joined: columns.get(2)?,
                participant,
            };
            Ok((user, member))
        })?;
        members.collect::<rusqlite::Result<_>>().map(Self)
    }

    /// In the order in which they joined.
    pub(super) fn in_order(&self) -> Vec<&Member> {
        let mut members: Vec<_> = self.0.values().collect();
        members.sort_unstable_by_key(|member| member.joined);
        members
    }

    /// Roughly what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        const PER_MEMBER: usize = size_of::<(UserId, Member)>() + 128;
        self.0
            .values()
            .map(|member| PER_MEMBER + pairs_bytes(&member.participant.metadata))
            .sum()
    }
}

/// Roughly what string pairs take in memory.
pub(super) fn pairs_bytes(pairs: &crate::model::Metadata) -> usize {
    pairs
        .iter()
        .map(|(key, value)| key.len() + value.len() + 64)
        .sum()
}

/// Whether the user takes or ever took part in a thread.
pub(super) fn ever_took_part(
    connection: &Connection,
    thread: i64,
    user: &UserId,
) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM participants WHERE thread = ?1 \
             AND user = (SELECT user FROM users WHERE id = ?2)",
        )?
        .exists(params![thread, user.as_str()])
}

/// What a deleted thread is to a user: not found for who ever took part, refused to others.
pub(super) fn deleted_to(
    connection: &Connection,
    thread: i64,
    user: &UserId,
) -> rusqlite::Result<Error> {
    Ok(if ever_took_part(connection, thread, user)? {
        Error::ThreadNotFound
    } else {
        Error::NotParticipant
    })
}

/// A thread's counters, as the row of its highest version tells them.
#[derive(Clone, Copy)]
pub(super) struct Counters {
    /// The highest version, and row number, of a message.
    pub(super) version: i64,
    /// The highest sequence id.
    pub(super) sequence: i64,
    /// When the newest message was committed.
    pub(super) newest_created_at: Timestamp,
}

impl Counters {
    /// The counters of a thread.
    pub(super) fn read(
        connection: &Connection,
        thread: i64,
        waiting: Option<(i64, i64)>,
    ) -> rusqlite::Result<Option<Self>> {
        let settled = connection
            .prepare_cached(
                "SELECT version, row FROM message_index WHERE thread = ?1 \
                 ORDER BY version DESC LIMIT 1",
            )?
            .query_row(params![thread], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((_, newest)) = waiting.max(settled) else {
            return Ok(None);
        };
        connection
            .prepare_cached(
                "SELECT version, sequence, ifnull(newest_created_at, created_at) FROM messages \
                 WHERE row = ?1",
            )?
            .query_row(params![newest], |columns| {
                Ok(Self {
                    version: columns.get(0)?,
                    sequence: columns.get(1)?,
                    newest_created_at: row::timestamp(columns, 2)?,
                })
            })
            .optional()
    }
}

/// A send that may be repeated.
struct RecentSend {
    key: (i64, SendFingerprint),
    created_at: Timestamp,
}

/// The recent sends of a thread that carry a fingerprint, oldest first.
#[derive(Default)]
pub(super) struct RecentSends {
    order: VecDeque<RecentSend>,
    ids: HashMap<(i64, SendFingerprint), MessageId>,
}

impl RecentSends {
    /// The message that this user sent under that fingerprint since `since`.
    pub(super) fn find(
        &mut self,
        user: i64,
        fingerprint: SendFingerprint,
        since: Timestamp,
    ) -> Option<MessageId> {
        while self
            .order
            .front()
            .is_some_and(|send| send.created_at < since)
        {
            self.forget_oldest();
        }
        self.ids.get(&(user, fingerprint)).copied()
    }

    /// Keeps one more.
    pub(super) fn insert(
        &mut self,
        key: (i64, SendFingerprint),
        id: MessageId,
        created_at: Timestamp,
        max: usize,
    ) {
        while self.order.len() >= max.max(1) {
            self.forget_oldest();
        }
        self.order.push_back(RecentSend { key, created_at });
        self.ids.insert(key, id);
    }

    fn forget_oldest(&mut self) {
        if let Some(send) = self.order.pop_front() {
            self.ids.remove(&send.key);
        }
    }
}

/// What the writer knows of a thread.
pub(super) struct ThreadState {
    pub(super) record: Arc<ThreadRecord>,
    pub(super) members: Arc<Members>,
    pub(super) counters: Counters,
    pub(super) recent: RecentSends,
    /// The highest place in the order of joining.
    pub(super) joined: i64,
    /// Whether it was used since the last look for what to forget.
    used: bool,
    /// What it was last counted at.
    bytes: usize,
    members_bytes: usize,
}

impl ThreadState {
    /// The state of a thread that has just been made.
    pub(super) fn new(record: ThreadRecord, members: Members, counters: Counters) -> Self {
        let joined = members.0.values().map(|member| member.joined).max();
        Self {
            members_bytes: members.bytes(),
            record: Arc::new(record),
            members: Arc::new(members),
            counters,
            recent: RecentSends::default(),
            joined: joined.unwrap_or_default(),
            used: true,
            bytes: 0,
        }
    }

    fn read(tx: &Transaction<'_>, id: ThreadId) -> rusqlite::Result<Option<Self>> {
        let connection = tx.connection;
        let Some(record) = ThreadRecord::read(connection, id)? else {
            return Ok(None);
        };
        let number = record.number;
        if record.deleted {
            let none = Counters {
                version: 0,
                sequence: 0,
                newest_created_at: record.thread.created_at,
            };
            return Ok(Some(Self::new(record, Members::default(), none)));
        }
        let members = Members::read(connection, number)?;
        let counters = Counters::read(connection, number, tx.unsettled.newest(number))?
            .ok_or_else(|| row::damaged(0, "a thread without messages"))?;
        let mut state = Self::new(record, members, counters);
        if tx.limits.send_repeat_window_ms > 0 {
            state.recent = recent_sends(connection, tx.unsettled, number, tx.limits, tx.now)?;
        }
        Ok(Some(state))
    }

    /// Changes who is in the thread.
    pub(super) fn change_members(&mut self, change: impl FnOnce(&mut HashMap<UserId, Member>)) {
        let members = Arc::make_mut(&mut self.members);
        change(&mut members.0);
        self.members_bytes = members.bytes();
    }

    /// The thread is deleted; what is answered from now on is read from its tombstone.
    pub(super) fn delete(&mut self) {
        let record = Arc::make_mut(&mut self.record);
        record.deleted = true;
        record.thread.topic = String::new();
        record.thread.metadata = crate::model::Metadata::new();
        self.members = Arc::default();
        self.members_bytes = 0;
        self.recent = RecentSends::default();
    }

    /// The caller, if they are in the thread.
    pub(super) fn member(&self, user: &UserId) -> Option<&Member> {
        self.members.0.get(user)
    }

    fn measure(&self) -> usize {
        const PER_SEND: usize = size_of::<RecentSend>() + 2 * size_of::<SendFingerprint>() + 32;
        size_of::<Self>()
            + 256
            + self.record.thread.topic.len()
            + self.members_bytes
            + self.recent.order.len() * PER_SEND
    }
}

/// The sends of the repeat window, from the newest rows: at most `send_repeats_per_thread_max` rows
/// are looked at.
fn recent_sends(
    connection: &Connection,
    unsettled: &Unsettled,
    thread: i64,
    limits: &Limits,
    now: Timestamp,
) -> rusqlite::Result<RecentSends> {
    let since = now.plus_millis(-limits.send_repeat_window_ms);
    let max = limits.send_repeats_per_thread_max;
    let mut found = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT id, version, created_at, sender, fingerprint FROM messages WHERE row = ?1",
    )?;
    let waiting = unsettled.of_thread(thread, i64::MAX, max);
    for (_, row) in settle::keys(connection, &waiting, thread, i64::MIN..i64::MAX, max)? {
        let Some((id, version, created_at, key)) = statement
            .query_row(params![row], |columns| {
                let sender: i64 = columns.get(3)?;
                let fingerprint: Option<[u8; 16]> = columns.get(4)?;
                Ok((
                    columns.get::<_, i64>(0)?,
                    columns.get::<_, i64>(1)?,
                    row::timestamp(columns, 2)?,
                    fingerprint.map(|bytes| (sender, SendFingerprint(bytes))),
                ))
            })
            .optional()?
        else {
            continue;
        };
        if created_at >= since {
            found.extend(key.map(|key| (key, MessageId(id), created_at)));
        } else if id == version {
            // What follows was sent earlier still; a changed message stands among newer ones.
            break;
        }
    }
    found.sort_unstable_by_key(|(_, id, _)| *id);
    let mut recent = RecentSends::default();
    for (key, id, created_at) in found {
        recent.insert(key, id, created_at, max);
    }
    Ok(recent)
}

/// The threads that the writer has in memory, under one byte bound.
pub(super) struct ThreadStates {
    states: HashMap<ThreadId, ThreadState>,
    /// The order in which they are looked at for one to forget.
    ring: VecDeque<ThreadId>,
    bytes: usize,
    bytes_max: usize,
}

impl ThreadStates {
    /// No thread yet.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            states: HashMap::new(),
            ring: VecDeque::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// The thread's state, read now if it must be; `None` when there never was such a thread.
    pub(super) fn get(
        &mut self,
        tx: &Transaction<'_>,
        id: ThreadId,
    ) -> rusqlite::Result<Option<&mut ThreadState>> {
        let state = match self.states.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let Some(state) = ThreadState::read(tx, id)? else {
                    return Ok(None);
                };
                self.ring.push_back(id);
                entry.insert(state)
            }
        };
        state.used = true;
        let bytes = state.measure();
        self.bytes = self.bytes + bytes - state.bytes;
        state.bytes = bytes;
        Ok(Some(state))
    }

    /// The thread's state, for what only a present participant may do.
    pub(super) fn present(
        &mut self,
        tx: &Transaction<'_>,
        id: ThreadId,
        caller: &UserId,
    ) -> Outcome<&mut ThreadState> {
        let Some(state) = self.get(tx, id)? else {
            return Err(Error::ThreadNotFound.into());
        };
        if state.record.deleted {
            return Err(deleted_to(tx.connection, state.record.number, caller)?.into());
        }
        if state.member(caller).is_none() {
            return Err(Error::NotParticipant.into());
        }
        Ok(state)
    }

    /// Takes in a thread that has just been made.
    pub(super) fn insert(&mut self, state: ThreadState) {
        let id = state.record.thread.id;
        self.bytes += state.bytes;
        self.ring.push_back(id);
        self.states.insert(id, state);
    }

    /// Forgets everything: what is in memory may not be what is on disk.
    pub(super) fn clear(&mut self) {
        self.states.clear();
        self.ring.clear();
        self.bytes = 0;
    }

    /// Forgets threads that were not used lately until the bound holds. Only between batches: a
    /// thread that a batch has changed can be read again only after the commit.
    pub(super) fn evict(&mut self) {
        while self.bytes > self.bytes_max
            && let Some(id) = self.ring.pop_front()
            && let Entry::Occupied(mut entry) = self.states.entry(id)
        {
            if std::mem::take(&mut entry.get_mut().used) {
                self.ring.push_back(id);
            } else {
                self.bytes -= entry.remove().bytes;
            }
        }
    }
}
