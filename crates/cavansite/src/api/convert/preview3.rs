//! Chat 2020-11-01-preview3, to and from the model: the shape of later versions wherever nobody is
//! named.

use std::sync::Arc;

use axum::http::StatusCode;
use cavansite_core::chat::{
    CreatedThread, MessageToSend, ParticipantToAdd, RefusedParticipant, ThreadToCreate,
};
use cavansite_core::model::{
    Message, MessageChange, MessageContent, Participant, ReadReceipt, TextFormat, Thread,
    ThreadChange, ThreadId, ThreadSummary, Timestamp, UserMessage,
};
use cavansite_protocol::chat::Decimal;
use cavansite_protocol::chat::preview3::{
    AddChatParticipantsRequest, ChatMessage, ChatMessageContent, ChatThread,
    CreateChatThreadRequest, CreateChatThreadResult,
};
use cavansite_protocol::paging::Collection;
use cavansite_protocol::text::Text;
use cavansite_protocol::time::DateTime;
use cavansite_protocol::version::ChatApiVersion;

use super::ga::{Ga, invalid_participants};
use super::preview2::{Preview2, member, person_to_add};
use super::{ChatShape, Json};
use crate::api::body::json;
use crate::api::error::ApiResult;

pub(super) struct Preview3;

impl ChatShape for Preview3 {
    fn read_thread(&self, _: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadToCreate> {
        let request: CreateChatThreadRequest = json(body)?;
        let people = request.participants.into_iter();
        Ok(ThreadToCreate {
            topic: request.topic,
            participants: people.map(person_to_add).collect(),
            ..ThreadToCreate::default()
        })
    }

    fn read_thread_change(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadChange> {
        Ga.read_thread_change(version, body)
    }

    fn read_participants(
        &self,
        _: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<Vec<ParticipantToAdd>> {
        let request: AddChatParticipantsRequest = json(body)?;
        Ok(request
            .participants
            .into_iter()
            .map(person_to_add)
            .collect())
    }

    fn read_message(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<MessageToSend> {
        Ga.read_message(version, body)
    }

    fn read_message_change(
        &self,
        version: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<MessageChange> {
        Ga.read_message_change(version, body)
    }

    fn read_typing(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<Option<String>> {
        Ga.read_typing(version, body)
    }

    fn thread_created(
        &self,
        version: ChatApiVersion,
        _: &[String],
        created: &CreatedThread,
    ) -> Json {
        let id = created.thread.id.to_string();
        let result = CreateChatThreadResult {
            chat_thread: chat_thread(&id, &created.thread),
            refused: invalid_participants(version, &created.refused),
        };
        Json::new(StatusCode::CREATED, &result)
    }

    fn participants_added(
        &self,
        version: ChatApiVersion,
        listed: &[String],
        refused: &[RefusedParticipant],
    ) -> Json {
        Ga.participants_added(version, listed, refused)
    }

    fn changed(&self) -> StatusCode {
        Ga.changed()
    }

    fn receipt_sent(&self) -> StatusCode {
        Ga.receipt_sent()
    }

    fn thread_shows_participants(&self) -> bool {
        Ga.thread_shows_participants()
    }

    fn thread(&self, _: ChatApiVersion, thread: &Thread, _: &[Participant]) -> Json {
        Json::ok(&chat_thread(&thread.id.to_string(), thread))
    }

    fn threads(&self, threads: &[ThreadSummary], next_link: Option<String>) -> Json {
        Ga.threads(threads, next_link)
    }

    fn message(&self, _: ChatApiVersion, _: ThreadId, message: &Message) -> Json {
        Json::ok(&wire_message(message))
    }

    fn messages(
        &self,
        _: ChatApiVersion,
        _: ThreadId,
        messages: &[Arc<Message>],
        next_link: Option<String>,
    ) -> Json {
        let value = messages.iter().map(|message| wire_message(message));
        let value = value.collect();
        Json::messages(&Collection { value, next_link }, messages)
    }

    fn participants(
        &self,
        version: ChatApiVersion,
        people: &[Participant],
        next_link: Option<String>,
    ) -> Json {
        Preview2.participants(version, people, next_link)
    }

    fn receipts(&self, receipts: &[ReadReceipt], next_link: Option<String>) -> Json {
        Preview2.receipts(receipts, next_link)
    }
}

fn time(time: Timestamp) -> DateTime {
    DateTime(time.as_millis())
}

fn chat_thread<'a>(id: &'a str, thread: &'a Thread) -> ChatThread<'a> {
    ChatThread {
        id,
        topic: &thread.topic,
        created_on: time(thread.created_at),
        created_by: thread.created_by.as_str(),
    }
}

fn wire_message(message: &Message) -> ChatMessage<'_> {
    let mut wire = ChatMessage {
        id: Decimal(message.id.0),
        r#type: "text",
        sequence_id: Decimal(message.sequence_id),
        version: Decimal(message.version.0),
        content: ChatMessageContent::default(),
        sender_display_name: None,
        created_on: time(message.created_at),
        sender_id: None,
        deleted_on: None,
        edited_on: None,
    };
    let (r#type, initiator, participants) = match &message.content {
        MessageContent::User(sent) => {
            fill_in_user_message(&mut wire, sent);
            return wire;
        }
        MessageContent::TopicUpdated {
            initiator, topic, ..
        } => {
            wire.content.topic = Some(topic);
            ("topicUpdated", initiator, None)
        }
        MessageContent::ParticipantsAdded {
            initiator,
            participants,
            ..
        } => ("participantAdded", initiator, Some(participants)),
        MessageContent::ParticipantsRemoved {
            initiator,
            participants,
            ..
        } => ("participantRemoved", initiator, Some(participants)),
    };
    wire.r#type = r#type;
    wire.content.participants = participants.map(|people| people.iter().map(member).collect());
    wire.content.initiator = Some(initiator.as_str());
    wire
}

fn fill_in_user_message<'a>(wire: &mut ChatMessage<'a>, sent: &'a UserMessage) {
    if sent.format == TextFormat::Html {
        wire.r#type = "html";
    }
    wire.content.message = Some(Text(&sent.content));
    wire.sender_display_name = Some(&sent.sender_display_name);
    wire.sender_id = Some(sent.sender.as_str());
    wire.edited_on = sent.edited_at.map(time);
    wire.deleted_on = sent.deleted_at.map(time);
}
