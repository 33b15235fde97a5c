//! Threads and the people in them.

use super::{MessageId, Metadata, ThreadId, Timestamp, UserId};

/// A chat thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub id: ThreadId,
    /// What it is about.
    pub topic: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whose token created it.
    pub created_by: UserId,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// When it is to be deleted by itself.
    pub retention: Option<RetentionPolicy>,
}

/// When a thread is to be deleted by itself. Stored and shown; acting on it is not built yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetentionPolicy {
    /// Never (`kind: none`).
    Keep,
    /// So many days after its creation (`kind: threadCreationDate`).
    DaysAfterCreation(u32),
}

/// A thread as the list of one's threads shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSummary {
    /// Its id.
    pub id: ThreadId,
    /// What it is about: for a removed participant, as it was at the removal.
    pub topic: String,
    /// When its newest message (system messages included) that the caller may see was committed.
    pub last_message_at: Timestamp,
}

/// Somebody in a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Who.
    pub user: UserId,
    /// The name given when they were added, if one was.
    pub display_name: Option<String>,
    /// History from this time on is theirs to read; [`Timestamp::EPOCH`] where none was given.
    pub share_history_time: Timestamp,
    /// The application's own pairs.
    pub metadata: Metadata,
}

/// Somebody to be added; their identity and limits are already checked.
#[derive(Clone, Debug)]
pub struct NewParticipant {
    /// Who.
    pub user: UserId,
    /// Their name in the thread.
    pub display_name: Option<String>,
    /// The history to be theirs to read.
    pub share_history_time: Timestamp,
    /// The application's own pairs.
    pub metadata: Metadata,
}

/// A thread to be created; its limits are already checked.
#[derive(Clone, Debug)]
pub struct NewThread {
    /// Random, or derived from the caller and the request id of a repeatable create.
    pub id: ThreadId,
    /// What it is about.
    pub topic: String,
    /// Whose token creates it. A participant even where not listed.
    pub creator: UserId,
    /// Who takes part, each user once, the creator among them.
    pub participants: Vec<NewParticipant>,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// When it is to be deleted by itself.
    pub retention: Option<RetentionPolicy>,
}

/// A change of a thread; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ThreadChange {
    /// The new topic. The topic that it has already changes nothing and says nothing.
    pub topic: Option<String>,
    /// Pairs to set; an empty value removes its key.
    pub metadata: Option<Metadata>,
    /// The new policy.
    pub retention: Option<RetentionPolicy>,
}

/// How far somebody has read: one per participant, the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReceipt {
    /// Who read.
    pub reader: UserId,
    /// Up to and including this message.
    pub message: MessageId,
    /// When they said so.
    pub read_at: Timestamp,
}
