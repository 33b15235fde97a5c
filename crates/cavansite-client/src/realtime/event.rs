//! What a stream of events yields.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;

use crate::models::{
    ChatAttachment, ChatMessageType, ChatParticipant, ChatRetentionPolicy, CommunicationIdentifier,
};

/// Something that happened in one of the user's threads, or to the stream itself.
///
/// In one thread events come in the order in which they happened. The events of messages, of
/// participants and of threads reach everyone in the thread, the one who caused them too.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ChatEvent {
    /// A message was sent.
    MessageReceived(ChatMessageReceivedEvent),
    /// A message was changed.
    MessageEdited(ChatMessageEditedEvent),
    /// A message was deleted.
    MessageDeleted(ChatMessageDeletedEvent),
    /// Somebody is typing.
    TypingIndicatorReceived(TypingIndicatorReceivedEvent),
    /// Somebody has read up to a message.
    ReadReceiptReceived(ReadReceiptReceivedEvent),
    /// A thread was created, with the user in it.
    ThreadCreated(ChatThreadCreatedEvent),
    /// A thread's topic, metadata or retention policy was changed.
    ThreadPropertiesUpdated(ChatThreadPropertiesUpdatedEvent),
    /// A thread was deleted.
    ThreadDeleted(ChatThreadDeletedEvent),
    /// Somebody was added to a thread.
    ParticipantsAdded(ParticipantsAddedEvent),
    /// Somebody was removed from a thread, or has left it.
    ParticipantsRemoved(ParticipantsRemovedEvent),
    /// An event that this crate does not know, or cannot read.
    Unknown(UnknownEvent),

    /// The stream begins: what happens from here on is told.
    Connected,
    /// The connection was lost. It is being made again; nothing is to be done.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
    /// The connection is there again. What happened meanwhile may be missing: list the messages
    /// since then, and let [`RealtimeEvents::missed`](super::RealtimeEvents::missed) say which of
    /// them are news. (Cavansite tells again what was missed, for five minutes, so that nothing
    /// is.)
    Reconnected {
        /// Since when something may be missing, with a margin; `None` where the server has told
        /// nothing yet that would say.
        since: Option<Timestamp>,
    },
    /// The program reads too slowly, or the server has lost something: events are missing in this
    /// place. As after [`ChatEvent::Reconnected`], list again.
    Lagged {
        /// How many are missing; where the server has lost them, at least so many.
        missed: u64,
        /// Since when, with a margin; `None` where the server has told nothing yet that would say.
        since: Option<Timestamp>,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// It broke, or was closed without a word.
    Lost,
    /// Nothing came for longer than the server said it would be silent.
    Silent,
    /// A sign of life was not acknowledged in time.
    Unacknowledged,
    /// What came was none of the protocol: binary, too long, no frame.
    OutOfProtocol,
    /// The token has expired or was revoked; the credential is asked for another one.
    Unauthorized,
    /// Another connection of the same client took its place.
    Replaced,
    /// The service does not take this client any more; the stream ends.
    Deprecated,
    /// The server ended it, with a word of its own if any.
    ByServer(Option<String>),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "the connection broke",
            Self::Silent => "the server was silent for too long",
            Self::Unacknowledged => "the server did not acknowledge in time",
            Self::OutOfProtocol => "the server does not speak the protocol",
            Self::Unauthorized => "the token is not valid any more",
            Self::Replaced => "another connection took its place",
            Self::Deprecated => "the service does not take this client any more",
            Self::ByServer(None) => "the server ended the connection",
            Self::ByServer(Some(word)) => {
                return write!(f, "the server ended the connection: {word}");
            }
        })
    }
}

/// The longest word of a server that is kept, in bytes.
const REASON_BYTES_MAX: usize = 200;

impl DisconnectReason {
    /// What the data of a disconnect frame means.
    pub(super) fn of_server(data: &str) -> Self {
        #[derive(serde::Deserialize)]
        struct Said {
            reason: String,
        }
        if data == "dup" {
            return Self::Replaced;
        }
        let said = serde_json::from_str(data).map(|said: Said| said.reason);
        let word = said.as_deref().unwrap_or(data);
        match word {
            "unauthorized" => Self::Unauthorized,
            "skypetoken-deprecated" => Self::Deprecated,
            "" => Self::ByServer(None),
            word => {
                let end = word.floor_char_boundary(REASON_BYTES_MAX);
                Self::ByServer(Some(word[..end].to_owned()))
            }
        }
    }
}

