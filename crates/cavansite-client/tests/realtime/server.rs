//! A server in memory, behind the client's transport: answers that a test chooses, and the other
//! ends of the websockets that the client opens.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cavansite_client::realtime::{ChatEvent, RealtimeConnection, RealtimeEvents, RealtimeOptions};
use cavansite_client::{
    AccessToken, ChatClient, ChatClientOptions, ClientOptions, Error, ErrorKind, RawResponse,
    Request, Result, TokenCredential, Transport, Upgraded,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// More than any wait of the client; time is paused, so that it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_mins(10);
pub(crate) const ENDPOINT: &str = "https://chat.test";
/// When the mocked server's clock stands, as its `Date` says.
pub(crate) const DATE: &str = "Mon, 23 Nov 2026 07:00:00 GMT";
pub(crate) const DATE_SECONDS: i64 = 1_795_417_200;

/// A step of the way to a websocket, by which answers are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Configuration,
    Allocation,
    Handshake,
    Websocket,
    Registration,
    Deregistration,
    Probe,
}

type Answer = Box<dyn FnMut(u32) -> Option<Result<RawResponse>> + Send>;

/// What a request was, for a test to look at.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) step: Step,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = url::Url::parse(&self.url).unwrap();
        let mut pairs = url.query_pairs();
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    }
}

pub(crate) struct Server {
    answers: Mutex<HashMap<Step, (u32, Answer)>>,
    seen: Mutex<Vec<Seen>>,
    sockets: mpsc::UnboundedSender<DuplexStream>,
    opened: Mutex<mpsc::UnboundedReceiver<DuplexStream>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

pub(crate) fn answer(status: u16, content_type: &str, body: &str) -> RawResponse {
    let mut headers = HeaderMap::new();
    headers.insert("date", HeaderValue::from_static(DATE));
    headers.insert("content-type", HeaderValue::from_str(content_type).unwrap());
    RawResponse::new(
        StatusCode::from_u16(status).unwrap(),
        headers,
        body.to_owned(),
    )
}

pub(crate) fn as_json(body: &Value) -> RawResponse {
    answer(200, "application/json; charset=utf-8", &body.to_string())
}

pub(crate) fn configuration() -> Value {
    json!({
        "trouterServiceUrl": "https://trouter.test/front",
        "registrarServiceUrl": "https://registrar.test/reg",
        "cloudType": "Public",
    })
}

pub(crate) fn allocation() -> Value {
    json!({
        "socketio": "https://socket.test:8443/",
        "connectparams": { "mark": "a-_.1", "number": 7, "object": {}, "v": "reserved" },
        "surl": "https://socket.test:8443/v4/f/me/",
        "url": "https://socket.test:8443/v4/f/me/",
        "ccid": "me",
        "ttl": "14400",
    })
}

impl Server {
    pub(crate) fn new() -> Arc<Self> {
        let (sockets, opened) = mpsc::unbounded_channel();
        Arc::new(Self {
            answers: Mutex::default(),
            seen: Mutex::default(),
            sockets,
            opened: Mutex::new(opened),
        })
    }

    /// Chooses the answers of a step, by how many there were; `None` is the usual one.
    pub(crate) fn on(
        &self,
        step: Step,
        answer: impl FnMut(u32) -> Option<Result<RawResponse>> + Send + 'static,
    ) {
        let mut answers = self.answers.lock().unwrap();
        answers.insert(step, (0, Box::new(answer)));
    }

