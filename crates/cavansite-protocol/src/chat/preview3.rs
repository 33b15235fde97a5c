//! Chat 2020-11-01-preview3: what later versions have, but people are strings instead of objects.
//!
//! What names nobody is as in [`super::ga`]; people in requests and read receipts are as in
//! [`super::preview2`].

use serde::{Deserialize, Serialize};

use super::Decimal;
use super::ga::InvalidParticipants;
use super::preview2::{ChatThreadMember, ChatThreadMemberRequest};
use crate::text::Text;
use crate::time::DateTime;

/// `POST /chat/threads`.
#[derive(Debug, Deserialize)]
pub struct CreateChatThreadRequest {
    /// Not empty.
    pub topic: String,
    /// The people; the creator need not be listed.
    pub participants: Vec<ChatThreadMemberRequest>,
}

/// `POST /chat/threads/{id}/participants/:add`.
#[derive(Debug, Deserialize)]
pub struct AddChatParticipantsRequest {
    /// The people.
    pub participants: Vec<ChatThreadMemberRequest>,
}

/// The 201 answer to creating a thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateChatThreadResult<'a> {
    /// The thread.
    pub chat_thread: ChatThread<'a>,
    /// Who could not be added.
    #[serde(flatten)]
    pub refused: InvalidParticipants<'a>,
}

/// A thread.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatThread<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it is about.
    pub topic: &'a str,
    /// When it was created.
    pub created_on: DateTime,
    /// The raw id of who created it.
    pub created_by: &'a str,
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
    /// An object on every message, deleted ones too.
    pub content: ChatMessageContent<'a>,
    /// Present, perhaps empty, on users' messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_display_name: Option<&'a str>,
    /// When it was sent.
    pub created_on: DateTime,
    /// The raw id of who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<&'a str>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_on: Option<DateTime>,
    /// When it was last edited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_on: Option<DateTime>,
}

/// What a message says; which fields are there depends on its type.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatMessageContent<'a> {
    /// The text of a user's message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Text<'a>>,
    /// The new topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<&'a str>,
    /// Who was added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<ChatThreadMember<'a>>>,
    /// The raw id of who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<&'a str>,
}
