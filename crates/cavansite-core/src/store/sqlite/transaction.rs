//! What a request's work is given: the threads in memory, and the transaction of its group.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::Shared;
use super::cache::{Posted, Publication};
use super::lists::{Activity, ListedThread};
use super::queue::Outcome;
use super::row::ContentColumns;
use super::settle::{Key, Unsettled};
use super::state::{Counters, Member, ThreadRecord, ThreadState, ThreadStates};
use crate::events::{Audience, Change, EventKind, ThreadEvent};
use crate::limits::Limits;
use crate::model::{
    Identity, Installation, Message, MessageContent, MessageId, SendFingerprint, ThreadId,
    Timestamp, UserId, Version,
};

/// What a request's work is given: the threads in memory and the transaction.
pub(super) struct Batch<'a> {
    pub(super) threads: &'a mut ThreadStates,
    pub(super) tx: Transaction<'a>,
}

/// The transaction of a group, and what is to be shown once it is committed.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    /// The time of the commit.
    pub(super) now: Timestamp,
    pub(super) limits: &'a Limits,
    pub(super) unsettled: &'a Unsettled,
    shared: &'a Shared,
    pub(super) effects: Effects,
}

/// What is to be done once a transaction is committed.
pub(super) struct Effects {
    /// The highest row there is now.
    pub(super) newest_row: i64,
    /// The keys of new rows.
    pub(super) appended: Vec<(Key, i64)>,
    /// Keys that name nothing any more.
    pub(super) superseded: Vec<Key>,
    /// What readers are to be shown.
    pub(super) publications: Vec<(ThreadId, Publication)>,
    /// What moves threads in lists.
    pub(super) activities: Vec<Activity>,
    /// Identities as they are now.
    pub(super) identities: Vec<Identity>,
    /// The access keys as they are now, where one was replaced.
    pub(super) access_keys: Option<Installation>,
    /// What is to be told, in order.
    pub(super) events: Vec<(ThreadEvent, Arc<dyn Audience>)>,
    /// Threads whose content is to be erased.
    pub(super) deleted: Vec<i64>,
}

impl<'a> Transaction<'a> {
    /// A transaction that has begun on the connection. `newest_row` is the highest row there is or
    /// was.
    pub(super) fn new(connection: &'a Connection, shared: &'a Shared, newest_row: i64) -> Self {
        Self {
            connection,
            now: shared.clock.now(),
            limits: &shared.limits,
            unsettled: &shared.unsettled,
            shared,
            effects: Effects {
                newest_row,
                appended: Vec::new(),
                superseded: Vec::new(),
                publications: Vec::new(),
                activities: Vec::new(),
                identities: Vec::new(),
                access_keys: None,
                events: Vec::new(),
                deleted: Vec::new(),
            },
        }
    }

    /// Adds a message to a thread, by the user of that number. The caller publishes what is
    /// returned.
    pub(super) fn append(
        &mut self,
        state: &mut ThreadState,
        sender: i64,
        content: MessageContent,
        fingerprint: Option<SendFingerprint>,
    ) -> Outcome<Appended> {
        let previous = state.counters.version;
        let counters = self.next(state);
        let message = Message {
            id: MessageId(counters.version),
            version: Version(counters.version),
            sequence_id: counters.sequence,
            created_at: counters.newest_created_at.max(self.now),
            content,
        };
        let number = state.record.number;
        let row = self.effects.newest_row + 1;
        self.insert(row, number, sender, &message, fingerprint)?;
        self.effects.newest_row = row;
        self.effects
            .appended
            .push(((number, counters.version), row));
        state.counters = Counters {
            newest_created_at: message.created_at,
            ..counters
        };
        self.effects.activities.push(Activity::Message {
            thread: number,
            at: message.created_at,
            members: Arc::clone(&state.members),
        });
        Ok(Appended {
            id: message.id,
            created_at: message.created_at,
            previous,
            message: Arc::new(message),
        })
    }

    /// The counters after the thread's next change.
    pub(super) fn next(&self, state: &ThreadState) -> Counters {
        let before = state.counters;
        Counters {
            version: (before.version.max(state.record.updated_version) + 1)
                .max(self.now.as_millis()),
            sequence: before.sequence + 1,
            newest_created_at: before.newest_created_at,
        }
    }

