//! What happens, told to whoever pushes it on: in the model's terms, no wire shape.
//!
//! A store hands a change over after its sync, in commit order, on its writer's thread: a sink
//! must be quick and must not wait. Typing, which is never stored, comes from the chat service.

use std::sync::Arc;

use crate::model::{
    Identity, Installation, Message, MessageContent, MessageId, Participant, Thread, ThreadId,
    Timestamp, UserId, Version,
};

/// Takes what happens.
pub trait EventSink: Send + Sync + 'static {
    /// Something has happened. What is stored comes from one thread, in commit order; typing at
    /// any time, from any thread.
    fn publish(&self, event: Event);
}

/// What happens.
pub enum Event {
    /// Something in a chat thread.
    Thread {
        /// What.
        event: ThreadEvent,
        /// Who is to be told.
        audience: Arc<dyn Audience>,
    },
    /// An identity was made, deleted, or its tokens were revoked: as it is now.
    Identity(Identity),
    /// An access key was replaced: the keys as they are now. Tokens issued under the old one have
    /// ended.
    AccessKeys(Box<Installation>),
}

/// Who is to be told: the people in a thread at the change, whoever it removes included.
pub trait Audience: Send + Sync + 'static {
    /// Calls `tell` with each person and where the history that they may see begins.
    fn for_each(&self, tell: &mut dyn FnMut(&UserId, Timestamp));
}

/// Something that happened in a chat thread.
#[derive(Clone, Debug)]
pub struct ThreadEvent {
    /// Where.
    pub thread: ThreadId,
    /// What.
    pub kind: EventKind,
}

impl ThreadEvent {
    /// The creation time of the message that it is about: to those whose history begins later it
    /// is not told.
    pub fn about(&self) -> Option<Timestamp> {
        match &self.kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageEdited(message)
            | EventKind::MessageDeleted(message) => Some(message.created_at),
            EventKind::ReadReceipt(receipt) => Some(receipt.message_created_at),
            EventKind::Typing { .. } | EventKind::Change { .. } => None,
        }
    }

    /// Its place among the events of its thread, and when it was committed; `None` for typing and
    /// read receipts, which a store does not tell again.
    pub fn position(&self) -> Option<Position> {
        let (version, at) = match &self.kind {
            EventKind::MessageReceived(message) => (message.version, message.created_at),
            EventKind::MessageEdited(message) | EventKind::MessageDeleted(message) => {
                (message.version, changed_at(message)?)
            }
            EventKind::Change { version, at, .. } => (*version, *at),
            EventKind::ReadReceipt(_) | EventKind::Typing { .. } => return None,
        };
        Some(Position {
            thread: self.thread,
            version,
            at,
        })
    }
}

/// When a message was last changed, if it was.
pub(crate) fn changed_at(message: &Message) -> Option<Timestamp> {
    match &message.content {
        MessageContent::User(sent) => sent.deleted_at.or(sent.edited_at),
        _ => None,
    }
}

/// The place of an event that a store can tell again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Its thread.
    pub thread: ThreadId,
    /// The version that its thread has with it: rises within the thread, and is at or after the
    /// time of the commit.
    pub version: Version,
    /// When it was committed.
    pub at: Timestamp,
}

/// The kinds of event.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A participant sent a message.
    MessageReceived(Arc<Message>),
    /// Its sender edited a message.
    MessageEdited(Arc<Message>),
    /// Its sender deleted a message.
    MessageDeleted(Arc<Message>),
    /// Somebody has read.
    ReadReceipt(Receipt),
    /// Somebody is typing.
    Typing {
        /// Who.
        sender: UserId,
        /// The name that they gave; empty for none.
        display_name: String,
        /// When.
        at: Timestamp,
    },
    /// The thread or its people changed.
    Change {
        /// Who did it, as they are in the thread.
        actor: Participant,
        /// When.
        at: Timestamp,
        /// The version that the thread has with it.
        version: Version,
        /// When the thread was created.
        thread_created_at: Timestamp,
        /// What changed.
        change: Change,
    },
}

/// A read receipt that was stored.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Who read.
    pub reader: UserId,
    /// Up to and including this message.
    pub message: MessageId,
    /// When that message was committed.
    pub message_created_at: Timestamp,
    /// When they said so.
    pub read_at: Timestamp,
}

/// A change of a thread or its people.
#[derive(Clone, Debug)]
pub enum Change {
    /// The thread was made.
    Created {
        /// The thread.
        thread: Box<Thread>,
        /// Its people.
        participants: Vec<Participant>,
    },
    /// Topic, metadata or policy changed.
    Updated(Box<Thread>),
    /// The thread was deleted.
    Deleted,
    /// People were added.
    Added(Vec<Participant>),
    /// People were removed.
    Removed(Vec<Participant>),
}

impl Audience for Vec<Participant> {
    fn for_each(&self, tell: &mut dyn FnMut(&UserId, Timestamp)) {
        for participant in self {
            tell(&participant.user, participant.share_history_time);
        }
    }
}