/// A message was sent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatMessageReceivedEvent {
    /// The thread.
    pub thread_id: String,
    /// The message; a number of milliseconds, as text.
    pub id: String,
    /// The version of the message.
    pub version: String,
    /// Whether it is text or HTML.
    pub message_type: ChatMessageType,
    /// What it says.
    pub message: String,
    /// What the sender added for programs.
    pub metadata: BTreeMap<String, String>,
    /// Files and images.
    pub attachments: Vec<ChatAttachment>,
    /// Who sent it.
    pub sender: CommunicationIdentifier,
    /// Their name, as they gave it.
    pub sender_display_name: Option<String>,
    /// Whom this event is for: the user of the client. `None` in an event made of a listed message.
    pub recipient: Option<CommunicationIdentifier>,
    /// When the server took it.
    pub created_on: Option<Timestamp>,
}

/// A message was changed. All is as it is now.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatMessageEditedEvent {
    /// The thread.
    pub thread_id: String,
    /// The message.
    pub id: String,
    /// The new version of the message.
    pub version: String,
    /// Whether it is text or HTML.
    pub message_type: ChatMessageType,
    /// What it says now.
    pub message: String,
    /// What the sender added for programs.
    pub metadata: BTreeMap<String, String>,
    /// Files and images.
    pub attachments: Vec<ChatAttachment>,
    /// Who sent it.
    pub sender: CommunicationIdentifier,
    /// Their name, as they gave it.
    pub sender_display_name: Option<String>,
    /// Whom this event is for: the user of the client. `None` in an event made of a listed message.
    pub recipient: Option<CommunicationIdentifier>,
    /// When the server took the message first.
    pub created_on: Option<Timestamp>,
    /// When it was changed.
    pub edited_on: Option<Timestamp>,
}

/// A message was deleted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatMessageDeletedEvent {
    /// The thread.
    pub thread_id: String,
    /// The message.
    pub id: String,
    /// The new version of the message.
    pub version: String,
    /// What it was.
    pub message_type: ChatMessageType,
    /// Who sent it.
    pub sender: CommunicationIdentifier,
    /// Their name, as they gave it.
    pub sender_display_name: Option<String>,
    /// Whom this event is for: the user of the client. `None` in an event made of a listed message.
    pub recipient: Option<CommunicationIdentifier>,
    /// When the server took the message first.
    pub created_on: Option<Timestamp>,
    /// When it was deleted.
    pub deleted_on: Option<Timestamp>,
}

/// Somebody is typing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TypingIndicatorReceivedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// Who types.
    pub sender: CommunicationIdentifier,
    /// Their name, as they gave it.
    pub sender_display_name: Option<String>,
    /// Whom this event is for: the user of the client.
    pub recipient: CommunicationIdentifier,
    /// When the server was told.
    pub received_on: Option<Timestamp>,
}

/// Somebody has read up to a message.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ReadReceiptReceivedEvent {
    /// The thread.
    pub thread_id: String,
    /// The message up to which they have read.
    pub chat_message_id: String,
    /// Who has read.
    pub sender: CommunicationIdentifier,
    /// Whom this event is for: the user of the client.
    pub recipient: CommunicationIdentifier,
    /// When they have read.
    pub read_on: Option<Timestamp>,
}

/// What a thread is about, and how long its messages are kept.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ThreadProperties {
    /// The topic.
    pub topic: String,
    /// What was added for programs.
    pub metadata: BTreeMap<String, String>,
    /// After how long messages are deleted, where that is told.
    pub retention_policy: Option<ChatRetentionPolicy>,
}

/// A thread was created, with the user in it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatThreadCreatedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// What it is about.
    pub properties: ThreadProperties,
    /// Who is in it.
    pub participants: Vec<ChatParticipant>,
    /// Who created it.
    pub created_by: ChatParticipant,
    /// When.
    pub created_on: Option<Timestamp>,
}

/// A thread's topic, metadata or retention policy was changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatThreadPropertiesUpdatedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// What it is about now.
    pub properties: ThreadProperties,
    /// Who changed it.
    pub updated_by: ChatParticipant,
    /// When.
    pub updated_on: Option<Timestamp>,
}

/// A thread was deleted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChatThreadDeletedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// Who deleted it; `None` where its retention policy did.
    pub deleted_by: Option<ChatParticipant>,
    /// When.
    pub deleted_on: Option<Timestamp>,
    /// Whether somebody did, or its retention policy.
    pub reason: Option<ThreadDeletionReason>,
}

crate::text_enum::text_enum! {
    /// Why a thread was deleted.
    ThreadDeletionReason {
        /// Somebody deleted it.
        DeletedByUser = "deletedByUser",
        /// Its retention policy says so.
        DeletedByPolicy = "deletedByPolicy",
    }
}

/// Somebody was added to a thread.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParticipantsAddedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// Who was added.
    pub participants_added: Vec<ChatParticipant>,
    /// By whom.
    pub added_by: ChatParticipant,
    /// When.
    pub added_on: Option<Timestamp>,
}

/// Somebody was removed from a thread, or has left it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ParticipantsRemovedEvent {
    /// The thread.
    pub thread_id: String,
    /// The version of the event.
    pub version: String,
    /// Who was removed.
    pub participants_removed: Vec<ChatParticipant>,
    /// By whom.
    pub removed_by: ChatParticipant,
    /// When.
    pub removed_on: Option<Timestamp>,
}

