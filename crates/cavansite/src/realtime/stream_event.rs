//! What happened, as an event stream carries it: `CloudEvents` with the types and data that the
//! hosted service documents for Event Grid ("Azure Communication Services - Chat events"), and two
//! of our own for typing and read receipts. docs/events.md describes them.

use std::fmt::Write as _;

use cavansite_core::events::{Change, EventKind, Position, Receipt, ThreadEvent};
use cavansite_core::model::{
    Message, MessageContent, Metadata, Participant, TextFormat, Thread, ThreadId, Timestamp,
    UserId, Version,
};
use cavansite_protocol::time::DateTime;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::mailbox::Kept;

/// Stands for the receiver's id until the event is written; no JSON has it.
const RECEIVER: char = '\0';

/// What a stream says between what was kept and what is read from the store because more came.
pub(super) const OVERFLOW_COMMENT: &str =
    ": more waited than is kept; what follows is read from the store\n\n";

/// An event as streams carry it, but for the receiver's id.
pub(super) struct StreamEvent {
    text: String,
    position: Option<Position>,
}

impl StreamEvent {
    /// Writes it for a receiver, whose id needs no escaping.
    pub(super) fn write_for(&self, user: &str, to: &mut String) {
        to.reserve(self.text.len() + 4 * user.len());
        let mut pieces = self.text.split(RECEIVER);
        to.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            to.push_str(user);
            to.push_str(piece);
        }
    }
}

impl Kept for StreamEvent {
    const COMES_BACK: bool = false;

    fn render(event: &ThreadEvent, source: &str) -> Option<Self> {
        let position = event.position();
        let mut told = Told {
            source,
            thread: event.thread,
            text: String::new(),
        };
        match &event.kind {
            EventKind::MessageReceived(message) => told.message("Received", message)?,
            EventKind::MessageEdited(message) => told.message("Edited", message)?,
            EventKind::MessageDeleted(message) => told.message("Deleted", message)?,
            EventKind::Typing {
                sender,
                display_name,
                at,
            } => told.typing(sender, display_name, *at),
            EventKind::ReadReceipt(receipt) => told.receipt(receipt),
            EventKind::Change {
                actor,
                at,
                version,
                thread_created_at,
                change,
            } => told.change(actor, *at, *version, *thread_created_at, change),
        }
        let mut text = told.text;
        if let Some(position) = position {
            // With the last of the events of one change: who has lost it is told all of them.
            let at = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
            text.insert_str(at, &format!("id: {}\n", EventId::from(position)));
        }
        Some(Self { text, position })
    }

    fn bytes(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }

    fn position(&self) -> Option<Position> {
        self.position
    }
}

/// What a stream's `id:` lines say, and a client's `Last-Event-ID` brings back: what the client
/// has. Before an event that is its place, `<milliseconds>-<version>-<thread>`; where a stream
/// begins, the time alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(super) at: Timestamp,
    /// Of one thread all up to a version.
    pub(super) told: Option<(ThreadId, Version)>,
}

impl From<Position> for EventId {
    fn from(position: Position) -> Self {
        Self {
            at: position.at,
            told: Some((position.thread, position.version)),
        }
    }
}

impl From<Timestamp> for EventId {
    fn from(at: Timestamp) -> Self {
        Self { at, told: None }
    }
}

impl EventId {
    /// Reads it; `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(3, '-');
        let number = |digits: &str| {
            let plain = digits.bytes().all(|c| c.is_ascii_digit());
            plain.then(|| digits.parse::<i64>().ok()).flatten()
        };
        let at = Timestamp::from_millis(number(fields.next()?)?);
        let told = match fields.next() {
            None => None,
            Some(version) => {
                let version = Version(number(version)?);
                let thread = ThreadId::parse(&format!("19:{}@thread.v2", fields.next()?))?;
                Some((thread, version))
            }
        };
        Some(Self { at, told })
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.at.as_millis())?;
        match self.told {
            Some((thread, version)) => write!(f, "-{version}-{}", hex(thread)),
            None => Ok(()),
        }
    }
}

fn hex(thread: ThreadId) -> String {
    format!("{:032x}", u128::from_be_bytes(*thread.as_bytes()))
}

