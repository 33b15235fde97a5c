//! Chat 2020-09-21-preview2, to and from the model.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use axum::http::StatusCode;
use cavansite_core::chat::{
    CreatedThread, MessageToSend, ParticipantToAdd, RefusedParticipant, ThreadToCreate,
};
use cavansite_core::model::{
    Message, MessageChange, MessageContent, Metadata, Participant, Priority, ReadReceipt, Thread,
    ThreadChange, ThreadId, ThreadSummary, Timestamp, UserId, UserMessage,
};
use cavansite_protocol::chat::Decimal;
use cavansite_protocol::chat::preview2::{
    AddChatThreadMembersRequest, ChatMessage, ChatMessagePriority, ChatThread, ChatThreadInfo,
    ChatThreadMember, ChatThreadMemberRequest, CreateChatThreadRequest, IndividualStatusResponse,
    MultiStatusResponse, ReadReceipt as WireReceipt, SendChatMessageRequest, SystemChange,
    SystemContent, UpdateChatMessageRequest, UpdateChatThreadRequest,
};
use cavansite_protocol::paging::Collection;
use cavansite_protocol::time::DateTime;
use cavansite_protocol::version::ChatApiVersion;

use super::{ChatShape, Json, refusal_words};
use crate::api::body::{json, json_or_default};
use crate::api::error::ApiResult;

pub(super) struct Preview2;

impl ChatShape for Preview2 {
    fn read_thread(&self, _: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadToCreate> {
        let request: CreateChatThreadRequest = json(body)?;
        Ok(ThreadToCreate {
            topic: request.topic,
            participants: request.members.into_iter().map(person_to_add).collect(),
            ..ThreadToCreate::default()
        })
    }

    fn read_thread_change(&self, _: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadChange> {
        let request: UpdateChatThreadRequest = json_or_default(body)?;
        Ok(ThreadChange {
            topic: request.topic,
            ..ThreadChange::default()
        })
    }

    fn read_participants(
        &self,
        _: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<Vec<ParticipantToAdd>> {
        let request: AddChatThreadMembersRequest = json(body)?;
        Ok(request.members.into_iter().map(person_to_add).collect())
    }

    fn read_message(&self, _: ChatApiVersion, body: &[u8]) -> ApiResult<MessageToSend> {
        let request: SendChatMessageRequest = json(body)?;
        Ok(MessageToSend {
            content: request.content,
            sender_display_name: request.sender_display_name.unwrap_or_default(),
            priority: request.priority.map(priority).unwrap_or_default(),
            ..MessageToSend::default()
        })
    }

    fn read_message_change(&self, _: ChatApiVersion, body: &[u8]) -> ApiResult<MessageChange> {
        let request: UpdateChatMessageRequest = json_or_default(body)?;
        Ok(MessageChange {
            content: request.content,
            priority: request.priority.map(priority),
            metadata: None,
        })
    }

    fn read_typing(&self, _: ChatApiVersion, _: &[u8]) -> ApiResult<Option<String>> {
        Ok(None)
    }

    fn thread_created(
        &self,
        _: ChatApiVersion,
        listed: &[String],
        created: &CreatedThread,
    ) -> Json {
        let id = created.thread.id.to_string();
        let mut multiple_status = statuses(listed, &created.refused);
        // The thread comes last, and SDKs look for it by its type.
        multiple_status.push(status(&id, "Thread"));
        Json::new(
            StatusCode::MULTI_STATUS,
            &MultiStatusResponse { multiple_status },
        )
    }

    fn participants_added(
        &self,
        _: ChatApiVersion,
        listed: &[String],
        refused: &[RefusedParticipant],
    ) -> Json {
        let multiple_status = statuses(listed, refused);
        Json::new(
            StatusCode::MULTI_STATUS,
            &MultiStatusResponse { multiple_status },
        )
    }

    fn changed(&self) -> StatusCode {
        StatusCode::OK
    }

    fn receipt_sent(&self) -> StatusCode {
        StatusCode::CREATED
    }

    fn thread_shows_participants(&self) -> bool {
        true
    }

    fn thread(&self, _: ChatApiVersion, thread: &Thread, people: &[Participant]) -> Json {
        Json::ok(&ChatThread {
            id: &thread.id.to_string(),
            topic: &thread.topic,
            created_on: time(thread.created_at),
            created_by: thread.created_by.as_str(),
            members: people.iter().map(member).collect(),
        })
    }

    fn threads(&self, threads: &[ThreadSummary], next_link: Option<String>) -> Json {
        let value = threads
            .iter()
            .map(|thread| ChatThreadInfo {
                id: thread.id.to_string(),
                topic: &thread.topic,
                is_deleted: false,
                last_message_received_on: time(thread.last_message_at),
            })
            .collect();
        Json::ok(&Collection { value, next_link })
    }

    fn message(&self, _: ChatApiVersion, thread: ThreadId, message: &Message) -> Json {
        Json::ok(&wire_message(&thread.to_string(), message))
    }

    fn messages(
        &self,
        _: ChatApiVersion,
        thread: ThreadId,
        messages: &[Arc<Message>],
        next_link: Option<String>,
    ) -> Json {
        let thread = thread.to_string();
        let value = messages
            .iter()
            .map(|message| wire_message(&thread, message))
            .collect();
        Json::messages(&Collection { value, next_link }, messages)
    }

    fn participants(
        &self,
        _: ChatApiVersion,
        people: &[Participant],
        next_link: Option<String>,
    ) -> Json {
        Json::ok(&Collection {
            value: people.iter().map(member).collect(),
            next_link,
        })
    }

    fn receipts(&self, receipts: &[ReadReceipt], next_link: Option<String>) -> Json {
        let value = receipts
            .iter()
            .map(|receipt| WireReceipt {
                sender_id: receipt.reader.as_str(),
                chat_message_id: Decimal(receipt.message.0),
                read_on: time(receipt.read_at),
            })
            .collect();
        Json::ok(&Collection { value, next_link })
    }
}

fn time(time: Timestamp) -> DateTime {
    DateTime(time.as_millis())
}

fn priority(priority: ChatMessagePriority) -> Priority {
    match priority {
        ChatMessagePriority::Normal => Priority::Normal,
        ChatMessagePriority::High => Priority::High,
    }
}

pub(super) fn person_to_add(person: ChatThreadMemberRequest) -> ParticipantToAdd {
    ParticipantToAdd {
        raw_id: person.id,
        display_name: person.display_name,
        share_history_time: person
            .share_history_time
            .map(|t| Timestamp::from_millis(t.0)),
        metadata: Metadata::new(),
    }
}

pub(super) fn member(person: &Participant) -> ChatThreadMember<'_> {
    ChatThreadMember {
        id: person.user.as_str(),
        display_name: person.display_name.as_deref(),
        share_history_time: time(person.share_history_time),
    }
}

fn status<'a>(id: &'a str, r#type: &'static str) -> IndividualStatusResponse<'a> {
    IndividualStatusResponse {
        id,
        status_code: 201,
        message: None,
        r#type,
    }
}

/// What became of each person listed, in the request's order.
fn statuses<'a>(
    listed: &'a [String],
    refused: &[RefusedParticipant],
) -> Vec<IndividualStatusResponse<'a>> {
    let refused: HashMap<_, _> = refused
        .iter()
        .map(|person| (person.raw_id.as_str(), person.refusal))
        .collect();
    let of = |id: &'a String| {
        let mut status = status(id, "ThreadMember");
        if let Some(refusal) = refused.get(id.as_str()) {
            let (code, _, message) = refusal_words(*refusal);
            (status.status_code, status.message) = (code, Some(message));
        }
        status
    };
    listed.iter().map(of).collect()
}

