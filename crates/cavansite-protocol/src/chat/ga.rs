//! Chat 2021-01-27-preview4 and later: participants, identifier objects, sequence ids, JSON system
//! messages.
//!
//! [`super::since`] says which dated version added or changed which field.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Decimal;
use crate::time::DateTime;

/// A person, in requests. SDKs send `rawId`, `communicationUser.id`, or both.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentifierRequest {
    raw_id: Option<String>,
    communication_user: Option<CommunicationUserRequest>,
}

#[derive(Debug, Deserialize)]
struct CommunicationUserRequest {
    id: String,
}

impl CommunicationIdentifierRequest {
    /// The raw id: `communicationUser.id`, else `rawId`.
    pub fn into_raw_id(self) -> Option<String> {
        self.communication_user.map(|user| user.id).or(self.raw_id)
    }
}

/// A person, in answers: both forms, since each SDK reads its own (Python `rawId`, Java
/// `communicationUser.id`), and nothing more, since JavaScript takes one nested object only.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommunicationIdentifierModel<'a> {
    raw_id: &'a str,
    communication_user: CommunicationUserIdentifierModel<'a>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct CommunicationUserIdentifierModel<'a> {
    id: &'a str,
}

impl<'a> CommunicationIdentifierModel<'a> {
    /// The user of that raw id.
    pub fn user(raw_id: &'a str) -> Self {
        Self {
            raw_id,
            communication_user: CommunicationUserIdentifierModel { id: raw_id },
        }
    }
}

/// Somebody to be added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatParticipantRequest {
    /// Who.
    pub communication_identifier: CommunicationIdentifierRequest,
    /// Their name in the thread.
    pub display_name: Option<String>,
    /// The history to be theirs to read.
    pub share_history_time: Option<DateTime>,
    /// The application's own pairs.
    pub metadata: Option<MetadataRequest>,
}

/// Somebody in a thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatParticipant<'a> {
    /// Who.
    pub communication_identifier: CommunicationIdentifierModel<'a>,
    /// Left out when never given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<&'a str>,
    /// Always there; 1970 for the whole history.
    pub share_history_time: DateTime,
    /// Left out when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

/// String pairs in a request; a key given twice is refused. A null value stands for an empty one,
/// which in an update removes the key.
#[derive(Debug, Default)]
pub struct MetadataRequest(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for MetadataRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = MetadataRequest;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of strings")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<MetadataRequest, A::Error> {
                let mut pairs = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, Option<String>>()? {
                    if pairs.insert(key, value.unwrap_or_default()).is_some() {
                        return Err(serde::de::Error::custom("a metadata key is given twice"));
                    }
                }
                Ok(MetadataRequest(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// `retentionPolicy`, in requests and answers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum ChatRetentionPolicy {
    /// Deleted so many days after its creation.
    #[serde(rename_all = "camelCase")]
    ThreadCreationDate {
        /// 30 to 90.
        delete_thread_after_days: i64,
    },
    /// Kept.
    None {},
}

/// `POST /chat/threads`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateChatThreadRequest {
    /// Not empty.
    pub topic: String,
    /// The people; the creator need not be listed.
    pub participants: Option<Vec<ChatParticipantRequest>>,
    /// The application's own pairs.
    pub metadata: Option<MetadataRequest>,
    /// When to delete the thread.
    pub retention_policy: Option<ChatRetentionPolicy>,
}

/// The 201 answer to creating a thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateChatThreadResult<'a> {
    /// The thread.
    pub chat_thread: ChatThreadProperties<'a>,
    /// Who could not be added.
    #[serde(flatten)]
    pub refused: InvalidParticipants<'a>,
}

/// Those who could not be added, in one of two fields; left out when there are none.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvalidParticipants<'a> {
    /// Where the version has them beside what was made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invalid_participants: Vec<InvalidParticipant<'a>>,
    /// Where the version has them among `errors`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<ChatErrors<'a>>,
}

