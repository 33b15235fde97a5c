//! The payload of a pushed event, read into a [`ChatEvent`].
//!
//! What an event cannot do without is required, as by the official client; all else is taken where
//! it can be read and left out where it cannot. What cannot be read at all is an unknown event, so
//! that it is seen.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::event::{
    ChatEvent, ChatMessageDeletedEvent, ChatMessageEditedEvent, ChatMessageReceivedEvent,
    ChatThreadCreatedEvent, ChatThreadDeletedEvent, ChatThreadPropertiesUpdatedEvent,
    ParticipantsAddedEvent, ParticipantsRemovedEvent, ReadReceiptReceivedEvent,
    ThreadDeletionReason, ThreadProperties, TypingIndicatorReceivedEvent, UnknownEvent,
};
use super::unescape::unescape;
use crate::models::{
    ChatAttachment, ChatMessageType, ChatParticipant, ChatRetentionPolicy, CommunicationIdentifier,
};

/// Reads an event.
pub(super) fn read(body: &str) -> ChatEvent {
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    // A string is none to the official client either.
    let event_id = value["eventId"].as_i64();
    let known = event_id.and_then(|event_id| Fields(&value).event(event_id));
    known.unwrap_or_else(|| {
        ChatEvent::Unknown(UnknownEvent {
            event_id,
            body: body.to_owned(),
        })
    })
}