fn wire_message<'a>(thread: &'a str, message: &'a Message) -> ChatMessage<'a> {
    let mut wire = ChatMessage {
        id: Decimal(message.id.0),
        r#type: "Text",
        priority: ChatMessagePriority::Normal,
        version: Decimal(message.version.0),
        content: Cow::Borrowed(""),
        sender_display_name: None,
        created_on: time(message.created_at),
        sender_id: thread,
        deleted_on: None,
        edited_on: None,
    };
    match &message.content {
        MessageContent::User(sent) => fill_in_user_message(&mut wire, sent),
        MessageContent::TopicUpdated {
            initiator,
            initiator_display_name,
            topic,
        } => {
            wire.r#type = "ThreadActivity/TopicUpdate";
            let change = SystemChange::Topic(topic);
            wire.content = xml(
                message,
                initiator,
                initiator_display_name.as_deref(),
                change,
            );
        }
        MessageContent::ParticipantsAdded {
            initiator,
            initiator_display_name,
            participants,
        } => {
            wire.r#type = "ThreadActivity/AddMember";
            let change = SystemChange::Added(people(participants));
            wire.content = xml(
                message,
                initiator,
                initiator_display_name.as_deref(),
                change,
            );
        }
        MessageContent::ParticipantsRemoved {
            initiator,
            initiator_display_name,
            participants,
        } => {
            wire.r#type = "ThreadActivity/DeleteMember";
            let change = SystemChange::Removed(people(participants));
            wire.content = xml(
                message,
                initiator,
                initiator_display_name.as_deref(),
                change,
            );
        }
    }
    wire
}

fn fill_in_user_message<'a>(wire: &mut ChatMessage<'a>, sent: &'a UserMessage) {
    if sent.priority == Priority::High {
        wire.priority = ChatMessagePriority::High;
    }
    wire.content = Cow::Borrowed(&sent.content);
    wire.sender_display_name = Some(&sent.sender_display_name);
    wire.sender_id = sent.sender.as_str();
    wire.edited_on = sent.edited_at.map(time);
    wire.deleted_on = sent.deleted_at.map(time);
}

fn people(participants: &[Participant]) -> Vec<(&str, Option<&str>)> {
    participants
        .iter()
        .map(|p| (p.user.as_str(), p.display_name.as_deref()))
        .collect()
}

fn xml<'a>(
    message: &Message,
    initiator: &UserId,
    initiator_name: Option<&str>,
    change: SystemChange<'_>,
) -> Cow<'a, str> {
    let initiator = initiator.as_str();
    let event_time = message.id.0;
    Cow::Owned(
        SystemContent {
            event_time,
            initiator,
            initiator_name,
            change,
        }
        .to_xml(),
    )
}
