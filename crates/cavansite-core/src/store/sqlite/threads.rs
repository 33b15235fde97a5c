//! Threads: creating, listing, changing, deleting.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::cache::{Posted, Publication};
use super::lists::ListedThread;
use super::messages::merge;
use super::participants::{initiator, participant, write_member};
use super::queue::Outcome;
use super::read::{Snapshot, failed};
use super::row::{self, metadata_to_sql, retention_to_sql};
use super::state::{Counters, Member, Members, ThreadRecord, ThreadState, ever_took_part};
use super::transaction::{Batch, Transaction};
use super::{Shared, SqliteStore};
use crate::chat::input::check_metadata_size;
use crate::error::{Error, Result};
use crate::events::{Audience, Change};
use crate::limits::Limits;
use crate::model::{
    MessageContent, MessageId, Metadata, NewThread, Participant, Thread, ThreadChange, ThreadId,
    ThreadSummary, UserId,
};
use crate::store::{ThreadPage, ThreadStore};

#[async_trait]
impl ThreadStore for SqliteStore {
    async fn create_thread(&self, thread: NewThread) -> Result<Thread> {
        self.write(move |batch| create(batch, thread)).await
    }

    async fn get_thread(&self, caller: &UserId, thread: ThreadId) -> Result<Thread> {
        Ok(self.facts(caller, thread).await?.record.thread.clone())
    }

    async fn list_threads(&self, caller: &UserId, page: ThreadPage) -> Result<Vec<ThreadSummary>> {
        let caller = caller.clone();
        self.read(move |connection, shared| list(connection, shared, &caller, page).map_err(failed))
            .await
    }

    async fn update_thread(
        &self,
        caller: &UserId,
        thread: ThreadId,
        change: ThreadChange,
    ) -> Result<()> {
        let caller = caller.clone();
        self.write(move |batch| update(batch, &caller, thread, change))
            .await
    }

    async fn delete_thread(&self, caller: &UserId, thread: ThreadId) -> Result<()> {
        let caller = caller.clone();
        self.write(move |batch| delete(batch, &caller, thread))
            .await
    }
}

fn create(batch: &mut Batch<'_>, new: NewThread) -> Outcome<Thread> {
    let Batch { threads, tx } = batch;
    if let Some(state) = threads.get(tx, new.id)? {
        return Ok(known_to(tx, state, &new.creator)?);
    }
    let thread = Thread {
        id: new.id,
        topic: new.topic,
        created_at: tx.now,
        created_by: new.creator,
        metadata: new.metadata,
        retention: new.retention,
    };
    let creator = tx.user_number(&thread.created_by)?;
    let number = insert(tx, &thread, creator)?;
    let mut members = Members::default();
    let mut participants = Vec::with_capacity(new.participants.len());
    for (joined, new) in (1..).zip(new.participants) {
        let participant = participant(new);
        participants.push(participant.clone());
        let member = Member {
            number: tx.user_number(&participant.user)?,
            joined,
            participant,
        };
        write_member(tx, number, &member, tx.now)?;
        members.0.insert(member.participant.user.clone(), member);
    }
    let before = Counters {
        version: 0,
        sequence: 0,
        newest_created_at: tx.now,
    };
    let name = members
        .0
        .get(&thread.created_by)
        .and_then(|member| member.participant.display_name.clone());
    let record = ThreadRecord {
        number,
        deleted: false,
        updated_version: 0,
        thread: thread.clone(),
    };
    let mut state = ThreadState::new(record, members, before);
    for member in state.members.0.values() {
        tx.joined(&state.record, member, tx.now);
    }
    let added = MessageContent::ParticipantsAdded {
        initiator: thread.created_by.clone(),
        initiator_display_name: name.clone(),
        participants: participants.clone(),
    };
    let topic = MessageContent::TopicUpdated {
        initiator: thread.created_by.clone(),
        initiator_display_name: name,
        topic: thread.topic.clone(),
    };
    let added = tx.append(&mut state, creator, added, None)?;
    let topic = tx.append(&mut state, creator, topic, None)?;
    tell_created(tx, &state, participants, topic.id);
    let publication = Publication {
        messages: Posted::Created(vec![added.message, topic.message]),
        record: Some(Arc::clone(&state.record)),
        members: Some(Arc::clone(&state.members)),
    };
    tx.publish(thread.id, publication);
    threads.insert(state);
    Ok(thread)
}

