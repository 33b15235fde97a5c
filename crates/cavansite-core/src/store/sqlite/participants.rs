//! The people in a thread, and how far they have read.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::cache::Publication;
use super::messages;
use super::queue::Outcome;
use super::read::{ReadThread, failed};
use super::row::{self, metadata_to_sql};
use super::state::{Member, ThreadState};
use super::transaction::{Batch, Transaction};
use super::{Shared, SqliteStore};
use crate::error::{Error, Result};
use crate::events::{Audience, Change, EventKind, Receipt};
use crate::model::{
    MessageContent, MessageId, NewParticipant, Participant, ReadReceipt, ThreadId, Timestamp,
    UserId,
};
use crate::store::ParticipantStore;

#[async_trait]
impl ParticipantStore for SqliteStore {
    async fn list_participants(
        &self,
        caller: &UserId,
        thread: ThreadId,
    ) -> Result<Vec<Participant>> {
        let facts = self.facts(caller, thread).await?;
        let members = facts.members.in_order();
        Ok(members
            .into_iter()
            .map(|member| member.participant.clone())
            .collect())
    }

    async fn add_participants(
        &self,
        caller: &UserId,
        thread: ThreadId,
        participants: Vec<NewParticipant>,
    ) -> Result<Vec<UserId>> {
        let caller = caller.clone();
        self.write(move |batch| add(batch, &caller, thread, participants))
            .await
    }

    async fn remove_participant(
        &self,
        caller: &UserId,
        thread: ThreadId,
        participant: &UserId,
    ) -> Result<()> {
        let (caller, participant) = (caller.clone(), participant.clone());
        self.write(move |batch| remove(batch, &caller, thread, &participant))
            .await
    }

    async fn count_participants(&self, caller: &UserId, thread: ThreadId) -> Result<usize> {
        Ok(self.facts(caller, thread).await?.members.0.len())
    }

    async fn upsert_receipt(
        &self,
        caller: &UserId,
        thread: ThreadId,
        message: MessageId,
    ) -> Result<()> {
        let caller = caller.clone();
        self.write(move |batch| upsert_receipt(batch, &caller, thread, message))
            .await
    }

    async fn list_receipts(&self, caller: &UserId, thread: ThreadId) -> Result<Vec<ReadReceipt>> {
        let caller = caller.clone();
        self.read(move |connection, shared| {
            let read = ReadThread::begin_present(connection, shared, &caller, thread)?;
            let since = read.membership.share_history_time;
            list_receipts(connection, read.facts.record.number, since).map_err(failed)
        })
        .await
    }
}

impl SqliteStore {
    /// The thread and its people, for a caller who is in it.
    pub(super) async fn facts(
        &self,
        caller: &UserId,
        thread: ThreadId,
    ) -> Result<super::cache::ThreadFacts> {
        if let Some(view) = self.shared.threads.get(thread)
            && let Some(facts) = view.facts(caller)
        {
            return Ok(facts);
        }
        let caller = caller.clone();
        self.read(move |connection: &Connection, shared: &Shared| {
            let read = ReadThread::begin_present(connection, shared, &caller, thread)?;
            read.fill(Vec::new(), None);
            Ok(read.facts.clone())
        })
        .await
    }
}

/// Writes the row of somebody who is in the thread from now on.
pub(super) fn write_member(
    tx: &Transaction<'_>,
    thread: i64,
    member: &Member,
    joined_at: Timestamp,
) -> rusqlite::Result<()> {
    let participant = &member.participant;
    tx.connection
        .prepare_cached(
            "INSERT OR REPLACE INTO participants (thread, user, joined, joined_at, display_name, \
             share_history_time, metadata) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            thread,
            member.number,
            member.joined,
            joined_at.as_millis(),
            participant.display_name,
            participant.share_history_time.as_millis(),
            metadata_to_sql(&participant.metadata)?,
        ])
        .map(|_| ())
}

/// Somebody new, as a participant.
pub(super) fn participant(new: NewParticipant) -> Participant {
    Participant {
        user: new.user,
        display_name: new.display_name,
        share_history_time: new.share_history_time,
        metadata: new.metadata,
    }
}

/// The caller's number and the name they have in the thread.
pub(super) fn initiator(state: &ThreadState, caller: &UserId) -> Result<(i64, Option<String>)> {
    let member = state.member(caller).ok_or(Error::NotParticipant)?;
    Ok((member.number, member.participant.display_name.clone()))
}