/// Writes the `CloudEvents` of one change.
struct Told<'a> {
    source: &'a str,
    thread: ThreadId,
    text: String,
}

/// One `CloudEvent`, without what all of them have.
struct One<'a> {
    /// Ends its type.
    name: &'a str,
    at: Timestamp,
    /// Apart from the other events of its thread, for a receiver.
    key: String,
    /// Between the thread and the receiver.
    subject: String,
    data: Map<String, Value>,
}

impl Told<'_> {
    fn push(&mut self, one: One<'_>) {
        let One {
            name,
            at,
            key,
            subject,
            data,
        } = one;
        let (source, thread) = (self.source, self.thread);
        let id = format!("{}.{key}.{RECEIVER}", hex(thread));
        let time = text(&time(at));
        let data = text(&data);
        // What comes from users is in `data` alone, and a serialised map begins with a brace.
        let members = data.strip_prefix('{').unwrap_or("}");
        let comma = if members == "}" { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(
            self.text,
            "data: {{\"specversion\":\"1.0\",\"type\":\"Microsoft.Communication.{name}\",\
             \"source\":\"{source}\",\"id\":\"{id}\",\"time\":{time},\
             \"subject\":\"thread/{thread}/{subject}recipient/{RECEIVER}\",\
             \"datacontenttype\":\"application/json\",\"data\":{{\
             \"recipientCommunicationIdentifier\":{{\"rawId\":\"{RECEIVER}\",\
             \"communicationUser\":{{\"id\":\"{RECEIVER}\"}}}},\
             \"threadId\":\"{thread}\"{comma}{members}}}\n\n"
        );
    }

    fn message(&mut self, what: &str, message: &Message) -> Option<()> {
        let MessageContent::User(sent) = &message.content else {
            return None;
        };
        let version = message.version.to_string();
        let mut data = members(json!({
            "transactionId": version,
            "messageId": message.id.to_string(),
            "senderCommunicationIdentifier": identifier(&sent.sender),
            "senderDisplayName": sent.sender_display_name,
            "composeTime": time(message.created_at),
            "type": match sent.format {
                TextFormat::Text => "Text",
                TextFormat::Html => "RichText/Html",
            },
            "version": version,
        }));
        let mut at = message.created_at;
        if let Some(deleted_at) = sent.deleted_at {
            at = deleted_at;
            data.insert("deleteTime".to_owned(), value(&time(at)));
        } else {
            data.insert("messageBody".to_owned(), value(&sent.content));
            data.insert("metadata".to_owned(), value(&sent.metadata));
            if let Some(edited_at) = sent.edited_at {
                at = edited_at;
                data.insert("editTime".to_owned(), value(&time(at)));
            }
        }
        self.push(One {
            name: &format!("ChatMessage{what}"),
            at,
            key: format!("{version}.{what}"),
            subject: format!("sender/{}/", sent.sender),
            data,
        });
        Some(())
    }

    fn typing(&mut self, sender: &UserId, display_name: &str, at: Timestamp) {
        self.push(One {
            name: "ChatTypingIndicatorReceived",
            at,
            key: format!("{}.typing.{sender}", at.as_millis()),
            subject: format!("sender/{sender}/"),
            data: members(json!({
                "senderCommunicationIdentifier": identifier(sender),
                "senderDisplayName": display_name,
                "receivedOn": time(at),
                "version": at.as_millis().to_string(),
            })),
        });
    }

    fn receipt(&mut self, receipt: &Receipt) {
        let (reader, at) = (&receipt.reader, receipt.read_at);
        self.push(One {
            name: "ChatReadReceiptReceived",
            at,
            key: format!("{}.read.{}.{reader}", at.as_millis(), receipt.message),
            subject: format!("sender/{reader}/"),
            data: members(json!({
                "senderCommunicationIdentifier": identifier(reader),
                "chatMessageId": receipt.message.to_string(),
                "readOn": time(at),
            })),
        });
    }

    fn change(
        &mut self,
        actor: &Participant,
        at: Timestamp,
        version: Version,
        thread_created_at: Timestamp,
        change: &Change,
    ) {
        let by = &actor.user;
        let common = members(json!({
            "transactionId": version.to_string(),
            "createTime": time(thread_created_at),
            "version": version.to_string(),
        }));
        let mut one = |name: &str, key: &str, subject: String, data: Value| {
            let mut all = common.clone();
            all.extend(members(data));
            self.push(One {
                name,
                at,
                key: format!("{version}.{key}"),
                subject,
                data: all,
            });
        };
        match change {
            Change::Created {
                thread,
                participants,
            } => {
                let mut data = properties(thread);
                data["createdByCommunicationIdentifier"] = identifier(by);
                data["participants"] = participants.iter().map(participant).collect();
                let subject = format!("createdBy/{by}/");
                one("ChatThreadCreatedWithUser", "created", subject, data);
            }
            Change::Updated(thread) => {
                let mut data = properties(thread);
                data["editedByCommunicationIdentifier"] = identifier(by);
                data["editTime"] = value(&time(at));
                let subject = format!("editedBy/{by}/");
                let name = "ChatThreadPropertiesUpdatedPerUser";
                one(name, "updated", subject, data);
            }
            Change::Deleted => {
                let data = json!({
                    "deletedByCommunicationIdentifier": identifier(by),
                    "deleteTime": time(at),
                });
                let subject = format!("deletedBy/{by}/");
                one("ChatThreadWithUserDeleted", "deleted", subject, data);
            }
            Change::Added(people) => {
                let name = "ChatParticipantAddedToThreadWithUser";
                for person in people {
                    let data = moved(at, ("addedBy", by), ("participantAdded", person));
                    let (key, user) = (format!("added.{}", person.user), &person.user);
                    one(name, &key, format!("participantAdded/{user}/"), data);
                }
            }
            Change::Removed(people) => {
                let name = "ChatParticipantRemovedFromThreadWithUser";
                for person in people {
                    let data = moved(at, ("removedBy", by), ("participantRemoved", person));
                    let (key, user) = (format!("removed.{}", person.user), &person.user);
                    one(name, &key, format!("participantRemoved/{user}/"), data);
                }
            }
        }
    }
}