fn tell_created(
    tx: &mut Transaction<'_>,
    state: &ThreadState,
    participants: Vec<Participant>,
    topic: MessageId,
) {
    let thread = state.record.thread.clone();
    let creator = thread.created_by.clone();
    let created = Change::Created {
        thread: Box::new(thread),
        participants,
    };
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    tx.tell_change(state, audience, &creator, (tx.now, topic.0), created);
}

/// What a repeated create is answered: the thread, or what its tombstone still tells; to who is no
/// longer in it no more than they knew at their removal.
fn known_to(
    tx: &Transaction<'_>,
    state: &ThreadState,
    creator: &UserId,
) -> rusqlite::Result<Thread> {
    let thread = state.record.thread.clone();
    if state.record.deleted || state.member(creator).is_some() {
        return Ok(thread);
    }
    let topic: Option<Option<String>> = tx
        .connection
        .prepare_cached(
            "SELECT removed_topic FROM participants WHERE thread = ?1 \
             AND user = (SELECT user FROM users WHERE id = ?2)",
        )?
        .query_row(params![state.record.number, creator.as_str()], |row| {
            row.get(0)
        })
        .optional()?;
    Ok(Thread {
        topic: topic.flatten().unwrap_or_default(),
        metadata: Metadata::new(),
        retention: None,
        ..thread
    })
}

fn insert(tx: &Transaction<'_>, thread: &Thread, creator: i64) -> rusqlite::Result<i64> {
    tx.connection
        .prepare_cached(
            "INSERT INTO threads (id, topic, created_at, created_by, metadata, retention_days) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .insert(params![
            thread.id.as_bytes(),
            thread.topic,
            thread.created_at.as_millis(),
            creator,
            metadata_to_sql(&thread.metadata)?,
            retention_to_sql(thread.retention),
        ])
}

fn update(
    batch: &mut Batch<'_>,
    caller: &UserId,
    thread: ThreadId,
    change: ThreadChange,
) -> Outcome<()> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, caller)?;
    let mut record = ThreadRecord::clone(&state.record);
    let topic = apply(change, &mut record.thread, tx.limits)?;
    if record.thread == state.record.thread {
        return Ok(());
    }
    tx.connection
        .prepare_cached(
            "UPDATE threads SET topic = ?2, metadata = ?3, retention_days = ?4 WHERE thread = ?1",
        )?
        .execute(params![
            record.number,
            record.thread.topic,
            metadata_to_sql(&record.thread.metadata)?,
            retention_to_sql(record.thread.retention),
        ])?;
    let (sender, initiator_display_name) = initiator(state, caller)?;
    let mut when = (
        tx.now.max(state.counters.newest_created_at),
        tx.next(state).version,
    );
    if topic.is_none() {
        record.updated_version = when.1;
        tx.connection
            .prepare_cached(
                "UPDATE threads SET updated_version = ?2, updated_at = ?3, updated_by = ?4 \
                 WHERE thread = ?1",
            )?
            .execute(params![record.number, when.1, when.0.as_millis(), sender])?;
    }
    state.record = Arc::new(record);
    let messages = match topic {
        Some(topic) => {
            let content = MessageContent::TopicUpdated {
                initiator: caller.clone(),
                initiator_display_name,
                topic,
            };
            let appended = tx.append(state, sender, content, None)?;
            when = (appended.created_at, appended.id.0);
            tx.posted(thread, appended)
        }
        None => Posted::Nothing,
    };
    let updated = Change::Updated(Box::new(state.record.thread.clone()));
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    tx.tell_change(state, audience, caller, when, updated);
    let publication = Publication {
        messages,
        record: Some(Arc::clone(&state.record)),
        members: None,
    };
    tx.publish(thread, publication);
    Ok(())
}

/// Makes a change of a thread; returns the topic where it is another then.
fn apply(change: ThreadChange, to: &mut Thread, limits: &Limits) -> Result<Option<String>> {
    let topic = change.topic.filter(|topic| *topic != to.topic);
    if let Some(topic) = &topic {
        to.topic.clone_from(topic);
    }
    if let Some(pairs) = change.metadata {
        merge(&mut to.metadata, pairs);
        check_metadata_size(&to.metadata, limits)?;
    }
    to.retention = change.retention.or(to.retention);
    Ok(topic)
}