/// What went wrong beside what was made, until 2021-01-27-preview4.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatErrors<'a> {
    /// Who could not be added.
    pub invalid_participants: Vec<InvalidParticipant<'a>>,
}

/// Somebody who could not be added.
#[derive(Debug, Serialize)]
pub struct InvalidParticipant<'a> {
    /// The raw id.
    pub target: &'a str,
    /// `403` or `404`, as text.
    pub code: &'a str,
    /// Why.
    pub message: &'a str,
}

/// A thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThreadProperties<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it is about.
    pub topic: &'a str,
    /// When it was created.
    pub created_on: DateTime,
    /// Who created it.
    pub created_by_communication_identifier: CommunicationIdentifierModel<'a>,
    /// Left out when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a BTreeMap<String, String>>,
    /// Left out when never set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<ChatRetentionPolicy>,
}

/// An item of `GET /chat/threads`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThreadItem<'a> {
    /// The thread's id.
    pub id: String,
    /// What it is about.
    pub topic: &'a str,
    /// When its newest message came.
    pub last_message_received_on: DateTime,
}

/// `PATCH /chat/threads/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateChatThreadRequest {
    /// The new topic.
    pub topic: Option<String>,
    /// Pairs to set.
    pub metadata: Option<MetadataRequest>,
    /// When to delete the thread.
    pub retention_policy: Option<ChatRetentionPolicy>,
}

/// `POST /chat/threads/{id}/participants/:add`.
#[derive(Debug, Deserialize)]
pub struct AddChatParticipantsRequest {
    /// The people.
    pub participants: Vec<ChatParticipantRequest>,
}

/// `POST /chat/threads/{id}/messages`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendChatMessageRequest {
    /// The text.
    pub content: String,
    /// The sender's name for this message.
    pub sender_display_name: Option<String>,
    /// `text` or `html`; `text` when absent.
    pub r#type: Option<String>,
    /// The application's own pairs.
    pub metadata: Option<MetadataRequest>,
}

/// `PATCH /chat/threads/{id}/messages/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct UpdateChatMessageRequest {
    /// The new text.
    pub content: Option<String>,
    /// Pairs to set.
    pub metadata: Option<MetadataRequest>,
}

/// A message. System messages have no sender fields.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessage<'a> {
    /// Its id.
    pub id: Decimal,
    /// `text`, `html`, `topicUpdated`, `participantAdded` or `participantRemoved`.
    pub r#type: &'a str,
    /// The ordinal of its last change within the thread.
    pub sequence_id: Decimal,
    /// Rises at each change.
    pub version: Decimal,
    /// An object on every message, deleted ones too: Java fails on a list without.
    pub content: ChatMessageContent<'a>,
    /// Present, perhaps empty, on users' messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_display_name: Option<&'a str>,
    /// When it was sent.
    pub created_on: DateTime,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_communication_identifier: Option<CommunicationIdentifierModel<'a>>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_on: Option<DateTime>,
    /// When it was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_on: Option<DateTime>,
    /// Left out when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<&'a BTreeMap<String, String>>,
}

/// What a message says; which fields are there depends on its type.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessageContent<'a> {
    /// The text of a user's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<crate::text::Text<'a>>,
    /// The new topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'a str>,
    /// Who was added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<ChatParticipant<'a>>>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator_communication_identifier: Option<CommunicationIdentifierModel<'a>>,
}

/// `POST /chat/threads/{id}/typing`, where the version has a body.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SendTypingNotificationRequest {
    /// The name to show.
    pub sender_display_name: Option<String>,
}

/// An item of `GET /chat/threads/{id}/readReceipts`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessageReadReceipt<'a> {
    /// Who read.
    pub sender_communication_identifier: CommunicationIdentifierModel<'a>,
    /// Up to and including this message.
    pub chat_message_id: Decimal,
    /// When they said so.
    pub read_on: DateTime,
}
