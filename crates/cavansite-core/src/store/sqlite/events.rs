//! Telling again what happened: events made from rows.
//!
//! Nothing is stored for it. A message's row tells that it came or how it was changed last, a
//! system message what became of the thread and its people, a thread's row how it was changed last
//! without one, a tombstone that it was deleted.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::cache::{message_bytes, people_bytes};
use super::read::{Snapshot, failed};
use super::row::{self, MessageReader};
use super::state::pairs_bytes;
use super::transaction::Batch;
use super::{Shared, SqliteStore};
use crate::chat::access::Membership;
use crate::error::Result;
use crate::events::{Change, EventKind, EventSink, ThreadEvent, changed_at};
use crate::model::{
    Message, MessageContent, Metadata, Participant, Thread, ThreadId, Timestamp, UserId, Version,
};
use crate::store::{EventList, EventPage, EventSource};

#[async_trait]
impl EventSource for SqliteStore {
    fn send_events_to(&self, sink: Arc<dyn EventSink>) {
        let _ = self.shared.sink.set(sink);
    }

    async fn list_events(&self, user: &UserId, page: EventPage) -> Result<EventList> {
        let user = user.clone();
        self.read(move |connection, shared| list(connection, shared, &user, &page).map_err(failed))
            .await
    }

    async fn get_told_through(&self) -> Result<Timestamp> {
        self.read_time("SELECT told_through FROM engine").await
    }

    async fn set_told_through(&self, time: Timestamp) -> Result<()> {
        self.write(move |Batch { tx, .. }| {
            tx.connection
                .prepare_cached("UPDATE engine SET told_through = ?1")?
                .execute(params![time.as_millis()])?;
            Ok(())
        })
        .await
    }
}

/// A change: its version, the thread's number, and what tells it. Sorts as events come.
type Key = (i64, i64, Source);

/// What tells a change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// The row of a message that stands at that version, or came with it and was edited since.
    Message(i64),
    /// The thread's row: it was updated.
    Update,
    /// The thread's row: it was deleted.
    Deletion,
}

/// The keys of a page: the lowest of all that are added.
struct Keys {
    limit: usize,
    lowest: Vec<Key>,
    /// With so many the rest is left out.
    cut_at: usize,
    /// Whether any was left out.
    is_cut: bool,
}

impl Keys {
    fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            lowest: Vec::new(),
            cut_at: limit.saturating_mul(4),
            is_cut: false,
        }
    }

    fn add(&mut self, key: Key) {
        self.lowest.push(key);
        if self.lowest.len() >= self.cut_at {
            self.cut();
            self.cut_at = self.lowest.len().saturating_mul(4).max(self.cut_at);
        }
    }

    /// Leaves out what does not come onto the page. What shares the last one's version stays.
    fn cut(&mut self) {
        self.lowest.sort_unstable();
        self.lowest.dedup();
        if let Some(&(last, ..)) = self.lowest.get(self.limit - 1) {
            let fit = self
                .lowest
                .partition_point(|(version, ..)| *version <= last);
            self.is_cut |= fit < self.lowest.len();
            self.lowest.truncate(fit);
        }
    }
}

/// The keys that wait to be settled, by thread; taken before the snapshot.
struct Waiting {
    through: i64,
    keys: HashMap<i64, Vec<(i64, i64)>>,
}

impl Waiting {
    fn take(connection: &Connection, shared: &Shared, user: i64) -> rusqlite::Result<Self> {
        // What is committed from here on is found among the rows behind it.
        let through = shared.unsettled.through();
        let threads = connection
            .prepare_cached("SELECT thread FROM participants WHERE user = ?1")?
            .query_map(params![user], |columns| columns.get(0))?
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        let waiting = |thread| shared.unsettled.of_thread(thread, i64::MAX, usize::MAX);
        let keys = threads.into_iter().map(|thread| (thread, waiting(thread)));
        let keys = keys.filter(|(_, keys)| !keys.is_empty()).collect();
        Ok(Self { through, keys })
    }

    /// Adds the rows that came before the snapshot began.
    fn complete(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection
            .prepare_cached("SELECT thread, version, row FROM messages WHERE row > ?1")?;
        let mut rows = statement.query(params![self.through])?;
        while let Some(columns) = rows.next()? {
            let keys = self.keys.entry(columns.get(0)?).or_default();
            keys.push((columns.get(1)?, columns.get(2)?));
        }
        Ok(())
    }
}