fn add(
    batch: &mut Batch<'_>,
    caller: &UserId,
    thread: ThreadId,
    participants: Vec<NewParticipant>,
) -> Outcome<Vec<UserId>> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, caller)?;
    let present = &state.members.0;
    let mut places = tx
        .limits
        .participants_per_thread_max
        .saturating_sub(present.len());
    let mut added = Vec::new();
    let mut without_place = Vec::new();
    for new in participants {
        if present.contains_key(&new.user) {
            continue;
        }
        if places == 0 {
            without_place.push(new.user);
        } else {
            places -= 1;
            added.push(participant(new));
        }
    }
    if added.is_empty() {
        return Ok(without_place);
    }
    let (sender, initiator_display_name) = initiator(state, caller)?;
    let content = MessageContent::ParticipantsAdded {
        initiator: caller.clone(),
        initiator_display_name,
        participants: added.clone(),
    };
    let appended = tx.append(state, sender, content, None)?;
    let when = (appended.created_at, appended.id.0);
    let mut members = Vec::with_capacity(added.len());
    for participant in added.clone() {
        state.joined += 1;
        let member = Member {
            number: tx.user_number(&participant.user)?,
            joined: state.joined,
            participant,
        };
        write_member(tx, state.record.number, &member, appended.created_at)?;
        tx.joined(&state.record, &member, appended.created_at);
        members.push((member.participant.user.clone(), member));
    }
    state.change_members(|present| present.extend(members));
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    tx.tell_change(state, audience, caller, when, Change::Added(added));
    let publication = Publication {
        messages: tx.posted(thread, appended),
        members: Some(Arc::clone(&state.members)),
        record: None,
    };
    tx.publish(thread, publication);
    Ok(without_place)
}

fn remove(batch: &mut Batch<'_>, caller: &UserId, thread: ThreadId, user: &UserId) -> Outcome<()> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, caller)?;
    let Some(leaving) = state.member(user).cloned() else {
        return Ok(());
    };
    let (sender, initiator_display_name) = initiator(state, caller)?;
    let content = MessageContent::ParticipantsRemoved {
        initiator: caller.clone(),
        initiator_display_name,
        participants: vec![leaving.participant.clone()],
    };
    let appended = tx.append(state, sender, content, None)?;
    tx.connection
        .prepare_cached(
            "UPDATE participants SET removed_version = ?3, removed_at = ?4, removed_topic = ?5 \
             WHERE thread = ?1 AND user = ?2",
        )?
        .execute(params![
            state.record.number,
            leaving.number,
            appended.id.0,
            appended.created_at.as_millis(),
            state.record.thread.topic,
        ])?;
    let when = (appended.created_at, appended.id.0);
    let removed = Change::Removed(vec![leaving.participant]);
    // Who is removed is told too, and may have removed themselves.
    let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
    tx.tell_change(state, audience, caller, when, removed);
    state.change_members(|present| {
        present.remove(user);
    });
    let publication = Publication {
        messages: tx.posted(thread, appended),
        members: Some(Arc::clone(&state.members)),
        record: None,
    };
    tx.publish(thread, publication);
    Ok(())
}

fn upsert_receipt(
    batch: &mut Batch<'_>,
    caller: &UserId,
    thread: ThreadId,
    message: MessageId,
) -> Outcome<()> {
    let Batch { threads, tx } = batch;
    let state = threads.present(tx, thread, caller)?;
    let member = state.member(caller).ok_or(Error::NotParticipant)?;
    let created_at = messages::created_at(tx, state, message)?
        .filter(|created_at| *created_at >= member.participant.share_history_time)
        .ok_or(Error::MessageNotFound)?;
    let changed = tx
        .connection
        .prepare_cached(
            "UPDATE participants SET receipt_message = ?3, receipt_message_created_at = ?4, \
             receipt_at = ?5 WHERE thread = ?1 AND user = ?2 \
             AND (receipt_message IS NULL OR receipt_message < ?3)",
        )?
        .execute(params![
            state.record.number,
            member.number,
            message.0,
            created_at.as_millis(),
            tx.now.as_millis(),
        ])?;
    if changed > 0 {
        let receipt = Receipt {
            reader: caller.clone(),
            message,
            message_created_at: created_at,
            read_at: tx.now,
        };
        let audience = Arc::clone(&state.members) as Arc<dyn Audience>;
        tx.tell(thread, audience, || EventKind::ReadReceipt(receipt));
    }
    Ok(())
}

/// The receipts of the present, for a reader whose history begins at `since`.
fn list_receipts(
    connection: &Connection,
    thread: i64,
    since: Timestamp,
) -> rusqlite::Result<Vec<ReadReceipt>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id, p.receipt_message, p.receipt_at FROM participants p \
         JOIN users u ON u.user = p.user WHERE p.thread = ?1 AND p.removed_version IS NULL \
         AND p.receipt_message_created_at >= ?2 ORDER BY p.joined",
    )?;
    let receipts = statement.query_map(params![thread, since.as_millis()], |columns| {
        Ok(ReadReceipt {
            reader: row::user_id(columns, 0)?,
            message: MessageId(columns.get(1)?),
            read_at: row::timestamp(columns, 2)?,
        })
    })?;
    receipts.collect()
}
