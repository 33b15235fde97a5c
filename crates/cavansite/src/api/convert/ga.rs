//! Chat 2021-01-27-preview4 and later, to and from the model.

use std::sync::Arc;

use axum::http::StatusCode;
use cavansite_core::chat::{
    CreatedThread, MessageToSend, ParticipantToAdd, RefusedParticipant, ThreadToCreate,
};
use cavansite_core::model::{
    Message, MessageChange, MessageContent, Metadata, Participant, ReadReceipt, RetentionPolicy,
    TextFormat, Thread, ThreadChange, ThreadId, ThreadSummary, Timestamp, UserMessage,
};
use cavansite_protocol::chat::Decimal;
use cavansite_protocol::chat::ga::{
    AddChatParticipantsRequest, ChatErrors, ChatMessage, ChatMessageContent,
    ChatMessageReadReceipt, ChatParticipant, ChatParticipantRequest, ChatRetentionPolicy,
    ChatThreadItem, ChatThreadProperties, CommunicationIdentifierModel, CreateChatThreadRequest,
    CreateChatThreadResult, InvalidParticipant, InvalidParticipants, MetadataRequest,
    SendChatMessageRequest, SendTypingNotificationRequest, UpdateChatMessageRequest,
    UpdateChatThreadRequest,
};
use cavansite_protocol::chat::since::Feature;
use cavansite_protocol::paging::Collection;
use cavansite_protocol::text::Text;
use cavansite_protocol::time::DateTime;
use cavansite_protocol::version::ChatApiVersion;

use super::{ChatShape, Json, refusal_words};
use crate::api::body::{json, json_or_default};
use crate::api::error::{ApiError, ApiResult};

pub(super) struct Ga;