/// An object whose members are looked at one by one.
struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn event(&self, event_id: i64) -> Option<ChatEvent> {
        Some(match event_id {
            200 => ChatEvent::MessageReceived(self.message_received()?),
            245 => ChatEvent::TypingIndicatorReceived(self.typing()?),
            246 => ChatEvent::ReadReceiptReceived(self.read_receipt()?),
            247 => ChatEvent::MessageEdited(self.message_edited()?),
            248 => ChatEvent::MessageDeleted(self.message_deleted()?),
            257 => ChatEvent::ThreadCreated(ChatThreadCreatedEvent {
                thread_id: self.text("threadId"),
                version: self.text("version"),
                properties: self.properties()?,
                participants: self.participants("members")?,
                created_by: self.participant("createdBy")?,
                created_on: self.time("createTime"),
            }),
            258 => ChatEvent::ThreadPropertiesUpdated(ChatThreadPropertiesUpdatedEvent {
                thread_id: self.text("threadId"),
                version: self.text("version"),
                properties: self.properties()?,
                updated_by: self.participant("editedBy")?,
                updated_on: self.time("editTime"),
            }),
            259 => ChatEvent::ThreadDeleted(self.thread_deleted()?),
            260 => ChatEvent::ParticipantsAdded(ParticipantsAddedEvent {
                thread_id: self.text("threadId"),
                version: self.text("version"),
                participants_added: self.participants("participantsAdded")?,
                added_by: self.participant("addedBy")?,
                added_on: self.time("time"),
            }),
            261 => ChatEvent::ParticipantsRemoved(ParticipantsRemovedEvent {
                thread_id: self.text("threadId"),
                version: self.text("version"),
                participants_removed: self.participants("participantsRemoved")?,
                removed_by: self.participant("removedBy")?,
                removed_on: self.time("time"),
            }),
            _ => return None,
        })
    }

    fn message_received(&self) -> Option<ChatMessageReceivedEvent> {
        Some(ChatMessageReceivedEvent {
            thread_id: self.text("groupId"),
            id: self.text("messageId"),
            version: self.text("version"),
            message_type: self.message_type(),
            message: self.text("messageBody"),
            metadata: self.metadata(),
            attachments: self.attachments(),
            sender: self.identifier("senderId")?,
            sender_display_name: self.name(),
            recipient: Some(self.identifier("recipientMri")?),
            created_on: self.time("originalArrivalTime"),
        })
    }

    fn message_edited(&self) -> Option<ChatMessageEditedEvent> {
        Some(ChatMessageEditedEvent {
            thread_id: self.text("groupId"),
            id: self.text("messageId"),
            version: self.text("version"),
            message_type: self.message_type(),
            message: self.text("messageBody"),
            metadata: self.metadata(),
            attachments: self.attachments(),
            sender: self.identifier("senderId")?,
            sender_display_name: self.name(),
            recipient: Some(self.identifier("recipientMri")?),
            created_on: self.time("originalArrivalTime"),
            edited_on: self.time("edittime"),
        })
    }

    fn message_deleted(&self) -> Option<ChatMessageDeletedEvent> {
        Some(ChatMessageDeletedEvent {
            thread_id: self.text("groupId"),
            id: self.text("messageId"),
            version: self.text("version"),
            message_type: self.message_type(),
            sender: self.identifier("senderId")?,
            sender_display_name: self.name(),
            recipient: Some(self.identifier("recipientMri")?),
            created_on: self.time("originalArrivalTime"),
            deleted_on: self.time("deletetime"),
        })
    }

    fn typing(&self) -> Option<TypingIndicatorReceivedEvent> {
        Some(TypingIndicatorReceivedEvent {
            thread_id: self.text("groupId"),
            version: self.text("version"),
            sender: self.identifier("senderId")?,
            sender_display_name: self.name(),
            recipient: self.identifier("recipientMri")?,
            received_on: self.time("originalArrivalTime"),
        })
    }

    fn read_receipt(&self) -> Option<ReadReceiptReceivedEvent> {
        let body: Value = self.inner("messageBody")?;
        // The message's id, milliseconds since the epoch, and a number.
        let horizon = body["consumptionhorizon"].as_str()?;
        let read_on = horizon.split(';').nth(1)?.parse().ok();
        Some(ReadReceiptReceivedEvent {
            thread_id: self.text("groupId"),
            chat_message_id: self.text("messageId"),
            sender: self.identifier("senderId")?,
            recipient: self.identifier("recipientMri")?,
            read_on: read_on.and_then(|at| Timestamp::from_millisecond(at).ok()),
        })
    }

    fn thread_deleted(&self) -> Option<ChatThreadDeletedEvent> {
        let reason = self.0["reason"].as_str().map(ThreadDeletionReason::from);
        let deleted_by = self.participant("deletedBy");
        if deleted_by.is_none() && reason != Some(ThreadDeletionReason::DeletedByPolicy) {
            return None;
        }
        Some(ChatThreadDeletedEvent {
            thread_id: self.text("threadId"),
            version: self.text("version"),
            deleted_by,
            deleted_on: self.time("deleteTime"),
            reason,
        })
    }

    fn text(&self, name: &str) -> String {
        match &self.0[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }

    fn name(&self) -> Option<String> {
        Some(self.text("senderDisplayName")).filter(|name| !name.is_empty())
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        self.0[name].as_str()?.parse().ok()
    }

    fn identifier(&self, name: &str) -> Option<CommunicationIdentifier> {
        self.0[name]
            .as_str()
            .map(CommunicationIdentifier::from_raw_id)
    }

    fn message_type(&self) -> ChatMessageType {
        let word = self.text("messageType");
        if word.eq_ignore_ascii_case("RichText/Html") {
            return ChatMessageType::Html;
        }
        ChatMessageType::from(&*word.to_ascii_lowercase())
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        self.inner("acsChatMessageMetadata").unwrap_or_default()
    }

    fn attachments(&self) -> Vec<ChatAttachment> {
        self.inner("attachments").unwrap_or_default()
    }

    /// JSON in a string.
    fn inner<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0[name].as_str()?).ok()
    }

    /// JSON in a string that was escaped once more.
    fn escaped(&self, name: &str) -> Option<Value> {
        serde_json::from_str(&unescape(self.0[name].as_str()?)).ok()
    }

    fn participant(&self, name: &str) -> Option<ChatParticipant> {
        participant(&self.escaped(name)?)
    }

    fn participants(&self, name: &str) -> Option<Vec<ChatParticipant>> {
        self.escaped(name)?
            .as_array()?
            .iter()
            .map(participant)
            .collect()
    }

    fn properties(&self) -> Option<ThreadProperties> {
        let properties = self.escaped("properties")?;
        properties.as_object()?;
        let properties = Fields(&properties);
        Some(ThreadProperties {
            topic: properties.text("topic"),
            metadata: properties
                .inner("acsChatThreadMetadata")
                .unwrap_or_default(),
            retention_policy: properties.inner("retentionPolicy").as_ref().map(retention),
        })
    }
}