    pub(crate) fn seen(&self, step: Step) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|seen| seen.step == step)
            .cloned()
            .collect()
    }

    pub(crate) fn all_seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// A client of it, with tokens that say which they are.
    pub(crate) fn client(self: &Arc<Self>) -> (ChatClient, Arc<Tokens>) {
        let tokens = Arc::new(Tokens::default());
        (self.client_with(tokens.clone()), tokens)
    }

    pub(crate) fn client_with(self: &Arc<Self>, tokens: Arc<dyn TokenCredential>) -> ChatClient {
        let mut options = ChatClientOptions::default();
        options.client = ClientOptions::default();
        options.client.transport = Some(self.clone());
        ChatClient::new(ENDPOINT, tokens, Some(options)).unwrap()
    }

    /// A client's connection, its stream after [`ChatEvent::Connected`], and the server's end.
    pub(crate) async fn connected(
        self: &Arc<Self>,
        options: Option<RealtimeOptions>,
    ) -> (RealtimeConnection, RealtimeEvents, Socket) {
        let (client, _) = self.client();
        let (connected, socket) =
            tokio::join!(client.connect_realtime(options), self.greeted_socket());
        let (connection, mut events) = connected.unwrap();
        assert_eq!(next(&mut events).await, ChatEvent::Connected);
        (connection, events, socket)
    }

    /// The server's end of the next websocket.
    pub(crate) async fn socket(&self) -> Socket {
        let opened = std::future::poll_fn(|context| self.opened.lock().unwrap().poll_recv(context));
        let stream = timeout(PATIENCE, opened)
            .await
            .expect("a websocket")
            .unwrap();
        Socket(WebSocketStream::from_raw_socket(stream, Role::Server, None).await)
    }

    /// The same, after the server's first words.
    pub(crate) async fn greeted_socket(&self) -> Socket {
        let mut socket = self.socket().await;
        socket.greet().await;
        socket
    }

    fn answer_to(&self, step: Step) -> Option<Result<RawResponse>> {
        let mut answers = self.answers.lock().unwrap();
        let (count, answer) = answers.get_mut(&step)?;
        *count += 1;
        answer(*count)
    }

    fn note(&self, request: &Request) -> Step {
        let path = request.url.path();
        let step = match (request.method.as_str(), path) {
            (_, "/chat/config/realTimeNotifications") => Step::Configuration,
            ("POST", _) if path.ends_with("/v4/a") => Step::Allocation,
            (_, "/socket.io/1/") => Step::Handshake,
            (_, _) if path.starts_with("/socket.io/1/websocket/") => Step::Websocket,
            ("POST", "/reg/v3/registrations") => Step::Registration,
            ("DELETE", _) if path.starts_with("/reg/v3/registrations/") => Step::Deregistration,
            (_, "/") => Step::Probe,
            other => panic!("{other:?}"),
        };
        let token = ["x-skypetoken", "authorization"]
            .iter()
            .find_map(|name| request.headers.get(*name));
        self.seen.lock().unwrap().push(Seen {
            step,
            url: request.url.to_string(),
            token: token.map(|token| token.to_str().unwrap().to_owned()),
            body: serde_json::from_slice(&request.body).unwrap_or_default(),
        });
        step
    }
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, request: Request) -> Result<RawResponse> {
        let step = self.note(&request);
        if let Some(answer) = self.answer_to(step) {
            return answer;
        }
        Ok(match step {
            Step::Configuration => as_json(&configuration()),
            Step::Allocation => as_json(&allocation()),
            Step::Handshake => answer(200, "text/plain", "session-1:180:180:websocket,xhr-polling"),
            Step::Probe => answer(200, "text/plain", "Trouter"),
            _ => answer(202, "text/plain", ""),
        })
    }

    async fn upgrade(&self, request: Request) -> Result<Upgraded> {
        let step = self.note(&request);
        if let Some(answer) = self.answer_to(step) {
            let _ = answer?;
            return Err(Error::new(
                ErrorKind::Other,
                "an answer that is no websocket",
            ));
        }
        let key = request.headers.get("sec-websocket-key").unwrap();
        let mut headers = HeaderMap::new();
        let accept = derive_accept_key(key.as_bytes());
        headers.insert(
            "sec-websocket-accept",
            HeaderValue::from_str(&accept).unwrap(),
        );
        let (here, there) = tokio::io::duplex(64 * 1024);
        self.sockets.send(there).unwrap();
        Ok(Upgraded::new(headers, here))
    }
}

/// Gives tokens that are numbered, the next one after a refusal.
#[derive(Debug, Default)]
pub(crate) struct Tokens(AtomicU32);

impl Tokens {
    pub(crate) fn refused(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl TokenCredential for Tokens {
    async fn get_token(&self) -> Result<AccessToken> {
        let number = self.0.load(Ordering::SeqCst);
        Ok(AccessToken::new(
            format!("hunter2-{number}"),
            Timestamp::MAX,
        ))
    }

    fn refused(&self, _: &AccessToken) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The server's end of a websocket.
pub(crate) struct Socket(pub(crate) WebSocketStream<DuplexStream>);

impl Socket {
    pub(crate) async fn greet(&mut self) {
        self.send("1::").await;
        self.send("5:::{\"name\":\"trouter.connected\",\"args\":[{\"ttl\":14400,\"dur\":\"1\"}]}")
            .await;
    }

    pub(crate) async fn send(&mut self, text: &str) {
        let sending = self.0.send(Message::text(text));
        timeout(PATIENCE, sending).await.unwrap().unwrap();
    }

    /// The next frame of the client; `None` once it has closed.
    pub(crate) async fn text(&mut self) -> Option<String> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("a frame")? {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame of the client that is no sign of life; those are acknowledged.
    pub(crate) async fn word(&mut self) -> Option<String> {
        loop {
            let text = self.text().await?;
            let Some((number, event)) = text.strip_prefix("5:").and_then(|t| t.split_once("+::"))
            else {
                return Some(text);
            };
            if !event.contains("\"ping\"") && !event.contains("\"user.activity\"") {
                return Some(text);
            }
            self.send(&format!("6:::{number}+[]")).await;
        }
    }

    /// Pushes an event, and gives the status of the answer.
    pub(crate) async fn push(&mut self, id: u64, event: &Value) -> u64 {
        self.push_only(id, &event.to_string()).await;
        let answer = self.word().await.expect("an answer");
        let answer: Value = serde_json::from_str(answer.strip_prefix("3:::").unwrap()).unwrap();
        assert_eq!(answer["id"], id);
        answer["status"].as_u64().unwrap()
    }

    pub(crate) async fn push_only(&mut self, id: u64, body: &str) {
        let request = json!({
            "id": id, "method": "POST", "url": "/v4/f/me/x", "headers": {}, "body": body,
        });
        self.send(&format!("3:::{request}")).await;
    }
}

/// The next item of the stream.
pub(crate) async fn next(events: &mut RealtimeEvents) -> ChatEvent {
    let item = timeout(PATIENCE, events.next()).await.expect("an event");
    item.expect("no end").expect("no error")
}

/// A message, as it is pushed.
pub(crate) fn message(id: i64) -> Value {
    json!({
        "eventId": 200, "senderId": "8:acs:r_alice", "recipientMri": "8:acs:r_bob",
        "groupId": "19:t@thread.v2", "messageId": id.to_string(), "version": id.to_string(),
        "messageType": "Text", "messageBody": format!("message {id}"),
        "senderDisplayName": "Alice", "acsChatMessageMetadata": "{\"key\":\"value\"}",
        "originalArrivalTime": Timestamp::from_millisecond(id).unwrap().to_string(),
    })
}

/// The number of a received message.
pub(crate) fn number(event: &ChatEvent) -> i64 {
    match event {
        ChatEvent::MessageReceived(event) => event.id.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}
