//! Messages: sending, listing, changing.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::cache::{Posted, Publication};
use super::queue::Outcome;
use super::read::{ReadThread, failed};
use super::row::{ContentColumns, MessageReader};
use super::settle;
use super::state::{Counters, Member, ThreadState};
use super::transaction::{Batch, Transaction};
use super::{Shared, SqliteStore};
use crate::chat::access::require_sender;
use crate::chat::input::check_message_size;
use crate::error::{Error, Result};
use crate::events::{Audience, EventKind};
use crate::limits::Limits;
use crate::model::{
    Message, MessageChange, MessageContent, MessageId, Metadata, NewMessage, ThreadId, Timestamp,
    UserId, UserMessage, Version,
};
use crate::store::{MessagePage, MessageStore};

#[async_trait]
impl MessageStore for SqliteStore {
    async fn append_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: NewMessage,
    ) -> Result<MessageId> {
        let caller = caller.clone();
        self.write(move |batch| append(batch, caller, thread, message))
            .await
    }

    async fn list_messages(
        &self,
        caller: &UserId,
        thread: ThreadId,
        page: MessagePage,
    ) -> Result<Vec<Arc<Message>>> {
        if let Some(view) = self.shared.threads.get(thread)
            && let Some(messages) = view.page(caller, &page)
        {
            return Ok(messages);
        }
        let caller = caller.clone();
        self.read(move |connection, shared| list(connection, shared, &caller, thread, page))
            .await
    }

    async fn get_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<Arc<Message>> {
        if let Some(view) = self.shared.threads.get(thread)
            && let Some(found) = view.message(caller, message)
        {
            return found;
        }
        let caller = caller.clone();
        self.read(move |connection, shared| get(connection, shared, &caller, thread, message))
            .await
    }

    async fn update_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
        change: MessageChange,
    ) -> Result<()> {
        let caller = caller.clone();
        self.write(move |batch| {
            self::change(batch, &caller, thread, message, |sent, now, limits| {
                update(sent, change, now, limits).map(|()| true)
            })
        })
        .await
    }

    async fn delete_message(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<()> {
        let caller = caller.clone();
        self.write(move |batch| {
            change(batch, &caller, thread, message, |sent, now, _| {
                Ok(delete(sent, now))
            })
        })
        .await
    }
}

fn append(
    batch: &mut Batch<'_>,
    caller: UserId,
    thread: ThreadId,
    message: NewMessage,
) -> Outcome<MessageId> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, &caller)?;
    let sender = state
        .member(&caller)
        .map(|member| member.number)
        .ok_or(Error::NotParticipant)?;
    let window = tx.limits.send_repeat_window_ms;
    let fingerprint = message.fingerprint.filter(|_| window > 0);
    if let Some(fingerprint) = fingerprint
        && let Some(first) = state
            .recent
            .find(sender, fingerprint, tx.now.plus_millis(-window))
    {
        return Ok(first);
    }
    let content = MessageContent::User(UserMessage {
        sender: caller,
        sender_display_name: message.sender_display_name,
        format: message.format,
        content: message.content,
        priority: message.priority,
        metadata: message.metadata,
        edited_at: None,
        deleted_at: None,
    });
    let appended = tx.append(state, sender, content, fingerprint)?;
    let id = appended.id;
    if let Some(fingerprint) = fingerprint {
        let max = tx.limits.send_repeats_per_thread_max;
        state
            .recent
            .insert((sender, fingerprint), id, appended.created_at, max);
    }
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    let message = Arc::clone(&appended.message);
    tx.tell(thread, audience, || EventKind::MessageReceived(message));
    let messages = tx.posted(thread, appended);
    tx.publish(
        thread,
        Publication {
            messages,
            ..Publication::default()
        },
    );
    Ok(id)
}