fn participant(value: &Value) -> Option<ChatParticipant> {
    let time = &value["shareHistoryTime"];
    let time = match time.as_i64() {
        Some(millis) => Timestamp::from_millisecond(millis).ok(),
        None => time.as_str().and_then(|time| time.parse().ok()),
    };
    let fields = Fields(value);
    let metadata: Option<BTreeMap<_, _>> = fields.inner("memberMetaData");
    Some(ChatParticipant {
        identifier: fields.identifier("participantId")?,
        display_name: Some(fields.text("displayName")).filter(|name| !name.is_empty()),
        share_history_time: time,
        metadata: metadata.filter(|pairs| !pairs.is_empty()),
    })
}

/// What a retention policy, in the words of the service's inside, is in those of its API.
fn retention(policy: &Value) -> ChatRetentionPolicy {
    if policy["retentionPolicyType"] != "DeleteAfterCreationTime" {
        return ChatRetentionPolicy::None;
    }
    // `days.hours:minutes:seconds`; what is no such time has no days.
    let after = policy["executeAfter"].as_str().unwrap_or_default();
    let days = after
        .split_once('.')
        .and_then(|(days, _)| days.parse().ok());
    ChatRetentionPolicy::ThreadCreationDate {
        delete_thread_after_days: days.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A value of any kind where an event has one, the likely ones among them.
    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[-+0-9T:.Z;%u]{0,24}".prop_map(Value::from),
            Just(json!(
                "{\"participantId\":\"8:acs:a\",\"shareHistoryTime\":9e99}"
            )),
            Just(json!(
                "[{\"participantId\":\"4:\",\"memberMetaData\":\"[]\"}]"
            )),
            Just(json!("{\"consumptionhorizon\":\";99999999999999999999;\"}")),
            Just(json!(
                "{\"retentionPolicy\":\"{\\\"retentionPolicyType\\\":1}\"}"
            )),
            Just(json!("%7B%22topic%22:%u0022%uD83D%22%7D")),
            Just(json!([])),
            Just(json!({})),
        ]
    }

    const NAMES: [&str; 28] = [
        "senderId",
        "recipientMri",
        "groupId",
        "senderDisplayName",
        "messageId",
        "version",
        "originalArrivalTime",
        "messageType",
        "messageBody",
        "acsChatMessageMetadata",
        "attachments",
        "edittime",
        "deletetime",
        "threadId",
        "createTime",
        "editTime",
        "deleteTime",
        "time",
        "createdBy",
        "editedBy",
        "deletedBy",
        "addedBy",
        "removedBy",
        "members",
        "participantsAdded",
        "participantsRemoved",
        "properties",
        "reason",
    ];

    proptest! {
        #[test]
        fn no_payload_makes_reading_panic(
            event_id in prop_oneof![Just(200), 240_i64..265, any::<i64>()],
            values in proptest::collection::vec((0..NAMES.len(), value()), 0..28),
        ) {
            let mut body = json!({ "eventId": event_id });
            for (name, value) in values {
                body[NAMES[name]] = value;
            }
            let event = read(&body.to_string());
            let _ = (event.key(), event.server_time(), format!("{event:?}"));
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".{0,64}") {
            let is_unknown = matches!(read(&text), ChatEvent::Unknown(_));
            prop_assert!(is_unknown);
        }
    }
}