fn delete(batch: &mut Batch<'_>, caller: &UserId, thread: ThreadId) -> Outcome<()> {
    let Batch { threads, tx } = batch;
    if let Some(state) = threads.get(tx, thread)?
        && state.record.deleted
    {
        if ever_took_part(tx.connection, state.record.number, caller)? {
            return Ok(());
        }
        return Err(Error::NotParticipant.into());
    }
    let state = threads.present(tx, thread, caller)?;
    let number = state.record.number;
    let (deleted_by, _) = initiator(state, caller)?;
    let counters = tx.next(state);
    // The rest of the content goes behind the deletion, in small steps.
    tx.connection
        .prepare_cached(
            "UPDATE threads SET deleted_at = ?2, deleted_version = ?3, deleted_by = ?4, \
             topic = '', metadata = NULL WHERE thread = ?1",
        )?
        .execute(params![
            number,
            tx.now.max(counters.newest_created_at).as_millis(),
            counters.version,
            deleted_by,
        ])?;
    let when = (tx.now.max(counters.newest_created_at), counters.version);
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    tx.tell_change(state, audience, caller, when, Change::Deleted);
    state.delete();
    tx.erase(number);
    let publication = Publication {
        messages: Posted::Deleted,
        ..Publication::default()
    };
    tx.publish(thread, publication);
    Ok(())
}

fn list(
    connection: &Connection,
    shared: &Shared,
    caller: &UserId,
    mut page: ThreadPage,
) -> rusqlite::Result<Vec<ThreadSummary>> {
    let user = connection
        .prepare_cached("SELECT user FROM users WHERE id = ?1")?
        .query_row(params![caller.as_str()], |row| row.get(0))
        .optional()?;
    let Some(user) = user else {
        return Ok(Vec::new());
    };
    let list = shared.lists.get_or_insert(user);
    let limit = page.limit;
    let mut summaries = Vec::new();
    loop {
        let Some(places) = list.places(&page) else {
            let _turn = list.turn_to_fill();
            if list.places(&page).is_none() {
                let threads = read_list(connection, shared, user)?;
                shared.lists.fill(&list, threads);
            }
            continue;
        };
        let is_last = places.len() < page.limit;
        let _snapshot = Snapshot::begin(connection)?;
        // The topic that the user may know, unless the thread is deleted.
        let mut topic = connection.prepare_cached(
            "SELECT ifnull(p.removed_topic, t.topic) FROM threads t JOIN participants p \
             ON p.thread = t.thread WHERE t.thread = ?1 AND p.user = ?2 AND t.deleted_at IS NULL",
        )?;
        for place in places {
            page.after = Some((place.at, place.id));
            let found = topic.query_row(params![place.thread, user], |row| row.get(0));
            match found.optional()? {
                Some(topic) => summaries.push(ThreadSummary {
                    id: place.id,
                    topic,
                    last_message_at: place.at,
                }),
                None => shared.lists.leave_out(&list, place.thread),
            }
        }
        page.limit = limit - summaries.len();
        // More is needed only where some of these were deleted.
        if is_last || page.limit == 0 {
            return Ok(summaries);
        }
    }
}

/// All threads of a user that are not deleted, in no order.
fn read_list(
    connection: &Connection,
    shared: &Shared,
    user: i64,
) -> rusqlite::Result<Vec<(i64, ListedThread)>> {
    let numbers = connection
        .prepare_cached("SELECT thread FROM participants WHERE user = ?1")?
        .query_map(params![user], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    // What waits to be settled is taken before the snapshot begins.
    let mut newest: HashMap<i64, Option<(i64, i64)>> = numbers
        .into_iter()
        .map(|number| (number, shared.unsettled.newest(number)))
        .collect();
    let _snapshot = Snapshot::begin(connection)?;
    let mut statement = connection.prepare_cached(
        "SELECT t.thread, t.id, p.share_history_time, p.joined_at, p.removed_at \
         FROM participants p JOIN threads t ON t.thread = p.thread \
         WHERE p.user = ?1 AND t.deleted_at IS NULL",
    )?;
    let mut rows = statement.query(params![user])?;
    let mut threads = Vec::new();
    while let Some(columns) = rows.next()? {
        let number = columns.get(0)?;
        let Some(waiting) = newest.remove(&number) else {
            // It came in after the look at what waits; the writer tells the list of it.
            continue;
        };
        let id = ThreadId::from_bytes(columns.get(1)?);
        let joined_at = row::timestamp(columns, 3)?;
        let last = match row::timestamp_or_null(columns, 4)? {
            Some(removed_at) => Some(removed_at),
            None => match shared.threads.newest_created_at(id) {
                Some(at) => Some(at),
                None => Counters::read(connection, number, waiting)?
                    .map(|counters| counters.newest_created_at),
            },
        };
        let listed = ListedThread {
            id,
            share_history_time: row::timestamp(columns, 2)?,
            joined_at,
            last_message_at: last.unwrap_or(joined_at),
        };
        threads.push((number, listed));
    }
    Ok(threads)
}