/// Changes a message of the caller's own; `edit` tells whether it changed anything.
fn change(
    batch: &mut Batch<'_>,
    caller: &UserId,
    thread: ThreadId,
    id: MessageId,
    edit: impl FnOnce(&mut UserMessage, Timestamp, &Limits) -> Result<bool>,
) -> Outcome<()> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, caller)?;
    let number = state.record.number;
    let waiting = tx.unsettled_row((number, id.0));
    let (row, message) = find(tx.connection, number, id, waiting)?.ok_or(Error::MessageNotFound)?;
    let membership = state
        .member(caller)
        .map(Member::membership)
        .ok_or(Error::NotParticipant)?;
    membership.require_sees(message.created_at, message.version)?;
    require_sender(caller, &message)?;
    let old = message.version.0;
    let mut message = Arc::unwrap_or_clone(message);
    let MessageContent::User(sent) = &mut message.content else {
        return Err(Error::NotSender.into());
    };
    let now = tx.now.max(state.counters.newest_created_at);
    if !edit(sent, now, tx.limits)? {
        return Ok(());
    }
    let previous = state.counters.version;
    let counters = tx.next(state);
    message.version = Version(counters.version);
    message.sequence_id = counters.sequence;
    rewrite(tx, row, &message, counters)?;
    tx.move_key(number, old, counters.version, row)?;
    state.counters = counters;
    let deleted =
        matches!(&message.content, MessageContent::User(sent) if sent.deleted_at.is_some());
    let message = Arc::new(message);
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    let told = Arc::clone(&message);
    tx.tell(thread, audience, || {
        if deleted {
            EventKind::MessageDeleted(told)
        } else {
            EventKind::MessageEdited(told)
        }
    });
    let messages = Posted::Moved { previous, message };
    tx.publish(
        thread,
        Publication {
            messages,
            ..Publication::default()
        },
    );
    Ok(())
}

fn update(
    sent: &mut UserMessage,
    change: MessageChange,
    now: Timestamp,
    limits: &Limits,
) -> Result<()> {
    if sent.deleted_at.is_some() {
        return Err(Error::MessageNotFound);
    }
    if let Some(content) = change.content {
        sent.content = content;
    }
    if let Some(priority) = change.priority {
        sent.priority = priority;
    }
    if let Some(pairs) = change.metadata {
        merge(&mut sent.metadata, pairs);
    }
    check_message_size(&sent.content, &sent.metadata, limits)?;
    sent.edited_at = Some(now);
    Ok(())
}

fn delete(sent: &mut UserMessage, now: Timestamp) -> bool {
    if sent.deleted_at.is_some() {
        return false;
    }
    sent.content = String::new();
    sent.metadata = Metadata::new();
    sent.edited_at = None;
    sent.deleted_at = Some(now);
    true
}

/// Sets pairs; an empty value removes its key.
pub(super) fn merge(metadata: &mut Metadata, pairs: Metadata) {
    for (key, value) in pairs {
        if value.is_empty() {
            metadata.remove(&key);
        } else {
            metadata.insert(key, value);
        }
    }
}

fn rewrite(
    tx: &Transaction<'_>,
    row: i64,
    message: &Message,
    counters: Counters,
) -> rusqlite::Result<()> {
    let columns = ContentColumns::new(&message.content)?;
    let (edited_at, deleted_at) = match &message.content {
        MessageContent::User(sent) => (sent.edited_at, sent.deleted_at),
        _ => (None, None),
    };
    tx.connection
        .prepare_cached(
            "UPDATE messages SET version = ?2, sequence = ?3, priority = ?4, edited_at = ?5, \
             deleted_at = ?6, newest_created_at = ?7, metadata = ?8, content = ?9 WHERE row = ?1",
        )?
        .execute(params![
            row,
            message.version.0,
            message.sequence_id,
            columns.priority,
            edited_at.map(Timestamp::as_millis),
            deleted_at.map(Timestamp::as_millis),
            counters.newest_created_at.as_millis(),
            columns.metadata,
            columns.content,
        ])
        .map(|_| ())
}

/// The row and the message of that id. `waiting` is the row that a key not yet settled names for
/// the version that equals the id.
fn find(
    connection: &Connection,
    thread: i64,
    id: MessageId,
    waiting: Option<i64>,
) -> rusqlite::Result<Option<(i64, Arc<Message>)>> {
    let mut reader = MessageReader::new(connection);
    let unchanged = match waiting {
        Some(row) => Some(row),
        None => connection
            .prepare_cached("SELECT row FROM message_index WHERE thread = ?1 AND version = ?2")?
            .query_row(params![thread, id.0], |row| row.get(0))
            .optional()?,
    };
    if let Some(row) = unchanged
        && let Some(message) = reader.get(row)?
        // The number may be the version of another message's change.
        && message.id == id
    {
        return Ok(Some((row, message)));
    }
    let changed: Option<i64> = connection
        .prepare_cached("SELECT row FROM messages WHERE thread = ?1 AND id = ?2 AND version <> id")?
        .query_row(params![thread, id.0], |row| row.get(0))
        .optional()?;
    match changed {
        Some(row) => Ok(reader.get(row)?.map(|message| (row, message))),
        None => Ok(None),
    }
}