    fn insert(
        &self,
        row: i64,
        thread: i64,
        sender: i64,
        message: &Message,
        fingerprint: Option<SendFingerprint>,
    ) -> rusqlite::Result<()> {
        let columns = ContentColumns::new(&message.content)?;
        self.connection
            .prepare_cached(
                "INSERT INTO messages (row, thread, version, id, sequence, created_at, kind, \
                 sender, priority, fingerprint, sender_display_name, metadata, content) \
                 VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                row,
                thread,
                message.version.0,
                message.sequence_id,
                message.created_at.as_millis(),
                columns.kind,
                sender,
                columns.priority,
                fingerprint.map(|fingerprint| fingerprint.0),
                columns.sender_display_name,
                columns.metadata,
                columns.content,
            ])
            .map(|_| ())
    }

    /// Moves a message's key to a new version. Changes are rare, so their keys are settled at once.
    pub(super) fn move_key(&mut self, thread: i64, old: i64, new: i64, row: i64) -> Outcome<()> {
        let old = (thread, old);
        self.connection
            .prepare_cached("DELETE FROM message_index WHERE thread = ?1 AND version = ?2")?
            .execute(params![old.0, old.1])?;
        self.connection
            .prepare_cached("INSERT INTO message_index VALUES (?1, ?2, ?3)")?
            .execute(params![thread, new, row])?;
        self.effects.superseded.push(old);
        Ok(())
    }

    /// The row of a key that is not in the index yet, of this transaction or of an earlier one.
    pub(super) fn unsettled_row(&self, key: Key) -> Option<i64> {
        let own = self
            .effects
            .appended
            .iter()
            .rev()
            .find(|(own, _)| *own == key);
        own.map_or_else(|| self.unsettled.row(key), |(_, row)| Some(*row))
    }

    /// Shows a change to readers once it is committed.
    pub(super) fn publish(&mut self, thread: ThreadId, publication: Publication) {
        self.effects.publications.push((thread, publication));
    }

    /// What readers are to be shown of an added message: the message itself only where somebody
    /// reads the thread.
    pub(super) fn posted(&self, thread: ThreadId, appended: Appended) -> Posted {
        if self.shared.threads.contains(thread) {
            Posted::Appended {
                previous: appended.previous,
                message: appended.message,
            }
        } else {
            Posted::Unkept
        }
    }

    /// Tells the people of a thread once the change is committed.
    pub(super) fn tell(
        &mut self,
        thread: ThreadId,
        audience: Arc<dyn Audience>,
        make: impl FnOnce() -> EventKind,
    ) {
        if self.shared.sink.get().is_some() {
            let kind = make();
            let event = ThreadEvent { thread, kind };
            self.effects.events.push((event, audience));
        }
    }

    /// Tells of a change of the thread or its people, which the caller made.
    pub(super) fn tell_change(
        &mut self,
        state: &ThreadState,
        audience: Arc<dyn Audience>,
        caller: &UserId,
        when: (Timestamp, i64),
        change: Change,
    ) {
        let Some(actor) = state
            .member(caller)
            .map(|member| member.participant.clone())
        else {
            return;
        };
        let thread = &state.record.thread;
        let (at, version) = when;
        self.tell(thread.id, audience, || EventKind::Change {
            actor,
            at,
            version: Version(version),
            thread_created_at: thread.created_at,
            change,
        });
    }

    /// Has the thread in the list of somebody who comes into it, once that is committed.
    pub(super) fn joined(&mut self, record: &ThreadRecord, member: &Member, at: Timestamp) {
        self.effects.activities.push(Activity::Joined {
            user: member.number,
            thread: record.number,
            listed: ListedThread {
                id: record.thread.id,
                share_history_time: member.participant.share_history_time,
                joined_at: at,
                last_message_at: at,
            },
        });
    }

    /// Keeps the identity for readers once it is committed.
    pub(super) fn publish_identity(&mut self, identity: Identity) {
        self.effects.identities.push(identity);
    }

    /// Tells that an access key was replaced, once that is committed.
    pub(super) fn publish_access_keys(&mut self, installation: Installation) {
        self.effects.access_keys = Some(installation);
    }

    /// Has the content of a deleted thread erased, once the deletion is committed.
    pub(super) fn erase(&mut self, thread: i64) {
        self.effects.deleted.push(thread);
    }

    /// The number of a user, new or not.
    pub(super) fn user_number(&self, user: &UserId) -> rusqlite::Result<i64> {
        let found = self
            .connection
            .prepare_cached("SELECT user FROM users WHERE id = ?1")?
            .query_row(params![user.as_str()], |row| row.get(0));
        match found {
            Err(rusqlite::Error::QueryReturnedNoRows) => self
                .connection
                .prepare_cached("INSERT INTO users (id) VALUES (?1)")?
                .insert(params![user.as_str()]),
            found => found,
        }
    }
}

/// A message that was added.
pub(super) struct Appended {
    pub(super) id: MessageId,
    pub(super) created_at: Timestamp,
    pub(super) message: Arc<Message>,
    previous: i64,
}
