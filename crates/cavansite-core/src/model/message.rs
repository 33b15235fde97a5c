//! Messages: what users send, and what the service says of a thread's changes.

use super::{MessageId, Metadata, Participant, Timestamp, UserId, Version};

/// A message as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id within the thread.
    pub id: MessageId,
    /// Rises at each change.
    pub version: Version,
    /// The ordinal, in the thread, of its last change; from 1, without gaps.
    pub sequence_id: i64,
    /// When it was committed. Never falls within a thread; history bounds compare with it.
    pub created_at: Timestamp,
    /// What it says.
    pub content: MessageContent,
}

/// The kinds of message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageContent {
    /// Sent by a participant.
    User(UserMessage),
    /// The thread got this topic, at its creation or later.
    TopicUpdated {
        /// Who did it.
        initiator: UserId,
        /// The initiator's display name in the thread at that time.
        initiator_display_name: Option<String>,
        /// The topic.
        topic: String,
    },
    /// These people were added, at the thread's creation or later.
    ParticipantsAdded {
        /// Who did it.
        initiator: UserId,
        /// The initiator's display name in the thread at that time.
        initiator_display_name: Option<String>,
        /// Who was added, in the request's order.
        participants: Vec<Participant>,
    },
    /// These people were removed or left.
    ParticipantsRemoved {
        /// Who did it.
        initiator: UserId,
        /// The initiator's display name in the thread at that time.
        initiator_display_name: Option<String>,
        /// Who was removed.
        participants: Vec<Participant>,
    },
}

/// A participant's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserMessage {
    /// Who sent it.
    pub sender: UserId,
    /// Empty when the sender gave none; kept through edits and deletion.
    pub sender_display_name: String,
    /// How `content` is to be read.
    pub format: TextFormat,
    /// The text; empty once deleted.
    pub content: String,
    /// A hint for people's eyes, of the 2020 betas.
    pub priority: Priority,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// When it was last edited; `None` again once deleted.
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

/// How a message's content is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TextFormat {
    /// Plain text.
    #[default]
    Text,
    /// HTML.
    Html,
}

/// A hint to the recipient's interface; it has no effect in the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Priority {
    /// `Normal`.
    #[default]
    Normal,
    /// `High`.
    High,
}

/// A message to be sent; its limits are already checked.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Empty when the sender gave none.
    pub sender_display_name: String,
    /// How `content` is to be read.
    pub format: TextFormat,
    /// The text.
    pub content: String,
    /// A hint for people's eyes.
    pub priority: Priority,
    /// The application's own pairs.
    pub metadata: Metadata,
    /// Names this send, where the client gave it a request id and repeats are recognised.
    pub fingerprint: Option<SendFingerprint>,
}

/// Sixteen bytes that are equal for a send and its repetition by an SDK (same request id, same
/// body), and for nothing else. Stored with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SendFingerprint(pub [u8; 16]);

/// An edit; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct MessageChange {
    /// The new text.
    pub content: Option<String>,
    /// The new priority.
    pub priority: Option<Priority>,
    /// Pairs to set; an empty value removes its key (recorded of the hosted service).
    pub metadata: Option<Metadata>,
}