fn list(
    connection: &Connection,
    shared: &Shared,
    user: &UserId,
    page: &EventPage,
) -> rusqlite::Result<EventList> {
    let number = connection
        .prepare_cached("SELECT user FROM users WHERE id = ?1")?
        .query_row(params![user.as_str()], |columns| columns.get(0));
    let number: i64 = match number {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(EventList::default()),
        number => number?,
    };
    let mut waiting = Waiting::take(connection, shared, number)?;
    let _snapshot = Snapshot::begin(connection)?;
    waiting.complete(connection)?;
    let (threads, mut keys) = changed(connection, &waiting, number, page)?;
    keys.cut();
    let from = |version: i64| Some(Timestamp::from_millis(version));
    let mut rest_since = match keys.lowest.last() {
        Some((last, ..)) if keys.is_cut => from(last.saturating_add(1)),
        _ => None,
    };
    let mut told = Telling {
        reader: MessageReader::new(connection),
        waiting: &waiting,
        user,
        events: Vec::new(),
        bytes: 0,
    };
    let mut last = None;
    for (version, thread, source) in keys.lowest {
        if told.bytes > page.bytes && last != Some(version) {
            rest_since = from(version);
            break;
        }
        last = Some(version);
        if let Some(known) = threads.get(&thread) {
            told.tell(thread, known, version, source)?;
        }
    }
    let events = told.events;
    Ok(EventList { events, rest_since })
}

/// A thread, and what the user may know of it.
struct Known {
    thread: Thread,
    membership: Membership,
    joined_at: Timestamp,
    /// When it was last updated without a new topic, and by whom.
    updated: Option<(Timestamp, Person)>,
    /// When it was deleted, and by whom.
    deleted: Option<(Timestamp, Person)>,
}

/// Who has changed something: their id, and their name in the thread.
type Person = (UserId, Option<String>);

/// The threads of a user, in the order in which `known` reads the columns.
const THREADS: &str = "SELECT t.thread, t.id, t.topic, t.created_at, c.id, \
     t.metadata, t.retention_days, p.share_history_time, p.joined_at, p.removed_version, \
     t.deleted_version, t.deleted_at, d.id, dp.display_name, \
     t.updated_version, t.updated_at, u.id, up.display_name \
     FROM participants p JOIN threads t ON t.thread = p.thread \
     JOIN users c ON c.user = t.created_by \
     LEFT JOIN users d ON d.user = t.deleted_by \
     LEFT JOIN participants dp ON dp.thread = t.thread AND dp.user = t.deleted_by \
     LEFT JOIN users u ON u.user = t.updated_by \
     LEFT JOIN participants up ON up.thread = t.thread AND up.user = t.updated_by \
     WHERE p.user = ?1";

/// The user's threads in which something happened, and what did.
fn changed(
    connection: &Connection,
    waiting: &Waiting,
    user: i64,
    page: &EventPage,
) -> rusqlite::Result<(HashMap<i64, Known>, Keys)> {
    let limit = i64::try_from(page.limit).map_or(i64::MAX, |limit| limit.saturating_add(1));
    let mut index = connection.prepare_cached(
        "SELECT version, row FROM message_index WHERE thread = ?1 AND version >= ?2 \
         AND version <= ?4 ORDER BY version LIMIT ?3",
    )?;
    let mut edited = connection.prepare_cached(
        "SELECT id, row FROM messages WHERE thread = ?1 AND version <> id AND id >= ?2 \
         AND version <= ?4 AND deleted_at IS NULL ORDER BY id LIMIT ?3",
    )?;
    let mut statement = connection.prepare_cached(THREADS)?;
    let (mut threads, mut keys) = (HashMap::new(), Keys::new(page.limit));
    let mut rows = statement.query(params![user])?;
    while let Some(columns) = rows.next()? {
        let thread = columns.get(0)?;
        let since = page.since_in(ThreadId::from_bytes(columns.get(1)?)).0;
        // What followed a removal is not told.
        let removed_at: Option<i64> = columns.get(9)?;
        let through = removed_at.unwrap_or(i64::MAX);
        let mut any = false;
        let mut add = |version, source| {
            any = true;
            keys.add((version, thread, source));
        };
        if let Some(version) = columns.get::<_, Option<i64>>(10)? {
            // What is left of its messages is being erased.
            if version >= since && removed_at.is_none() {
                add(version, Source::Deletion);
            }
        } else {
            let mut settled = index.query(params![thread, since, limit, through])?;
            while let Some(key) = settled.next()? {
                add(key.get(0)?, Source::Message(key.get(1)?));
            }
            let waiting = waiting.keys.get(&thread).into_iter().flatten();
            for &(version, row) in waiting.filter(|key| (since..=through).contains(&key.0)) {
                add(version, Source::Message(row));
            }
            let updated_version = columns.get(14)?;
            if updated_version >= since.max(1) && removed_at.is_none() {
                add(updated_version, Source::Update);
            }
        }
        if !any {
            continue;
        }
        // What came since and was edited is at a later version now.
        let mut edited = edited.query(params![thread, since, limit, through])?;
        while let Some(key) = edited.next()? {
            keys.add((key.get(0)?, thread, Source::Message(key.get(1)?)));
        }
        threads.insert(thread, known(columns)?);
    }
    Ok((threads, keys))
}

