//! Telling again what happened: events made from rows.
//!
//! Nothing is stored for it. A message's row tells that it came or how it was changed last, a
//! system message what became of the thread and its people, a tombstone that it was deleted.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::read::{Snapshot, failed};
use super::row::{self, MessageReader};
use super::transaction::Batch;
use super::{Shared, SqliteStore};
use crate::chat::access::Membership;
use crate::error::Result;
use crate::events::{Change, EventKind, EventSink, ThreadEvent, changed_at};
use crate::model::{
    Message, MessageContent, Participant, Thread, ThreadId, Timestamp, UserId, Version,
};
use crate::store::{EventList, EventPage, EventSource};

#[async_trait]
impl EventSource for SqliteStore {
    fn send_events_to(&self, sink: Arc<dyn EventSink>) {
        let _ = self.shared.sink.set(sink);
    }

    async fn list_events(&self, user: &UserId, page: EventPage) -> Result<EventList> {
        let user = user.clone();
        self.read(move |connection, shared| list(connection, shared, &user, page).map_err(failed))
            .await
    }

    async fn get_told_through(&self) -> Result<Timestamp> {
        self.read(|connection, _| {
            connection
                .query_row("SELECT told_through FROM engine", [], |columns| {
                    row::timestamp(columns, 0)
                })
                .map_err(failed)
        })
        .await
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

/// A change: its version, the thread's number, the row that tells it. Sorts as events come.
type Key = (i64, i64, Option<i64>);

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
    page: EventPage,
) -> rusqlite::Result<EventList> {
    let number = connection
        .prepare_cached("SELECT user FROM users WHERE id = ?1")?
        .query_row(params![user.as_str()], |columns| columns.get(0));
    let number: i64 = match number {
        Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(EventList::default()),
        number => number?,
    };
    // What is committed after the snapshot has no lower version.
    let read_at = shared.clock.now().as_millis();
    let mut waiting = Waiting::take(connection, shared, number)?;
    let _snapshot = Snapshot::begin(connection)?;
    waiting.complete(connection)?;
    let (threads, mut keys) = changed(connection, &waiting, number, &page)?;
    keys.sort_unstable();
    keys.dedup();
    let mut rest_since = None;
    if let Some(&(last, ..)) = keys.get(page.limit.max(1) - 1) {
        let told = keys.partition_point(|(version, ..)| *version <= last);
        if told < keys.len() {
            keys.truncate(told);
            rest_since = Some(Timestamp::from_millis(last.saturating_add(1).min(read_at)));
        }
    }
    let mut told = Telling {
        reader: MessageReader::new(connection),
        waiting: &waiting,
        user,
        since: page.since,
        events: Vec::new(),
        bytes: 0,
    };
    let mut last = None;
    for (version, thread, row) in keys {
        if told.bytes > page.bytes && last != Some(version) {
            rest_since = Some(Timestamp::from_millis(version.min(read_at)));
            break;
        }
        last = Some(version);
        if let Some(membership) = threads.get(&thread) {
            told.tell(thread, membership, version, row)?;
        }
    }
    // A message that came and was edited since was told at the place of the edit.
    told.events.sort_by_key(|(version, _)| *version);
    let events = told.events.into_iter().map(|(_, event)| event).collect();
    Ok(EventList { events, rest_since })
}

/// A thread, and what the user may know of it.
struct Known {
    thread: Thread,
    membership: Membership,
    joined_at: Timestamp,
    /// When it was deleted, and by whom.
    deleted: Option<(Timestamp, UserId)>,
}

/// The user's threads in which something happened, and what did.
fn changed(
    connection: &Connection,
    waiting: &Waiting,
    user: i64,
    page: &EventPage,
) -> rusqlite::Result<(HashMap<i64, Known>, Vec<Key>)> {
    let since = page.since.as_millis();
    let limit = i64::try_from(page.limit).map_or(i64::MAX, |limit| limit.saturating_add(1));
    let mut index = connection.prepare_cached(
        "SELECT version, row FROM message_index WHERE thread = ?1 AND version >= ?2 \
         ORDER BY version LIMIT ?3",
    )?;
    let mut statement = connection.prepare_cached(
        "SELECT t.thread, t.id, t.topic, t.created_at, c.id, t.metadata, t.retention_days, \
         t.deleted_at, t.deleted_version, d.id, p.share_history_time, p.joined_at, \
         p.removed_version FROM participants p JOIN threads t ON t.thread = p.thread \
         JOIN users c ON c.user = t.created_by LEFT JOIN users d ON d.user = t.deleted_by \
         WHERE p.user = ?1",
    )?;
    let (mut threads, mut keys) = (HashMap::new(), Vec::new());
    let mut rows = statement.query(params![user])?;
    while let Some(columns) = rows.next()? {
        let (thread, before) = (columns.get(0)?, keys.len());
        if let Some(version) = columns.get::<_, Option<i64>>(8)? {
            // What is left of its messages is being erased.
            if version >= since {
                keys.push((version, thread, None));
            }
        } else {
            let mut settled = index.query(params![thread, since, limit])?;
            while let Some(key) = settled.next()? {
                keys.push((key.get(0)?, thread, Some(key.get(1)?)));
            }
            let waiting = waiting.keys.get(&thread).into_iter().flatten();
            let waiting = waiting.filter(|(version, _)| *version >= since);
            keys.extend(waiting.map(|&(version, row)| (version, thread, Some(row))));
        }
        if keys.len() > before {
            threads.insert(thread, known(columns)?);
        }
    }
    Ok((threads, keys))
}

fn known(columns: &Row<'_>) -> rusqlite::Result<Known> {
    let deleted_at = row::timestamp_or_null(columns, 7)?;
    let deleted_by = match columns.get_ref(9)?.as_str_or_null()? {
        Some(_) => Some(row::user_id(columns, 9)?),
        None => None,
    };
    Ok(Known {
        thread: Thread {
            id: ThreadId::from_bytes(columns.get(1)?),
            topic: columns.get(2)?,
            created_at: row::timestamp(columns, 3)?,
            created_by: row::user_id(columns, 4)?,
            metadata: row::metadata_from_sql(5, columns.get_ref(5)?.as_str_or_null()?)?,
            retention: row::retention_from_sql(columns.get(6)?),
        },
        membership: Membership {
            share_history_time: row::timestamp(columns, 10)?,
            removed_at: columns.get::<_, Option<i64>>(12)?.map(Version),
        },
        joined_at: row::timestamp(columns, 11)?,
        deleted: deleted_at.zip(deleted_by),
    })
}

/// Makes events of rows.
struct Telling<'a> {
    reader: MessageReader<'a>,
    waiting: &'a Waiting,
    user: &'a UserId,
    since: Timestamp,
    /// With the version at which each comes.
    events: Vec<(Version, ThreadEvent)>,
    /// What their messages say.
    bytes: usize,
}