/// An event that this crate does not know, or cannot read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UnknownEvent {
    /// The number by which the service tells events apart, where there is one.
    pub event_id: Option<i64>,
    /// What came, as the server wrote it; JSON if all is well.
    pub body: String,
}

/// What tells events apart, of which a server may tell several times.
#[derive(Debug, Hash, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Received(&'a str, &'a str),
    Edited(&'a str, &'a str, &'a str),
    Deleted(&'a str, &'a str),
    Typing(&'a str, &'a str, &'a str),
    Read(&'a str, &'a str, &'a str, Option<Timestamp>),
    /// A change of a thread, by what changed, its version, and of whom it tells.
    Thread(u16, &'a str, &'a str, Vec<&'a str>),
}

impl ChatEvent {
    /// Whether this tells of the stream, not of a thread.
    ///
    /// ```
    /// use cavansite_client::realtime::ChatEvent;
    ///
    /// assert!(ChatEvent::Connected.is_marker());
    /// ```
    pub fn is_marker(&self) -> bool {
        matches!(
            self,
            Self::Connected
                | Self::Disconnected { .. }
                | Self::Reconnected { .. }
                | Self::Lagged { .. }
        )
    }

    /// The thread in which it happened.
    ///
    /// ```
    /// use cavansite_client::realtime::ChatEvent;
    ///
    /// fn is_of(event: &ChatEvent, thread_id: &str) -> bool {
    ///     event.thread_id() == Some(thread_id)
    /// }
    /// assert!(!is_of(&ChatEvent::Connected, "19:thread@thread.v2"));
    /// ```
    pub fn thread_id(&self) -> Option<&str> {
        Some(match self {
            Self::MessageReceived(event) => &event.thread_id,
            Self::MessageEdited(event) => &event.thread_id,
            Self::MessageDeleted(event) => &event.thread_id,
            Self::TypingIndicatorReceived(event) => &event.thread_id,
            Self::ReadReceiptReceived(event) => &event.thread_id,
            Self::ThreadCreated(event) => &event.thread_id,
            Self::ThreadPropertiesUpdated(event) => &event.thread_id,
            Self::ThreadDeleted(event) => &event.thread_id,
            Self::ParticipantsAdded(event) => &event.thread_id,
            Self::ParticipantsRemoved(event) => &event.thread_id,
            _ => return None,
        })
    }

    /// When it happened, by the server's clock.
    pub(super) fn server_time(&self) -> Option<Timestamp> {
        match self {
            Self::MessageReceived(event) => event.created_on,
            Self::MessageEdited(event) => event.edited_on,
            Self::MessageDeleted(event) => event.deleted_on,
            Self::TypingIndicatorReceived(event) => event.received_on,
            Self::ReadReceiptReceived(event) => event.read_on,
            Self::ThreadCreated(event) => event.created_on,
            Self::ThreadPropertiesUpdated(event) => event.updated_on,
            Self::ThreadDeleted(event) => event.deleted_on,
            Self::ParticipantsAdded(event) => event.added_on,
            Self::ParticipantsRemoved(event) => event.removed_on,
            _ => None,
        }
    }

    /// What tells it apart from others; `None` for what is always news.
    pub(super) fn key(&self) -> Option<Key<'_>> {
        let key = match self {
            Self::MessageReceived(e) => Key::Received(&e.thread_id, &e.id),
            Self::MessageEdited(e) => Key::Edited(&e.thread_id, &e.id, &e.version),
            Self::MessageDeleted(e) => Key::Deleted(&e.thread_id, &e.id),
            Self::TypingIndicatorReceived(e) => {
                Key::Typing(&e.thread_id, e.sender.raw_id(), &e.version)
            }
            Self::ReadReceiptReceived(e) => Key::Read(
                &e.thread_id,
                e.sender.raw_id(),
                &e.chat_message_id,
                e.read_on,
            ),
            Self::ThreadCreated(e) => Key::Thread(257, &e.thread_id, &e.version, Vec::new()),
            Self::ThreadPropertiesUpdated(e) => {
                Key::Thread(258, &e.thread_id, &e.version, Vec::new())
            }
            Self::ThreadDeleted(e) => Key::Thread(259, &e.thread_id, &e.version, Vec::new()),
            Self::ParticipantsAdded(e) => {
                Key::Thread(260, &e.thread_id, &e.version, ids(&e.participants_added))
            }
            Self::ParticipantsRemoved(e) => {
                Key::Thread(261, &e.thread_id, &e.version, ids(&e.participants_removed))
            }
            _ => return None,
        };
        Some(key)
    }
}

fn ids(people: &[ChatParticipant]) -> Vec<&str> {
    people
        .iter()
        .map(|person| person.identifier.raw_id())
        .collect()
}
