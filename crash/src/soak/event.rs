//! What clients are told, in the terms of the model: read from the pushed requests of a websocket
//! and from the events of a stream.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// One thing that happened, as one device was told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    /// The version that it came with; of what is not stored, its time in milliseconds.
    pub(super) version: u64,
    pub(super) what: What,
    /// Stands for its content: equal where that is.
    pub(super) mark: u64,
    /// Stands for its id, on event streams; 0 on websockets, which have none.
    pub(super) id: u64,
}

/// What happened; people by their numbers, messages by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    Received(u64),
    Edited(u64),
    Deleted(u64),
    Created,
    Topic,
    Added(usize),
    Removed(usize),
    Typing(usize),
    Receipt(u64),
}

impl What {
    /// The message that it is about.
    pub(super) fn message(self) -> Option<u64> {
        match self {
            Self::Received(id) | Self::Edited(id) | Self::Deleted(id) | Self::Receipt(id) => {
                Some(id)
            }
            _ => None,
        }
    }

    /// Whether the server keeps it, and tells it to who comes back.
    pub(super) fn is_stored(self) -> bool {
        !matches!(self, Self::Typing(_) | Self::Receipt(_))
    }
}

/// Users and threads by number.
#[derive(Debug)]
pub(super) struct Names {
    users: HashMap<String, usize>,
    threads: RefCell<HashMap<String, usize>>,
}

impl Names {
    /// Of these users.
    pub(super) fn new(users: HashMap<String, usize>) -> Self {
        Self {
            users,
            threads: RefCell::default(),
        }
    }

    /// The number of a user; one that nobody has where there is no such user.
    pub(super) fn user(&self, id: &str) -> usize {
        self.users.get(id).copied().unwrap_or(usize::MAX)
    }

    /// The number of a thread, which it has from now on.
    pub(super) fn thread(&self, id: &str) -> usize {
        let mut threads = self.threads.borrow_mut();
        let next = threads.len();
        *threads.entry(id.to_owned()).or_insert(next)
    }
}

/// Stands for a text and who said it.
pub(super) fn mark(parts: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

/// Stands for a message.
pub(super) fn message_mark(sender: usize, content: &str) -> u64 {
    mark(&(sender, content))
}

/// Stands for a thread that was made.
pub(super) fn thread_mark(topic: &str, mut people: Vec<usize>) -> u64 {
    people.sort_unstable();
    mark(&(topic, people))
}

/// Reads the body of a pushed request to the user of that id: the thread, and what is told.
pub(super) fn of_push(body: &str, user: &str, names: &Names) -> Option<(usize, Vec<Told>)> {
    let body: Value = serde_json::from_str(body).ok()?;
    if body["recipientMri"] != user {
        return None;
    }
    let kind = body["eventId"].as_u64()?;
    let family = if kind < 257 { "groupId" } else { "threadId" };
    let thread = names.thread(body[family].as_str()?);
    let version = number(&body["version"])?;
    let sender = names.user(body["senderId"].as_str()?);
    let message = || number(&body["messageId"]);
    let content = || {
        let content = body["messageBody"].as_str()?;
        Some(message_mark(sender, content))
    };
    let nested = |field: &str| -> Option<Value> {
        serde_json::from_str(body[field].as_str().unwrap_or_default()).ok()
    };
    let people = |field: &str| -> Option<Vec<usize>> {
        let people = nested(field)?;
        let people = people.as_array()?.iter();
        people
            .map(|person| Some(names.user(person["participantId"].as_str()?)))
            .collect()
    };
    let topic = || {
        let properties = nested("properties")?;
        properties["topic"].as_str().map(str::to_owned)
    };
    let one = |what, mark| vec![(what, mark)];
    let told = match kind {
        200 => one(What::Received(message()?), content()?),
        245 => one(What::Typing(sender), 0),
        246 => one(What::Receipt(message()?), 0),
        247 => one(What::Edited(message()?), content()?),
        248 => one(What::Deleted(message()?), mark(&sender)),
        257 => one(What::Created, thread_mark(&topic()?, people("members")?)),
        258 => one(What::Topic, mark(&topic()?)),
        260 => moved(people("participantsAdded")?, What::Added),
        261 => moved(people("participantsRemoved")?, What::Removed),
        _ => return None,
    };
    let told = told.into_iter().map(|(what, mark)| Told {
        version,
        what,
        mark,
        id: 0,
    });
    Some((thread, told.collect()))
}

fn moved(people: Vec<usize>, what: fn(usize) -> What) -> Vec<(What, u64)> {
    people.into_iter().map(|person| (what(person), 0)).collect()
}

/// Reads an event of a stream of the user of that id: the thread, and what is told.
pub(super) fn of_stream(data: &str, user: &str, names: &Names) -> Option<(usize, Told)> {
    let event: Value = serde_json::from_str(data).ok()?;
    let data = &event["data"];
    if data["recipientCommunicationIdentifier"]["rawId"] != user {
        return None;
    }
    let kind = event["type"]
        .as_str()?
        .strip_prefix("Microsoft.Communication.Chat")?;
    let thread = names.thread(data["threadId"].as_str()?);
    let sender = || {
        let sender = data["senderCommunicationIdentifier"]["rawId"].as_str()?;
        Some(names.user(sender))
    };
    let message = || number(&data["messageId"]);
    let content = || {
        let content = data["messageBody"].as_str()?;
        Some(message_mark(sender()?, content))
    };
    let person = |person: &Value| {
        let id = person["participantCommunicationIdentifier"]["rawId"].as_str()?;
        Some(names.user(id))
    };
    let topic = || data["properties"]["topic"].as_str();
    let (what, mark) = match kind {
        "MessageReceived" => (What::Received(message()?), content()?),
        "MessageEdited" => (What::Edited(message()?), content()?),
        "MessageDeleted" => (What::Deleted(message()?), mark(&sender()?)),
        "ThreadCreatedWithUser" => {
            let people = data["participants"].as_array()?.iter().map(person);
            let people = people.collect::<Option<Vec<_>>>()?;
            (What::Created, thread_mark(topic()?, people))
        }
        "ThreadPropertiesUpdatedPerUser" => (What::Topic, mark(topic()?)),
        "ParticipantAddedToThreadWithUser" => (What::Added(person(&data["participantAdded"])?), 0),
        "ParticipantRemovedFromThreadWithUser" => {
            (What::Removed(person(&data["participantRemoved"])?), 0)
        }
        "TypingIndicatorReceived" => (What::Typing(sender()?), 0),
        "ReadReceiptReceived" => (What::Receipt(number(&data["chatMessageId"])?), 0),
        _ => return None,
    };
    let version = match what {
        What::Receipt(message) => message,
        _ => number(&data["version"])?,
    };
    let id = self::mark(event["id"].as_str()?);
    let told = Told {
        version,
        what,
        mark,
        id,
    };
    Some((thread, told))
}

fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}