impl ChatShape for Ga {
    fn read_thread(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadToCreate> {
        let request: CreateChatThreadRequest = json(body)?;
        let people = request.participants.unwrap_or_default();
        Ok(ThreadToCreate {
            topic: request.topic,
            participants: people_to_add(version, people)?,
            metadata: pairs(version, Feature::ThreadMetadata, request.metadata).unwrap_or_default(),
            retention: retention(version, request.retention_policy)?,
            repeat_id: None,
        })
    }

    fn read_thread_change(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<ThreadChange> {
        let request: UpdateChatThreadRequest = json_or_default(body)?;
        Ok(ThreadChange {
            topic: request.topic,
            metadata: pairs(version, Feature::ThreadMetadata, request.metadata),
            retention: retention(version, request.retention_policy)?,
        })
    }

    fn read_participants(
        &self,
        version: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<Vec<ParticipantToAdd>> {
        let request: AddChatParticipantsRequest = json(body)?;
        people_to_add(version, request.participants)
    }

    fn read_message(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<MessageToSend> {
        let request: SendChatMessageRequest = json(body)?;
        let format = match request.r#type.as_deref() {
            None | Some("text") => TextFormat::Text,
            Some("html") => TextFormat::Html,
            Some(_) => {
                let message = "Only messages of type text and html can be sent.";
                return Err(ApiError::invalid(Some("type"), message));
            }
        };
        Ok(MessageToSend {
            content: request.content,
            format,
            sender_display_name: request.sender_display_name.unwrap_or_default(),
            metadata: pairs(version, Feature::MessageMetadata, request.metadata)
                .unwrap_or_default(),
            ..MessageToSend::default()
        })
    }

    fn read_message_change(
        &self,
        version: ChatApiVersion,
        body: &[u8],
    ) -> ApiResult<MessageChange> {
        let request: UpdateChatMessageRequest = json_or_default(body)?;
        Ok(MessageChange {
            content: request.content,
            priority: None,
            metadata: pairs(version, Feature::MessageMetadata, request.metadata),
        })
    }

    fn read_typing(&self, version: ChatApiVersion, body: &[u8]) -> ApiResult<Option<String>> {
        if !Feature::TypingBody.is_in(version) {
            return Ok(None);
        }
        let request: SendTypingNotificationRequest = json_or_default(body)?;
        Ok(request.sender_display_name)
    }

    fn thread_created(
        &self,
        version: ChatApiVersion,
        _: &[String],
        created: &CreatedThread,
    ) -> Json {
        let id = created.thread.id.to_string();
        let chat_thread = properties(version, &id, &created.thread);
        let result = CreateChatThreadResult {
            chat_thread,
            refused: invalid_participants(version, &created.refused),
        };
        Json::new(StatusCode::CREATED, &result)
    }

    fn participants_added(
        &self,
        version: ChatApiVersion,
        _: &[String],
        refused: &[RefusedParticipant],
    ) -> Json {
        let result = invalid_participants(version, refused);
        Json::new(StatusCode::CREATED, &result)
    }

    fn changed(&self) -> StatusCode {
        StatusCode::NO_CONTENT
    }

    fn receipt_sent(&self) -> StatusCode {
        StatusCode::OK
    }

    fn thread_shows_participants(&self) -> bool {
        false
    }

    fn thread(&self, version: ChatApiVersion, thread: &Thread, _: &[Participant]) -> Json {
        Json::ok(&properties(version, &thread.id.to_string(), thread))
    }

    fn threads(&self, threads: &[ThreadSummary], next_link: Option<String>) -> Json {
        let value = threads
            .iter()
            .map(|thread| ChatThreadItem {
                id: thread.id.to_string(),
                topic: &thread.topic,
                last_message_received_on: time(thread.last_message_at),
            })
            .collect();
        Json::ok(&Collection { value, next_link })
    }

    fn message(&self, version: ChatApiVersion, _: ThreadId, message: &Message) -> Json {
        Json::ok(&wire_message(version, message))
    }

    fn messages(
        &self,
        version: ChatApiVersion,
        _: ThreadId,
        messages: &[Arc<Message>],
        next_link: Option<String>,
    ) -> Json {
        let value = messages
            .iter()
            .map(|message| wire_message(version, message))
            .collect();
        Json::messages(&Collection { value, next_link }, messages)
    }

    fn participants(
        &self,
        version: ChatApiVersion,
        people: &[Participant],
        next_link: Option<String>,
    ) -> Json {
        let value = people
            .iter()
            .map(|person| participant(version, person))
            .collect();
        Json::ok(&Collection { value, next_link })
    }

    fn receipts(&self, receipts: &[ReadReceipt], next_link: Option<String>) -> Json {
        let value = receipts
            .iter()
            .map(|receipt| ChatMessageReadReceipt {
                sender_communication_identifier: CommunicationIdentifierModel::user(
                    receipt.reader.as_str(),
                ),
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

/// Metadata, where the version has it.
fn pairs(
    version: ChatApiVersion,
    feature: Feature,
    metadata: Option<MetadataRequest>,
) -> Option<Metadata> {
    metadata
        .filter(|_| feature.is_in(version))
        .map(|pairs| pairs.0)
}

/// A stored map, where the version has it and it is not empty.
fn shown(version: ChatApiVersion, feature: Feature, metadata: &Metadata) -> Option<&Metadata> {
    (feature.is_in(version) && !metadata.is_empty()).then_some(metadata)
}

fn retention(
    version: ChatApiVersion,
    policy: Option<ChatRetentionPolicy>,
) -> ApiResult<Option<RetentionPolicy>> {
    match policy.filter(|_| Feature::RetentionPolicy.is_in(version)) {
        None => Ok(None),
        Some(ChatRetentionPolicy::None {}) => Ok(Some(RetentionPolicy::Keep)),
        Some(ChatRetentionPolicy::ThreadCreationDate {
            delete_thread_after_days,
        }) => Ok(Some(RetentionPolicy::days_after_creation(
            delete_thread_after_days,
        )?)),
    }
}

fn people_to_add(
    version: ChatApiVersion,
    people: Vec<ChatParticipantRequest>,
) -> ApiResult<Vec<ParticipantToAdd>> {
    let person_to_add = |person: ChatParticipantRequest| {
        let raw_id = person
            .communication_identifier
            .into_raw_id()
            .ok_or_else(|| {
                let message = "A communicationIdentifier needs rawId or communicationUser.id.";
                ApiError::invalid(Some("communicationIdentifier"), message)
            })?;
        Ok(ParticipantToAdd {
            raw_id,
            display_name: person.display_name,
            share_history_time: person
                .share_history_time
                .map(|t| Timestamp::from_millis(t.0)),
            metadata: pairs(version, Feature::ParticipantMetadata, person.metadata)
                .unwrap_or_default(),
        })
    };
    people.into_iter().map(person_to_add).collect()
}

pub(super) fn invalid_participants(
    version: ChatApiVersion,
    refused: &[RefusedParticipant],
) -> InvalidParticipants<'_> {
    let invalid_participants: Vec<_> = refused
        .iter()
        .map(|person| {
            let (_, code, message) = refusal_words(person.refusal);
            InvalidParticipant {
                target: &person.raw_id,
                code,
                message,
            }
        })
        .collect();
    if Feature::InvalidParticipants.is_in(version) {
        return InvalidParticipants {
            invalid_participants,
            errors: None,
        };
    }
    InvalidParticipants {
        invalid_participants: Vec::new(),
        errors: (!refused.is_empty()).then_some(ChatErrors {
            invalid_participants,
        }),
    }
}

fn properties<'a>(
    version: ChatApiVersion,
    id: &'a str,
    thread: &'a Thread,
) -> ChatThreadProperties<'a> {
    let policy = thread
        .retention
        .filter(|_| Feature::RetentionPolicy.is_in(version));
    ChatThreadProperties {
        id,
        topic: &thread.topic,
        created_on: time(thread.created_at),
        created_by_communication_identifier: CommunicationIdentifierModel::user(
            thread.created_by.as_str(),
        ),
        metadata: shown(version, Feature::ThreadMetadata, &thread.metadata),
        retention_policy: policy.map(|policy| match policy {
            RetentionPolicy::Keep => ChatRetentionPolicy::None {},
            RetentionPolicy::DaysAfterCreation(days) => ChatRetentionPolicy::ThreadCreationDate {
                delete_thread_after_days: days.into(),
            },
        }),
    }
}

fn participant(version: ChatApiVersion, person: &Participant) -> ChatParticipant<'_> {
    ChatParticipant {
        communication_identifier: CommunicationIdentifierModel::user(person.user.as_str()),
        display_name: person.display_name.as_deref(),
        share_history_time: time(person.share_history_time),
        metadata: shown(version, Feature::ParticipantMetadata, &person.metadata),
    }
}

fn wire_message(version: ChatApiVersion, message: &Message) -> ChatMessage<'_> {
    let mut wire = ChatMessage {
        id: Decimal(message.id.0),
        r#type: "text",
        sequence_id: Decimal(message.sequence_id),
        version: Decimal(message.version.0),
        content: ChatMessageContent::default(),
        sender_display_name: None,
        created_on: time(message.created_at),
        sender_communication_identifier: None,
        deleted_on: None,
        edited_on: None,
        metadata: None,
    };
    let people = |participants| -> Option<Vec<ChatParticipant<'_>>> {
        let participants: &[Participant] = participants;
        Some(
            participants
                .iter()
                .map(|person| participant(version, person))
                .collect(),
        )
    };
    let (r#type, initiator) = match &message.content {
        MessageContent::User(sent) => {
            fill_in_user_message(&mut wire, version, sent);
            return wire;
        }
        MessageContent::TopicUpdated {
            initiator, topic, ..
        } => {
            wire.content.topic = Some(topic);
            ("topicUpdated", initiator)
        }
        MessageContent::ParticipantsAdded {
            initiator,
            participants,
            ..
        } => {
            wire.content.participants = people(participants);
            ("participantAdded", initiator)
        }
        MessageContent::ParticipantsRemoved {
            initiator,
            participants,
            ..
        } => {
            wire.content.participants = people(participants);
            ("participantRemoved", initiator)
        }
    };
    wire.r#type = r#type;
    wire.content.initiator_communication_identifier =
        Some(CommunicationIdentifierModel::user(initiator.as_str()));
    wire
}

fn fill_in_user_message<'a>(
    wire: &mut ChatMessage<'a>,
    version: ChatApiVersion,
    sent: &'a UserMessage,
) {
    if sent.format == TextFormat::Html {
        wire.r#type = "html";
    }
    wire.content.message = Some(Text(&sent.content));
    wire.sender_display_name = Some(&sent.sender_display_name);
    wire.sender_communication_identifier =
        Some(CommunicationIdentifierModel::user(sent.sender.as_str()));
    wire.edited_on = sent.edited_at.map(time);
    wire.deleted_on = sent.deleted_at.map(time);
    wire.metadata = shown(version, Feature::MessageMetadata, &sent.metadata);
}