fn known(columns: &Row<'_>) -> rusqlite::Result<Known> {
    let mut thread = Thread {
        id: ThreadId::from_bytes(columns.get(1)?),
        topic: columns.get(2)?,
        created_at: row::timestamp(columns, 3)?,
        created_by: row::user_id(columns, 4)?,
        metadata: row::metadata_from_sql(5, columns.get_ref(5)?.as_str_or_null()?)?,
        retention: row::retention_from_sql(columns.get(6)?),
    };
    let removed_at = columns.get::<_, Option<i64>>(9)?.map(Version);
    if removed_at.is_some() {
        // As they are now; they may have been given after the removal.
        thread.metadata = Metadata::new();
        thread.retention = None;
    }
    Ok(Known {
        thread,
        membership: Membership {
            share_history_time: row::timestamp(columns, 7)?,
            removed_at,
        },
        joined_at: row::timestamp(columns, 8)?,
        deleted: when_and_who(columns, 11)?,
        updated: when_and_who(columns, 15)?,
    })
}

/// A time, a user and their name from three columns, if they are there.
fn when_and_who(columns: &Row<'_>, at: usize) -> rusqlite::Result<Option<(Timestamp, Person)>> {
    let Some(time) = row::timestamp_or_null(columns, at)? else {
        return Ok(None);
    };
    if columns.get_ref(at + 1)?.as_str_or_null()?.is_none() {
        return Ok(None);
    }
    let user = row::user_id(columns, at + 1)?;
    Ok(Some((time, (user, columns.get(at + 2)?))))
}

/// Makes events of rows.
struct Telling<'a> {
    reader: MessageReader<'a>,
    waiting: &'a Waiting,
    user: &'a UserId,
    events: Vec<ThreadEvent>,
    /// What they take in memory, roughly.
    bytes: usize,
}

