//! Frames of socket.io 0.9, `type:id[+]:endpoint[:data]`: those of the server read, those of the
//! client written.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The digits of an id.
const ID_BYTES_MAX: usize = 20;

/// What a server sends over the websocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ServerFrame<'a> {
    /// `0::` or `0:::reason`.
    Disconnect(&'a str),
    /// `1::`, the first.
    Connect,
    /// `2::`.
    Heartbeat,
    /// `3:::{…}`, a pushed request.
    Request {
        /// The id to be acknowledged, where that is wanted.
        ack: Option<&'a str>,
        data: &'a str,
    },
    /// `5:::{…}`.
    Event { data: &'a str },
    /// `6:::N+[]` or `6:::N`.
    Ack(u64),
    /// `7:::reason+advice`.
    Error,
    /// `8::`.
    Noop,
}

impl<'a> ServerFrame<'a> {
    /// Reads a frame; `None` for what is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let (kind, id) = (parts.next()?, parts.next()?);
        let (_endpoint, data) = (parts.next()?, parts.next().unwrap_or_default());
        let id = id.strip_suffix('+').unwrap_or(id);
        let is_id = |id: &str| id.len() <= ID_BYTES_MAX && id.bytes().all(|c| c.is_ascii_digit());
        if !is_id(id) {
            return None;
        }
        match kind {
            "0" => Some(Self::Disconnect(data)),
            "1" => Some(Self::Connect),
            "2" => Some(Self::Heartbeat),
            "3" => {
                let ack = Some(id).filter(|id| !id.is_empty());
                Some(Self::Request { ack, data })
            }
            "5" => Some(Self::Event { data }),
            "6" => {
                let number = data.split('+').next()?;
                number.parse().ok().map(Self::Ack)
            }
            "7" => Some(Self::Error),
            "8" => Some(Self::Noop),
            _ => None,
        }
    }
}

/// A pushed request.
#[derive(Debug)]
pub(super) struct PushedRequest {
    pub(super) id: u64,
    /// The event, as JSON.
    pub(super) body: String,
    /// Headers that the answer echoes.
    echoed: Map<String, Value>,
}

/// Headers of a pushed request that its answer echoes.
const ECHOED: [&str; 2] = ["MS-CV", "trouter-request"];
/// The longest header that is echoed, in bytes.
const ECHOED_BYTES_MAX: usize = 1024;

impl PushedRequest {
    /// Reads the data of a request's frame; `None` for what cannot be answered.
    pub(super) fn parse(data: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Request {
            id: Id,
            #[serde(default)]
            body: Option<String>,
            #[serde(default)]
            headers: Option<Map<String, Value>>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Id {
            Number(u64),
            Text(String),
        }
        let request: Request = serde_json::from_str(data).ok()?;
        let id = match request.id {
            Id::Number(id) => id,
            Id::Text(id) => id.parse().ok()?,
        };
        let headers = request.headers.unwrap_or_default().into_iter();
        let is_echoed = |name: &str, value: &Value| {
            let is_short = value.as_str().is_some_and(|v| v.len() <= ECHOED_BYTES_MAX);
            is_short
                && ECHOED
                    .iter()
                    .any(|echoed| echoed.eq_ignore_ascii_case(name))
        };
        Some(Self {
            id,
            body: request.body.unwrap_or_default(),
            echoed: headers
                .filter(|(name, value)| is_echoed(name, value))
                .collect(),
        })
    }

    /// The frame that answers it.
    pub(super) fn answer(self, status: u16) -> String {
        let mut headers = self.echoed;
        headers.insert("trouter-client".to_owned(), json!("{\"cd\":0}"));
        if status != 200 {
            headers.insert("Trouter-Responder".to_owned(), json!("ClientLib"));
        }
        let answer = json!({ "id": self.id, "status": status, "headers": headers, "body": "" });
        format!("3:::{answer}")
    }
}

/// An event of the server.
#[derive(Debug, Deserialize)]
pub(super) struct ServerEvent {
    pub(super) name: String,
    #[serde(default)]
    pub(super) args: Vec<Value>,
}

impl ServerEvent {
    /// Reads the data of an event's frame.
    pub(super) fn parse(data: &str) -> Option<Self> {
        serde_json::from_str(data).ok()
    }
}

/// An event of the client, which the server acknowledges by its number.
pub(super) fn event(number: u64, name: &str, args: Option<&Value>) -> String {
    let event = match args {
        Some(args) => json!({ "name": name, "args": [args] }),
        None => json!({ "name": name }),
    };
    format!("5:{number}+::{event}")
}

/// The acknowledgement of a frame.
pub(super) fn acknowledgement(id: &str) -> String {
    format!("6:::{id}")
}

/// The answer to a heartbeat.
pub(super) const HEARTBEAT: &str = "2::";
/// The client stops.
pub(super) const DISCONNECT: &str = "0::";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ServerFrame::*;
    use super::*;