impl Telling<'_> {
    fn tell(
        &mut self,
        number: i64,
        known: &Known,
        version: i64,
        row: Option<i64>,
    ) -> rusqlite::Result<()> {
        let Some(row) = row else {
            if let (Some((at, by)), None) = (&known.deleted, known.membership.removed_at) {
                self.push(
                    known,
                    Version(version),
                    change(known, by, None, *at, version, Change::Deleted),
                );
            }
            return Ok(());
        };
        let message = match self.reader.get(row) {
            // A key that waited when it was taken may have moved since.
            Ok(Some(message)) if message.version.0 == version => message,
            Ok(_) => return Ok(()),
            Err(error) if row::is_damage(&error) => {
                tracing::error!(row, %error, "a message cannot be read and is left out");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if let MessageContent::User(_) = message.content {
            self.tell_message(known, message);
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
            self.push(known, message.version, kind);
        }
        Ok(())
    }

    fn tell_message(&mut self, known: &Known, message: Arc<Message>) {
        let sees = known.membership.sees(message.created_at, message.version);
        let changed_at = changed_at(&message);
        if !sees || changed_at.unwrap_or(message.created_at) < known.joined_at {
            return;
        }
        let MessageContent::User(sent) = &message.content else {
            return;
        };
        self.bytes += sent.content.len();
        let (version, deleted) = (message.version, sent.deleted_at.is_some());
        let came_since = message.created_at >= self.since.max(known.joined_at);
        if changed_at.is_none() {
            self.push(known, version, EventKind::MessageReceived(message));
        } else if deleted {
            self.push(known, version, EventKind::MessageDeleted(message));
        } else {
            if came_since {
                // At its first place and with its first version, by which receivers know it.
                let mut first = Message::clone(&message);
                first.version = Version(first.id.0);
                if let MessageContent::User(sent) = &mut first.content {
                    sent.edited_at = None;
                }
                let first = Arc::new(first);
                self.push(known, first.version, EventKind::MessageReceived(first));
            }
            self.push(known, version, EventKind::MessageEdited(message));
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
        let message = self.reader.get(row)?;
        Ok(match message.as_ref().map(|message| &message.content) {
            Some(MessageContent::ParticipantsAdded { participants, .. }) => participants.clone(),
            _ => Vec::new(),
        })
    }

    fn push(&mut self, known: &Known, version: Version, kind: EventKind) {
        let thread = known.thread.id;
        self.events.push((version, ThreadEvent { thread, kind }));
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
            metadata: std::collections::BTreeMap::new(),
        },
        at,
        version: Version(version),
        thread_created_at: known.thread.created_at,
        change,
    }
}