/// Somebody came or went: by whom, and who.
fn moved(at: Timestamp, by: (&str, &UserId), who: (&str, &Participant)) -> Value {
    json!({
        "time": time(at),
        format!("{}CommunicationIdentifier", by.0): identifier(by.1),
        who.0: participant(who.1),
    })
}

fn identifier(user: &UserId) -> Value {
    json!({ "rawId": user.as_str(), "communicationUser": { "id": user.as_str() } })
}

fn participant(participant: &Participant) -> Value {
    json!({
        "displayName": participant.display_name.as_deref().unwrap_or_default(),
        "participantCommunicationIdentifier": identifier(&participant.user),
        "metadata": participant.metadata,
    })
}

fn properties(thread: &Thread) -> Value {
    let metadata: &Metadata = &thread.metadata;
    json!({ "properties": { "topic": thread.topic }, "metadata": metadata })
}

fn time(time: Timestamp) -> DateTime {
    DateTime(time.as_millis())
}

fn text(value: &impl Serialize) -> String {
    // Strings, numbers and maps of strings always serialise.
    serde_json::to_string(value).unwrap_or_default()
}

fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_reads_back_what_it_writes_and_nothing_else() {
        let id = EventId::from(Position {
            thread: ThreadId::from_bytes([0x0a; 16]),
            version: Version(1_700_000_000_001),
            at: Timestamp::from_millis(1_700_000_000_000),
        });
        let written = id.to_string();
        assert_eq!(EventId::parse(&written), Some(id));
        let beginning = EventId::from(Timestamp::from_millis(1_700_000_000_000));
        assert_eq!(EventId::parse(&beginning.to_string()), Some(beginning));
        for other in [
            "",
            "+1",
            "1-",
            "1-2",
            "1-2-3",
            "--",
            "-1-2-",
            "+1-2-",
            "1-2-0a0a",
            &format!("{written}0"),
        ] {
            assert_eq!(EventId::parse(other), None, "{other}");
        }
    }
}