    #[test]
    fn frames_are_told_apart_and_what_is_none_is_refused() {
        for (text, frame) in [
            ("0::", Some(Disconnect(""))),
            ("0:::dup", Some(Disconnect("dup"))),
            (
                "0:::{\"reason\":\"unauthorized\"}",
                Some(Disconnect("{\"reason\":\"unauthorized\"}")),
            ),
            ("1::", Some(Connect)),
            ("2::", Some(Heartbeat)),
            (
                "3:::{\"a\":1}",
                Some(Request {
                    ack: None,
                    data: "{\"a\":1}",
                }),
            ),
            (
                "3:4::x:y",
                Some(Request {
                    ack: Some("4"),
                    data: "x:y",
                }),
            ),
            ("5:1+::{}", Some(Event { data: "{}" })),
            ("6:::12+[]", Some(Ack(12))),
            ("6:::12", Some(Ack(12))),
            ("7:::1+0", Some(Error)),
            ("8::", Some(Noop)),
            ("", None),
            ("3", None),
            ("9::", None),
            ("6:::x", None),
            ("6:::99999999999999999999999", None),
            ("5:-1:::{}", None),
            ("HTTP/1.1 400 Bad Request", None),
        ] {
            assert_eq!(ServerFrame::parse(text), frame, "{text}");
        }
    }

    #[test]
    fn an_answer_echoes_its_request_s_id_and_correlation_headers_alone() {
        let data = json!({
            "id": "7", "method": "POST", "url": "/v4/f/x/y", "body": "{}",
            "headers": { "MS-CV": "a.b", "Trouter-Request": "{}", "authorization": "no", "n": 1 },
        });
        let request = PushedRequest::parse(&data.to_string()).unwrap();
        assert_eq!(request.body, "{}");
        let answer = request.answer(404);
        let answer: Value = serde_json::from_str(answer.strip_prefix("3:::").unwrap()).unwrap();
        let headers = json!({
            "MS-CV": "a.b", "Trouter-Request": "{}", "trouter-client": "{\"cd\":0}",
            "Trouter-Responder": "ClientLib",
        });
        let expected = json!({ "id": 7, "status": 404, "headers": headers, "body": "" });
        assert_eq!(answer, expected);
    }

    #[test]
    fn requests_without_headers_or_a_readable_id_are_told_apart() {
        for (data, id) in [
            ("{\"id\":1}", Some(1)),
            ("{\"id\":1,\"headers\":null,\"body\":null}", Some(1)),
            ("{\"id\":-1}", None),
            ("{\"id\":\"x\"}", None),
            ("{\"body\":\"{}\"}", None),
            ("[]", None),
            ("", None),
        ] {
            let read = PushedRequest::parse(data).map(|request| request.id);
            assert_eq!(read, id, "{data}");
        }
    }

    #[test]
    fn events_of_the_client_ask_for_an_acknowledgement() {
        assert_eq!(event(3, "ping", None), "5:3+::{\"name\":\"ping\"}");
        let args = json!({ "state": "active" });
        assert_eq!(
            event(1, "user.activity", Some(&args)),
            "5:1+::{\"args\":[{\"state\":\"active\"}],\"name\":\"user.activity\"}"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "[0-9]?:?[0-9+]{0,3}:{0,2}.{0,60}") {
            match ServerFrame::parse(&text) {
                Some(Request { data, .. }) => drop(PushedRequest::parse(data)),
                Some(Event { data }) => drop(ServerEvent::parse(data)),
                _ => {}
            }
            drop(PushedRequest::parse(&text));
            drop(ServerEvent::parse(&text));
        }
    }
}
