//! What happened, as the pushed request carries it: rendered once, whoever gets it.

use cavansite_core::events::{Change, EventKind, Position, ThreadEvent};
use cavansite_core::model::{
    Message, MessageContent, Metadata, Participant, RetentionPolicy, TextFormat, Thread, Timestamp,
    Version,
};
use cavansite_protocol::realtime::{
    MessagePayload, ParticipantPayload, PropertiesPayload, ThreadPayload,
};
use cavansite_protocol::time::DateTime;
use serde::Serialize;
use serde_json::json;

use super::mailbox::Kept;

/// An event as it is pushed, but for what differs by receiver.
pub(super) struct Payload {
    /// Its name, which ends the path of the pushed request.
    pub(super) name: &'static str,
    /// The body's members, escaped for the string that the body is, with its closing brace.
    members: String,
    position: Option<Position>,
}

impl Kept for Payload {
    const COMES_BACK: bool = true;

    fn render(event: &ThreadEvent, _source: &str) -> Option<Self> {
        let thread = event.thread.to_string();
        let (name, body) = match &event.kind {
            EventKind::Change { .. } => change(&thread, &event.kind)?,
            _ => message_family(&thread, &event.kind)?,
        };
        // The body is a string in the frame: escaped once more, without its first brace.
        let escaped = text(&body);
        let members = escaped.get(2..escaped.len() - 1)?.to_owned();
        let position = event.position();
        Some(Self {
            name,
            members,
            position,
        })
    }

    fn bytes(&self) -> usize {
        self.members.len() + size_of::<Self>()
    }

    fn position(&self) -> Option<Position> {
        self.position
    }
}

impl Payload {
    /// The frame that pushes it to one receiver, whose id needs no escaping.
    pub(super) fn frame(&self, id: u64, epid: &str, user: &str) -> String {
        let bare = user.strip_prefix("8:").unwrap_or(user);
        let id = id.to_string();
        let pieces = [
            "3:::{\"id\":",
            &id,
            ",\"method\":\"POST\",\"url\":\"/v4/f/",
            epid,
            "/",
            self.name,
            "\",\"headers\":{},\"body\":\"{\\\"recipientMri\\\":\\\"",
            user,
            "\\\",\\\"recipientId\\\":\\\"",
            bare,
            "\\\",",
            &self.members,
            "\"}",
        ];
        // Takes the memory once, of the right size: formatting would take it in steps.
        pieces.concat()
    }
}

