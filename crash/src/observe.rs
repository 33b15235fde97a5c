//! What a server shows: everything in it, read through the API as different users see it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::history::{Body, Message};
use crate::http::Connection;
use crate::load::{CLIENTS, GUESTS};
use crate::server::User;

/// A thread as the clients see it.
#[derive(Debug, Clone)]
pub(crate) struct Thread {
    pub(crate) topic: String,
    /// Sorted.
    pub(crate) participants: Vec<String>,
    /// By sequence.
    pub(crate) messages: Vec<Message>,
    /// Who has read up to which message.
    pub(crate) receipts: BTreeMap<String, u64>,
    /// For each guest the messages that they are shown; an error is the status that refused them.
    pub(crate) guests: BTreeMap<String, Result<Vec<Message>, u16>>,
    /// The status that somebody gets who was never in it.
    pub(crate) stranger: u16,
}

/// All that a server shows.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    pub(crate) threads: BTreeMap<String, Thread>,
    /// What cannot be: lists that do not agree, refusals of what is allowed.
    pub(crate) faults: Vec<String>,
}

/// Reads everything back. An error means that the server is gone.
pub(crate) async fn observe(address: SocketAddr, users: &[User]) -> anyhow::Result<Observed> {
    let mut connections = Vec::new();
    for user in users {
        connections.push(Connection::open(address, &user.token).await?);
    }
    let mut observed = Observed::default();
    let mut lists = Vec::new();
    for (user, connection) in users.iter().zip(&mut connections).take(CLIENTS) {
        match connection.list("/chat/threads").await? {
            Ok(list) => {
                let mut ids: Vec<String> = list.iter().map(|item| text(&item["id"])).collect();
                ids.sort();
                lists.push(ids);
            }
            Err(status) => {
                let fault = format!("{} may not list their threads: {status}", user.id);
                observed.faults.push(fault);
            }
        }
    }
    let ids = lists.first().cloned().unwrap_or_default();
    if lists.iter().any(|list| *list != ids) {
        observed
            .faults
            .push(format!("the clients have different threads: {lists:?}"));
    }
    for ids in ids.windows(2).filter(|ids| ids[0] == ids[1]) {
        observed
            .faults
            .push(format!("thread {} is listed twice", ids[0]));
    }
    for id in ids {
        match thread(&id, users, &mut connections).await? {
            Ok(thread) => {
                observed.threads.insert(id, thread);
            }
            Err(status) => {
                observed
                    .faults
                    .push(format!("thread {id} cannot be read: {status}"));
            }
        }
    }
    Ok(observed)
}

async fn thread(
    id: &str,
    users: &[User],
    connections: &mut [Connection],
) -> anyhow::Result<Result<Thread, u16>> {
    let path = format!("/chat/threads/{id}");
    let owner = &mut connections[0];
    let answer = owner.get(&path).await?;
    if answer.status != 200 {
        return Ok(Err(answer.status));
    }
    let people = match owner.list(&format!("{path}/participants")).await? {
        Ok(people) => people,
        Err(status) => return Ok(Err(status)),
    };
    let read = match owner.list(&format!("{path}/readReceipts")).await? {
        Ok(read) => read,
        Err(status) => return Ok(Err(status)),
    };
    let messages_path = format!("{path}/messages");
    let mut messages = match owner.list(&messages_path).await? {
        Ok(list) => self::messages(&Value::Array(list))?,
        Err(status) => return Ok(Err(status)),
    };
    messages.sort_by_key(|message| message.sequence);
    let mut guests = BTreeMap::new();
    for number in CLIENTS..CLIENTS + GUESTS {
        let shown = connections[number].list(&messages_path).await?;
        let shown = match shown {
            Ok(list) => Ok(self::messages(&Value::Array(list))?),
            Err(status) => Err(status),
        };
        guests.insert(users[number].id.clone(), shown);
    }
    let stranger = connections[CLIENTS + GUESTS].get(&messages_path).await?;
    let receipts = read.iter().map(|receipt| {
        let reader = text(&receipt["senderCommunicationIdentifier"]["rawId"]);
        Ok((reader, number(&receipt["chatMessageId"])?))
    });
    let mut participants: Vec<String> = people.iter().map(person).collect();
    participants.sort();
    Ok(Ok(Thread {
        topic: text(&answer.body["topic"]),
        participants,
        messages,
        receipts: receipts.collect::<anyhow::Result<_>>()?,
        guests,
        stranger: stranger.status,
    }))
}

/// Reads a list of messages.
pub(crate) fn messages(list: &Value) -> anyhow::Result<Vec<Message>> {
    let list = list.as_array().context("no list of messages")?;
    list.iter().map(message).collect()
}

fn message(message: &Value) -> anyhow::Result<Message> {
    let content = &message["content"];
    let people = || {
        let people = content["participants"].as_array();
        let mut people: Vec<_> = people.into_iter().flatten().map(person).collect();
        people.sort();
        people
    };
    let body = match message["type"].as_str().unwrap_or_default() {
        "text" => Body::User {
            sender: text(&message["senderCommunicationIdentifier"]["rawId"]),
            content: message["deletedOn"]
                .is_null()
                .then(|| text(&content["message"])),
        },
        "topicUpdated" => Body::Topic(text(&content["topic"])),
        "participantAdded" => Body::Added(people()),
        "participantRemoved" => Body::Removed(people()),
        kind => bail!("a message of the type {kind:?}"),
    };
    Ok(Message {
        id: number(&message["id"])?,
        version: number(&message["version"])?,
        sequence: number(&message["sequenceId"])?,
        body,
    })
}

fn person(person: &Value) -> String {
    text(&person["communicationIdentifier"]["rawId"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> anyhow::Result<u64> {
    let text = value.as_str().context("a number that is no text")?;
    Ok(text.parse()?)
}