impl Telling<'_> {
    fn tell(
        &mut self,
        number: i64,
        known: &Known,
        version: i64,
        source: Source,
    ) -> rusqlite::Result<()> {
        let row = match source {
            Source::Message(row) => row,
            Source::Update => {
                let changed = Change::Updated(Box::new(known.thread.clone()));
                self.tell_change(known, known.updated.as_ref(), version, changed);
                return Ok(());
            }
            Source::Deletion => {
                self.tell_change(known, known.deleted.as_ref(), version, Change::Deleted);
                return Ok(());
            }
        };
        let message = match self.reader.get(row) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(error) if row::is_damage(&error) => {
                tracing::error!(row, %error, "a message cannot be read and is left out");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let MessageContent::User(_) = message.content {
            self.tell_message(known, message, version);
            return Ok(());
        }
        let names_user = match &message.content {
            MessageContent::ParticipantsAdded { participants, .. } => {
                participants.iter().any(|added| added.user == *self.user)
            }
            // The second message of a thread, with which it is told as made.
            _ => message.sequence_id == 2 && message.created_at == known.joined_at,
        };
        let sees = known.membership.sees(message.created_at, message.version);
        let is_there = known
            .membership
            .removed_at
            .is_none_or(|at| message.version <= at);
        let told = match message.created_at.cmp(&known.joined_at) {
            std::cmp::Ordering::Less => false,
            // What else happened in the millisecond in which they came, lists decide.
            std::cmp::Ordering::Equal => names_user || sees,
            std::cmp::Ordering::Greater => is_there,
        };
        if told && let Some(kind) = self.change(number, known, &message)? {
            self.push(known, kind);
        }
        Ok(())
    }

    /// Tells what happened to a message with that version.
    fn tell_message(&mut self, known: &Known, mut message: Arc<Message>, version: i64) {
        let MessageContent::User(sent) = &message.content else {
            return;
        };
        let deleted = sent.deleted_at.is_some();
        let (at, kind): (_, fn(Arc<Message>) -> EventKind) = if message.version.0 == version {
            match changed_at(&message) {
                None => (message.created_at, EventKind::MessageReceived),
                Some(at) if deleted => (at, EventKind::MessageDeleted),
                Some(at) => (at, EventKind::MessageEdited),
            }
        } else if message.id.0 == version && !deleted {
            (message.created_at, EventKind::MessageReceived)
        } else {
            // The version was that of an edit before, when its key was taken.
            return;
        };
        if !known.membership.sees(message.created_at, message.version) || at < known.joined_at {
            return;
        }
        if message.version.0 != version {
            // With its first version, by which receivers know it.
            let first = Arc::make_mut(&mut message);
            first.version = Version(version);
            if let MessageContent::User(sent) = &mut first.content {
                sent.edited_at = None;
            }
        }
        self.push(known, kind(message));
    }

    /// Tells a change that stands in the thread's row to who is there now and was then.
    fn tell_change(
        &mut self,
        known: &Known,
        made: Option<&(Timestamp, Person)>,
        version: i64,
        changed: Change,
    ) {
        if let Some((at, (by, name))) = made
            && known.membership.removed_at.is_none()
            && *at >= known.joined_at
        {
            let kind = change(known, by, name.clone(), *at, version, changed);
            self.push(known, kind);
        }
    }

    /// The change of which a system message tells.
    fn change(
        &mut self,
        number: i64,
        known: &Known,
        message: &Message,
    ) -> rusqlite::Result<Option<EventKind>> {
        let (at, version) = (message.created_at, message.version.0);
        let (by, name, change) = match &message.content {
            MessageContent::TopicUpdated {
                initiator,
                initiator_display_name,
                topic,
            } => {
                let mut thread = known.thread.clone();
                thread.topic.clone_from(topic);
                let change = if message.sequence_id == 2 {
                    Change::Created {
                        thread: Box::new(thread),
                        participants: self.first_participants(number, version - 1)?,
                    }
                } else {
                    Change::Updated(Box::new(thread))
                };
                (initiator, initiator_display_name, change)
            }
            // Told with the second message, as the making of the thread.
            MessageContent::ParticipantsAdded { .. } if message.sequence_id == 1 => {
                return Ok(None);
            }
            MessageContent::ParticipantsAdded {
                initiator,
                initiator_display_name,
                participants,
            } => {
                let change = Change::Added(participants.clone());
                (initiator, initiator_display_name, change)
            }
            MessageContent::ParticipantsRemoved {
                initiator,
                initiator_display_name,
                participants,
            } => {
                let change = Change::Removed(participants.clone());
                (initiator, initiator_display_name, change)
            }
            MessageContent::User(_) => return Ok(None),
        };
        Ok(Some(self::change(
            known,
            by,
            name.clone(),
            at,
            version,
            change,
        )))
    }

    /// Whom the first message of a thread names.
    fn first_participants(
        &mut self,
        number: i64,
        version: i64,
    ) -> rusqlite::Result<Vec<Participant>> {
        let waiting = self.waiting.keys.get(&number).into_iter().flatten();
        let mut waiting = waiting.filter(|(waiting, _)| *waiting == version);
        let row = match waiting.next() {
            Some((_, row)) => *row,
            None => self
                .reader
                .connection
                .prepare_cached("SELECT row FROM message_index WHERE thread = ?1 AND version = ?2")?
                .query_row(params![number, version], |columns| columns.get(0))?,
        };
        let message = match self.reader.get(row) {
            Err(error) if row::is_damage(&error) => {
                tracing::error!(row, %error, "a message cannot be read and is left out");
                None
            }
            message => message?,
        };
        Ok(match message.as_ref().map(|message| &message.content) {
            Some(MessageContent::ParticipantsAdded { participants, .. }) => participants.clone(),
            _ => Vec::new(),
        })
    }

    fn push(&mut self, known: &Known, kind: EventKind) {
        self.bytes += match &kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageEdited(message)
            | EventKind::MessageDeleted(message) => message_bytes(message),
            EventKind::Change { change, .. } => change_bytes(change),
            EventKind::ReadReceipt(_) | EventKind::Typing { .. } => 0,
        };
        let thread = known.thread.id;
        self.events.push(ThreadEvent { thread, kind });
    }
}

/// Roughly what a change takes in memory.
fn change_bytes(change: &Change) -> usize {
    let thread_bytes = |thread: &Thread| thread.topic.len() + pairs_bytes(&thread.metadata);
    match change {
        Change::Created {
            thread,
            participants,
        } => thread_bytes(thread) + people_bytes(participants),
        Change::Updated(thread) => thread_bytes(thread),
        Change::Added(people) | Change::Removed(people) => people_bytes(people),
        Change::Deleted => 0,
    }
}

fn change(
    known: &Known,
    by: &UserId,
    display_name: Option<String>,
    at: Timestamp,
    version: i64,
    change: Change,
) -> EventKind {
    EventKind::Change {
        actor: Participant {
            user: by.clone(),
            display_name,
            share_history_time: Timestamp::EPOCH,
            metadata: Metadata::new(),
        },
        at,
        version: Version(version),
        thread_created_at: known.thread.created_at,
        change,
    }
}
