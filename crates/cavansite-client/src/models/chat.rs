//! Threads, messages, participants and receipts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CommunicationIdentifier, null_as_default};
use crate::setters::setters;
use crate::text_enum::text_enum;

/// Somebody in a thread, or to be added to it.
///
/// ```
/// use cavansite_client::models::{ChatParticipant, CommunicationUserIdentifier};
///
/// let user = CommunicationUserIdentifier::new("8:acs:resource_user");
/// let ben = ChatParticipant::new(user).with_display_name("Ben");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatParticipant {
    /// Who.
    #[serde(rename = "communicationIdentifier")]
    pub identifier: CommunicationIdentifier,
    /// Their name in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// From which time on they see what was said; the whole history without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_history_time: Option<Timestamp>,
    /// The application's own pairs, 1 KB in all (since 2025-03-15).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

impl ChatParticipant {
    /// Somebody without a name, who sees the whole history.
    pub fn new(identifier: impl Into<CommunicationIdentifier>) -> Self {
        Self {
            identifier: identifier.into(),
            display_name: None,
            share_history_time: None,
            metadata: None,
        }
    }
}

setters!(ChatParticipant {
    with_display_name(display_name: String),
    with_share_history_time(share_history_time: Timestamp),
    with_metadata(metadata: BTreeMap<String, String>),
});

/// When a thread is deleted by itself (since 2025-03-15).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[non_exhaustive]
pub enum ChatRetentionPolicy {
    /// So many days after its creation.
    #[serde(rename_all = "camelCase")]
    ThreadCreationDate {
        /// 30 to 90.
        delete_thread_after_days: u32,
    },
    /// Never.
    None,
    /// By a rule that this crate does not know; not to be sent.
    #[serde(other, skip_serializing)]
    UnknownValue,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatThreadProperties {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub topic: String,
    /// When it was created, to the second.
    pub created_on: Timestamp,
    /// Who created it.
    #[serde(rename = "createdByCommunicationIdentifier")]
    pub created_by: Option<CommunicationIdentifier>,
    /// When it was deleted, if it was.
    pub deleted_on: Option<Timestamp>,
    /// The application's own pairs (since 2025-03-15).
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// When it is deleted by itself (since 2025-03-15).
    pub retention_policy: Option<ChatRetentionPolicy>,
}

/// A thread in a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatThreadItem {
    /// Its id.
    pub id: String,
    /// What it is about.
    pub topic: String,
    /// When it was deleted, if it was.
    pub deleted_on: Option<Timestamp>,
    /// When its newest message came.
    pub last_message_received_on: Option<Timestamp>,
}

/// Somebody who could not be added.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct InvalidParticipant {
    /// The raw id.
    pub target: Option<String>,
    /// `403` for somebody who may not take part, `404` for nobody.
    pub code: Option<String>,
    /// Why.
    pub message: Option<String>,
}

/// What creating a thread gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CreateChatThreadResult {
    /// The thread.
    pub chat_thread: ChatThreadProperties,
    /// Who is not in it, though they should be. Mostly empty; worth looking at.
    #[serde(default, deserialize_with = "null_as_default")]
    pub invalid_participants: Vec<InvalidParticipant>,
}

/// What adding people gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AddChatParticipantsResult {
    /// Who was not added. Mostly empty; worth looking at.
    #[serde(default, deserialize_with = "null_as_default")]
    pub invalid_participants: Vec<InvalidParticipant>,
}

/// What sending a message gave.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SendChatMessageResult {
    /// The id of the message.
    pub id: String,
}

text_enum! {
    /// What a message is.
    ChatMessageType {
        /// Plain text from a user.
        Text = "text",
        /// HTML from a user, cleaned by the service.
        Html = "html",
        /// The service says that the thread has a topic.
        TopicUpdated = "topicUpdated",
        /// The service says who was added.
        ParticipantAdded = "participantAdded",
        /// The service says who was removed.
        ParticipantRemoved = "participantRemoved",
    }
}

/// A message in its latest state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatMessage {
    /// Its id, unique in the thread.
    pub id: String,
    /// What it is.
    #[serde(rename = "type")]
    pub message_type: ChatMessageType,
    /// The ordinal of its last change within the thread.
    pub sequence_id: String,
    /// Rises with each change; milliseconds since 1970.
    pub version: String,
    /// What it says.
    #[serde(default, deserialize_with = "null_as_default")]
    pub content: ChatMessageContent,
    /// The name that its sender gave.
    pub sender_display_name: Option<String>,
    /// When it was sent, to the second.
    pub created_on: Timestamp,
    /// Who sent it; nobody, where the service itself speaks.
    #[serde(rename = "senderCommunicationIdentifier")]
    pub sender: Option<CommunicationIdentifier>,
    /// When it was deleted, if it was. It then has no content.
    pub deleted_on: Option<Timestamp>,
    /// When it was last edited, if it was.
    pub edited_on: Option<Timestamp>,
    /// The application's own pairs (since 2021-09-07).
    #[serde(default, deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
}

/// What a message says; which fields are there depends on its type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatMessageContent {
    /// What a user wrote.
    pub message: Option<String>,
    /// The topic that the thread has now.
    pub topic: Option<String>,
    /// Who was added or removed.
    #[serde(default, deserialize_with = "null_as_default")]
    pub participants: Vec<ChatParticipant>,
    /// What came along with the message, in threads shared with Microsoft Teams (since 2023-11-07).
    #[serde(default, deserialize_with = "null_as_default")]
    pub attachments: Vec<ChatAttachment>,
    /// Who set the topic, added or removed.
    #[serde(rename = "initiatorCommunicationIdentifier")]
    pub initiator: Option<CommunicationIdentifier>,
}

text_enum! {
    /// What an attachment is.
    ChatAttachmentType {
        /// A picture.
        Image = "image",
        /// A file.
        File = "file",
    }
}

/// Something that came along with a message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatAttachment {
    /// Its id.
    pub id: String,
    /// What it is.
    pub attachment_type: ChatAttachmentType,
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// Where a small form of it is.
    pub preview_url: Option<String>,
}

/// Who has read up to which message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ChatMessageReadReceipt {
    /// Who read.
    #[serde(rename = "senderCommunicationIdentifier")]
    pub sender: CommunicationIdentifier,
    /// Up to and including this message.
    pub chat_message_id: String,
    /// When they said so.
    pub read_on: Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateChatThreadRequest<'a> {
    pub(crate) topic: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) participants: &'a [ChatParticipant],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retention_policy: Option<&'a ChatRetentionPolicy>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UpdateChatThreadRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retention_policy: Option<&'a ChatRetentionPolicy>,
}

#[derive(Serialize)]
pub(crate) struct AddChatParticipantsRequest<'a> {
    pub(crate) participants: &'a [ChatParticipant],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendChatMessageRequest<'a> {
    pub(crate) content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender_display_name: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) message_type: Option<&'a ChatMessageType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
pub(crate) struct UpdateChatMessageRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendReadReceiptRequest<'a> {
    pub(crate) chat_message_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendTypingNotificationRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sender_display_name: Option<&'a str>,
}