fn text(value: &impl Serialize) -> String {
    // Strings, numbers and maps of strings always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

/// JSON that the client passes through `unescape()` before it reads it: a percent sign written as
/// an escape survives that.
fn guarded(value: &impl Serialize) -> String {
    text(value).replace('%', "\\u0025")
}

fn time(time: Timestamp) -> DateTime {
    DateTime(time.as_millis())
}

fn message_family(thread: &str, kind: &EventKind) -> Option<(&'static str, String)> {
    let (name, payload) = match kind {
        EventKind::MessageReceived(sent) => ("chatMessageReceived", message(200, thread, sent)?),
        EventKind::MessageEdited(sent) => ("chatMessageEdited", message(247, thread, sent)?),
        EventKind::MessageDeleted(sent) => ("chatMessageDeleted", message(248, thread, sent)?),
        EventKind::Typing {
            sender,
            display_name,
            at,
        } => {
            let version = at.as_millis().to_string();
            let payload = MessagePayload {
                event_id: 245,
                sender_id: sender.as_str(),
                group_id: thread,
                transaction_id: version.clone(),
                sender_display_name: display_name,
                version,
                message_type: "Control/Typing",
                original_arrival_time: Some(time(*at)),
                ..MessagePayload::default()
            };
            return Some(("typingIndicatorReceived", text(&payload)));
        }
        EventKind::ReadReceipt(receipt) => {
            let (id, read_at) = (receipt.message.to_string(), receipt.read_at.as_millis());
            let body = json!({
                "user": receipt.reader.as_str(),
                "consumptionhorizon": format!("{id};{read_at};{read_at}"),
                "messageVisibilityTime": receipt.message_created_at.as_millis(),
                "version": read_at.to_string(),
            });
            let payload = MessagePayload {
                event_id: 246,
                sender_id: receipt.reader.as_str(),
                group_id: thread,
                transaction_id: read_at.to_string(),
                version: read_at.to_string(),
                message_type: "ThreadActivity/MemberConsumptionHorizonUpdate",
                original_arrival_time: Some(time(receipt.read_at)),
                client_message_id: Some(id.clone()),
                message_id: Some(id),
                message_body: Some(body.to_string()),
                ..MessagePayload::default()
            };
            return Some(("readReceiptReceived", text(&payload)));
        }
        EventKind::Change { .. } => return None,
    };
    Some((name, text(&payload)))
}

fn message<'a>(event_id: u16, thread: &'a str, message: &'a Message) -> Option<MessagePayload<'a>> {
    let MessageContent::User(sent) = &message.content else {
        return None;
    };
    let is_deleted = event_id == 248;
    let id = message.id.to_string();
    Some(MessagePayload {
        event_id,
        sender_id: sent.sender.as_str(),
        group_id: thread,
        transaction_id: message.version.to_string(),
        collapse_id: id.clone(),
        sender_display_name: &sent.sender_display_name,
        version: message.version.to_string(),
        message_type: match sent.format {
            TextFormat::Text => "Text",
            TextFormat::Html => "RichText/Html",
        },
        original_arrival_time: Some(time(message.created_at)),
        client_message_id: Some(id.clone()),
        message_id: Some(id),
        message_body: (!is_deleted).then(|| sent.content.clone()),
        priority: Some(""),
        acs_chat_message_metadata: (!is_deleted).then(|| text(&sent.metadata)),
        composetime: Some(time(message.created_at)),
        edittime: sent.edited_at.map(time),
        deletetime: sent.deleted_at.map(time),
    })
}

fn change(thread: &str, kind: &EventKind) -> Option<(&'static str, String)> {
    let EventKind::Change {
        actor,
        at,
        version: Version(version),
        thread_created_at,
        change,
    } = kind
    else {
        return None;
    };
    let by = Some(guarded(&participant(actor)));
    let mut payload = ThreadPayload {
        sender_id: actor.user.as_str(),
        transaction_id: version.to_string(),
        collapse_id: version.to_string(),
        thread_id: thread,
        thread_type: "chat",
        version: version.to_string(),
        create_time: Some(time(*thread_created_at)),
        ..ThreadPayload::default()
    };
    let name = match change {
        Change::Created {
            thread,
            participants,
        } => {
            payload.event_id = 257;
            payload.created_by = by;
            payload.members = Some(people(participants));
            payload.properties = Some(properties(thread));
            "chatThreadCreated"
        }
        Change::Updated(thread) => {
            payload.event_id = 258;
            payload.edited_by = by;
            payload.edit_time = Some(time(*at));
            payload.properties = Some(properties(thread));
            "chatThreadPropertiesUpdated"
        }
        Change::Deleted => {
            payload.event_id = 259;
            payload.deleted_by = by;
            payload.delete_time = Some(time(*at));
            payload.reason = Some("deletedByUser");
            "chatThreadDeleted"
        }
        Change::Added(added) => {
            payload.event_id = 260;
            payload.added_by = by;
            payload.time = Some(time(*at));
            payload.participants_added = Some(people(added));
            "participantsAdded"
        }
        Change::Removed(removed) => {
            payload.event_id = 261;
            payload.removed_by = by;
            payload.time = Some(time(*at));
            payload.participants_removed = Some(people(removed));
            "participantsRemoved"
        }
    };
    Some((name, text(&payload)))
}

fn people(people: &[Participant]) -> String {
    guarded(&people.iter().map(participant).collect::<Vec<_>>())
}

fn participant(participant: &Participant) -> ParticipantPayload<'_> {
    ParticipantPayload {
        participant_id: participant.user.as_str(),
        display_name: participant.display_name.as_deref().unwrap_or_default(),
        share_history_time: participant.share_history_time.as_millis(),
        member_meta_data: metadata(&participant.metadata),
    }
}

fn metadata(pairs: &Metadata) -> String {
    text(pairs)
}

fn properties(thread: &Thread) -> String {
    let retention = thread.retention.map(|policy| match policy {
        RetentionPolicy::Keep => json!({ "retentionPolicyType": "None" }).to_string(),
        RetentionPolicy::DaysAfterCreation(days) => json!({
            "retentionPolicyType": "DeleteAfterCreationTime",
            "executeAfter": format!("{days}.00:00:00"),
        })
        .to_string(),
    });
    guarded(&PropertiesPayload {
        topic: &thread.topic,
        acs_chat_thread_metadata: metadata(&thread.metadata),
        retention_policy: retention,
    })
}