/// When the message of that id was committed, if there is one, for a request that the writer then
/// decides on: neither ever changes.
pub(super) fn created_at(
    tx: &Transaction<'_>,
    state: &ThreadState,
    id: MessageId,
) -> Outcome<Option<Timestamp>> {
    let number = state.record.number;
    let waiting = tx.unsettled_row((number, id.0));
    let found = find(tx.connection, number, id, waiting)?;
    Ok(found.map(|(_, message)| message.created_at))
}

fn get(
    connection: &Connection,
    shared: &Shared,
    caller: &UserId,
    thread: ThreadId,
    id: MessageId,
) -> Result<Arc<Message>> {
    let key = |number| {
        let row = shared.unsettled.row((number, id.0));
        row.map(|row| (id.0, row)).into_iter().collect()
    };
    let (read, waiting) = ReadThread::begin(connection, shared, caller, thread, key)?;
    let waiting = waiting.iter().find(|(version, _)| *version == id.0);
    let waiting = waiting.map(|(_, row)| *row);
    let found = find(connection, read.facts.record.number, id, waiting).map_err(failed)?;
    read.fill(Vec::new(), None);
    let (_, message) = found.ok_or(Error::MessageNotFound)?;
    read.membership
        .require_sees(message.created_at, message.version)?;
    Ok(message)
}

fn list(
    connection: &Connection,
    shared: &Shared,
    caller: &UserId,
    thread: ThreadId,
    page: MessagePage,
) -> Result<Vec<Arc<Message>>> {
    let mut before = page.before.map_or(i64::MAX, |version| version.0);
    let waiting = |number| shared.unsettled.of_thread(number, before, page.limit);
    let (mut read, mut waiting) = ReadThread::begin(connection, shared, caller, thread, waiting)?;
    let membership = read.membership;
    let number = read.facts.record.number;
    let lower = page.start_time.max(membership.share_history_time);
    let lower = lower.as_millis();
    let mut is_first = page.before.is_none();
    if let Some(removed_at) = membership.removed_at {
        before = before.min(removed_at.0.saturating_add(1));
        is_first = false;
        waiting = read.renew(before, page.limit)?;
    }
    let mut reader = MessageReader::new(connection);
    let mut visible = Vec::new();
    while visible.len() < page.limit {
        let piece = Piece::read(&mut reader, number, &waiting, lower..before, page.limit)?;
        let seen = piece
            .messages
            .iter()
            .filter(|message| membership.sees(message.created_at, message.version));
        visible.extend(seen.take(page.limit - visible.len()).cloned());
        if is_first {
            read.fill(piece.messages, Some(piece.floor));
            is_first = false;
        }
        if piece.floor < lower {
            break;
        }
        // What is left out of a page is seldom; the next piece gets a snapshot of its own.
        before = piece.floor.saturating_add(1);
        if visible.len() < page.limit {
            waiting = read.renew(before, page.limit)?;
        }
    }
    Ok(visible)
}

/// A run of messages without a gap, highest version first.
pub(super) struct Piece {
    pub(super) messages: Vec<Arc<Message>>,
    /// All above it, up to where the piece begins, are here.
    floor: i64,
}

impl Piece {
    /// Reads up to `limit` keys of a range of versions, and the messages that stand there.
    pub(super) fn read(
        reader: &mut MessageReader<'_>,
        thread: i64,
        waiting: &[(i64, i64)],
        versions: Range<i64>,
        limit: usize,
    ) -> Result<Self> {
        let lower = versions.start;
        let keys =
            settle::keys(reader.connection, waiting, thread, versions, limit).map_err(failed)?;
        let floor = match keys.last() {
            Some((version, _)) if keys.len() == limit => version - 1,
            _ => lower.saturating_sub(1),
        };
        let mut messages = Vec::with_capacity(keys.len());
        for (version, row) in keys {
            match reader.get(row) {
                // A key that waited when it was taken may have moved since.
                Ok(Some(message)) if message.version.0 == version => messages.push(message),
                Ok(_) => {}
                Err(error) if super::row::is_damage(&error) => {
                    // One damaged row does not break a list.
                    tracing::error!(row, %error, "a message cannot be read and is left out");
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(Self { messages, floor })
    }
}
