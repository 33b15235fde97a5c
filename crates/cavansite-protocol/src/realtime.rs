//! Real-time notifications as `@azure/communication-signaling` speaks them: the answers that lead
//! to the websocket, the frames of socket.io 0.9 on it, and the payloads of the ten events.
//!
//! Payloads hold what the JavaScript SDK reads and what the official mobile tests show, so that one
//! serves all. Values that are "JSON in a string" are strings here; who makes them serialises them.

use serde::{Deserialize, Serialize};

use crate::time::DateTime;

/// The answer of `GET /chat/config/realTimeNotifications`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration<'a> {
    /// Where allocations are asked for, at `/v4/a` below it.
    pub trouter_service_url: &'a str,
    /// Where connections are registered, at `/v3/registrations` below it.
    pub registrar_service_url: &'a str,
    /// `Public`.
    pub cloud_type: &'static str,
}

/// The answer of `POST /v4/a`.
#[derive(Debug, Serialize)]
pub struct Allocation {
    /// The origin of handshake and websocket, with a slash at the end.
    pub socketio: String,
    /// Echoed by the client in queries from then on.
    pub connectparams: ConnectParams,
    /// The address of the client.
    pub surl: String,
    /// The same.
    pub url: String,
    /// The client's id, echoed in queries.
    pub ccid: String,
    /// The life of the connection in seconds.
    pub ttl: String,
}

/// What a client keeps for the server: letters, digits, `-` and `_` alone, since clients put it
/// into queries as it is.
#[derive(Debug, Serialize)]
pub struct ConnectParams {
    /// Tells since when its connection identity has been there.
    pub mark: String,
}

impl ConnectParams {
    /// The parameter of queries in which [`Self::mark`] comes back.
    pub const MARK: &str = "mark";
}

/// The body of `POST /v3/registrations`, as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// The connection identity, as in the query of the allocation.
    pub registration_id: String,
}

/// What a client sends over the websocket.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// `0::`: it stops.
    Disconnect,
    /// `2::`.
    Heartbeat,
    /// `3:::{…}`, the answer to a pushed request, with the request's id.
    Answer(u64),
    /// `5:N+::{…}`, with the id to be acknowledged, where it asks for that.
    Event(Option<&'a str>),
    /// Acknowledgements, errors and no-operations.
    Other,
}

/// The digits of an id that is looked at.
const ID_BYTES_MAX: usize = 20;

impl<'a> ClientFrame<'a> {
    /// Reads `type:id[+]:endpoint[:data]`; `None` for what is no such frame.
    pub fn parse(text: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Answer {
            id: Id,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Id {
            Number(u64),
            Text(String),
        }
        let mut parts = text.splitn(4, ':');
        let (kind, id) = (parts.next()?, parts.next()?);
        let (_endpoint, data) = (parts.next()?, parts.next().unwrap_or_default());
        let ack = id.strip_suffix('+');
        let digits = ack.unwrap_or(id);
        if digits.len() > ID_BYTES_MAX || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        match kind {
            "0" => Some(Self::Disconnect),
            "2" => Some(Self::Heartbeat),
            "3" => match serde_json::from_str::<Answer>(data).ok()?.id {
                Id::Number(id) => Some(Self::Answer(id)),
                Id::Text(id) => id.parse().ok().map(Self::Answer),
            },
            "5" => Some(Self::Event(ack.filter(|ack| !ack.is_empty()))),
            "1" | "6" | "7" | "8" => Some(Self::Other),
            _ => None,
        }
    }
}

/// The payload of an event in the message family, without what differs by receiver.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the names are the wire's; the events that have them are in docs"
)]
pub struct MessagePayload<'a> {
    pub event_id: u16,
    pub sender_id: &'a str,
    pub group_id: &'a str,
    pub transaction_id: String,
    pub collapse_id: String,
    pub sender_display_name: &'a str,
    pub version: String,
    pub message_type: &'static str,
    pub original_arrival_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acs_chat_message_metadata: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composetime: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edittime: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletetime: Option<DateTime>,
}

/// The payload of an event in the thread family, without what differs by receiver.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    missing_docs,
    reason = "the names are the wire's; the events that have them are in docs"
)]
pub struct ThreadPayload<'a> {
    pub event_id: u16,
    pub sender_id: &'a str,
    pub group_id: &'static str,
    pub transaction_id: String,
    pub collapse_id: String,
    pub thread_id: &'a str,
    pub thread_type: &'static str,
    pub version: String,
    pub create_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants_added: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants_removed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub properties: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// Somebody, inside a thread payload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParticipantPayload<'a> {
    /// The raw id.
    pub participant_id: &'a str,
    /// Their name; there also where it is empty.
    pub display_name: &'a str,
    /// Milliseconds since the epoch, as a number.
    pub share_history_time: i64,
    /// JSON in a string.
    pub member_meta_data: String,
}

/// A thread's properties, inside a thread payload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PropertiesPayload<'a> {
    /// What it is about.
    pub topic: &'a str,
    /// JSON in a string.
    pub acs_chat_thread_metadata: String,
    /// JSON in a string.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::ClientFrame::{self, Answer, Disconnect, Event, Heartbeat, Other};

    #[test]
    fn frames_are_told_apart_and_what_is_none_is_refused() {
        for (text, frame) in [
            ("0::", Some(Disconnect)),
            ("2::", Some(Heartbeat)),
            (
                "3:::{\"id\":7,\"status\":200,\"body\":\":\"}",
                Some(Answer(7)),
            ),
            ("3:::{\"id\":\"7\"}", Some(Answer(7))),
            ("5:1+::{\"name\":\"ping\"}", Some(Event(Some("1")))),
            ("5:::{\"name\":\"ping\"}", Some(Event(None))),
            ("6:::1", Some(Other)),
            ("", None),
            ("9::", None),
            ("3:::", None),
            ("3:::{\"id\":-1}", None),
            ("5:<script>+::{}", None),
            ("5:999999999999999999999+::{}", None),
        ] {
            assert_eq!(ClientFrame::parse(text), frame, "{text}");
        }
    }
}
