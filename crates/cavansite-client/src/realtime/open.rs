//! The way to a websocket: configuration, allocation, handshake, upgrade.
//!
//! The addresses of each step come from the answer before it. Each is checked before the token goes
//! there: `https`, or what the client's options allow of this machine, and nothing but a place.

use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, DATE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::RealtimeOptions;
use super::limits::{
    ANSWER_BYTES_MAX, CONNECT_PARAMS_BYTES_MAX, CONNECT_PARAMS_MAX, EXPIRY_MARGIN_MS,
    HEARTBEAT_GRACE, HEARTBEAT_MAX, HEARTBEAT_MIN, REQUEST_TIMEOUT, SESSION_ID_BYTES_MAX,
};
use super::link::{Incoming, Link, Pace, correlation_vector, seconds};
use crate::credential::AccessToken;
use crate::pipeline::{self, Call, Pipeline};
use crate::transport::{RawResponse, Request, Upgraded};
use crate::{Error, ErrorKind, Result};

/// Where the token goes, without a prefix.
const TOKEN: HeaderName = HeaderName::from_static("x-skypetoken");
/// On a failed allocation: the service does not take this client any more.
const DEPRECATED: &str = "x-trouter-skypetoken-deprecated";
/// The version of the official client whose protocol this is, as servers are told it.
const PROTOCOL_CLIENT: &str = "2024.14.01.55";
/// Names that a client sets itself.
const RESERVED: [&str; 14] = [
    "v",
    "tc",
    "timeout",
    "auth",
    "epid",
    "userActivity",
    "ccid",
    "dom",
    "cor_id",
    "con_num",
    "t",
    "connected",
    "audienceSubscriptionState",
    "scae",
];

/// What it takes to open connections, kept from one to the next.
#[derive(Clone)]
pub(super) struct Opener {
    pipeline: Arc<Pipeline>,
    trouter: Url,
    pub(super) registrar: Url,
    ping_interval: Duration,
    /// The connection identity, the same for as long as the client lives.
    pub(super) epid: String,
    session: String,
    started_ms: i64,
    attempts: u32,
    /// What the last allocation gave for the next.
    known: Known,
}

/// What an allocation gave to come back with.
#[derive(Clone, Default)]
struct Known {
    socketio: Option<Url>,
    echoed: Vec<(String, String)>,
    expires_ms: Option<i64>,
}

/// An open connection.
pub(super) struct Open {
    pub(super) link: Link<Upgraded>,
    /// The token it was opened with.
    pub(super) token: AccessToken,
    /// The client's address, for the registration.
    pub(super) address: String,
    /// The connection's life in seconds.
    pub(super) ttl: u64,
    /// The time by the server's clock, where it told.
    pub(super) server_time: Option<Timestamp>,
}

/// The answer of the configuration endpoint.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    trouter_service_url: String,
    registrar_service_url: String,
}

/// The answer of an allocation.
#[derive(Deserialize)]
struct Allocation {
    socketio: String,
    connectparams: Map<String, Value>,
    surl: String,
    ccid: Option<String>,
    ttl: Value,
}

/// Why a connection could not be opened.
pub(super) enum Refusal {
    /// The server does not take the token.
    Token(Error),
    /// It never will take this client.
    Deprecated,
    /// Anything else.
    Other(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Opener {
    /// Asks the configuration endpoint where real-time is.
    pub(super) async fn new(pipeline: Arc<Pipeline>, options: &RealtimeOptions) -> Result<Self> {
        let mut url = pipeline.url(["chat", "config", "realTimeNotifications"])?;
        // The one that every client asks for; the answer does not depend on it.
        url.query_pairs_mut()
            .clear()
            .append_pair("api-version", CONFIGURATION_VERSION);
        let call = Call::new("connect_realtime", Method::GET, url);
        let call = call.timeout(Some(options.connect_timeout));
        let (answer, _) = pipeline.send(call).await?;
        let configuration: Configuration = pipeline::read(short(&answer)?)?;
        let place = |text: &str| {
            let url = Url::parse(text)
                .map_err(|_| Error::data("the configuration has a URL that is none"))?;
            pipeline.check_place(&url)?;
            Ok::<_, Error>(url)
        };
        Ok(Self {
            trouter: place(&configuration.trouter_service_url)?,
            registrar: place(&configuration.registrar_service_url)?,
            ping_interval: options.ping_interval,
            epid: pipeline::new_id()?,
            session: pipeline::new_id()?,
            started_ms: Timestamp::now().as_millisecond(),
            attempts: 0,
            known: Known::default(),
            pipeline,
        })
    }

    pub(super) fn pipeline(&self) -> Arc<Pipeline> {
        Arc::clone(&self.pipeline)
    }

    /// Forgets what the server gave to come back with.
    pub(super) fn forget(&mut self) {
        self.known = Known::default();
    }

    /// Nobody answers: asks at the service's front door whether it is elsewhere by now.
    pub(super) async fn probe(&mut self) {
        let is_same = |known: &Url| known.origin() == self.trouter.origin();
        if self.known.socketio.as_ref().is_none_or(is_same) {
            return;
        }
        let mut url = self.trouter.clone();
        url.set_path("/");
        url.set_query(Some(&format!("check={}", self.attempts)));
        let request = Request::new(Method::GET, url);
        let answer = self.pipeline.exchange(request, REQUEST_TIMEOUT).await;
        if answer.is_ok_and(|answer| answer.status == StatusCode::OK && answer.body == "Trouter") {
            self.known.socketio = None;
        }
    }

    /// Opens a connection. `afresh`: without what the server gave to come back with.
    pub(super) async fn open(&mut self, afresh: bool) -> Result<Open, Refusal> {
        let now_ms = Timestamp::now().as_millisecond();
        let is_over = |at: i64| at <= now_ms + EXPIRY_MARGIN_MS;
        if afresh || self.known.expires_ms.is_some_and(is_over) {
            self.forget();
        }
        self.attempts += 1;
        let token = self.pipeline.token().await?;
        let answer = self.allocate(&token).await?;
        let server_time = answer.header(DATE.as_str()).and_then(time);
        let allocation: Allocation = pipeline::read(short(&answer)?)?;
        let (known, socketio) = self.understand(&allocation)?;
        self.known = known;
        let ttl = seconds(&allocation.ttl)
            .ok_or_else(|| Error::data("the allocation has no life of the connection"))?;
        let query = self.query(&allocation.ccid.unwrap_or_default());
        let session = self.shake_hands(&socketio, &query, &token).await?;
        let mut link = self.upgrade(&socketio, &query, session).await?;
        let told = greet(&mut link).await?;
        Ok(Open {
            link,
            token,
            address: allocation.surl,
            ttl: told.unwrap_or(ttl),
            server_time,
        })
    }

    /// The first step, and the one in which the server says what it thinks of the token.
    async fn allocate(&self, token: &AccessToken) -> Result<RawResponse, Refusal> {
        let base = self.known.socketio.as_ref().unwrap_or(&self.trouter);
        let mut url = below(base, &["v4", "a"])?;
        let mut query = self.ids();
        if !self.known.echoed.is_empty() {
            query = format!("{}v=v4&{query}", self.echoed());
        }
        url.set_query(Some(&query));
        let mut request = authorised(Request::new(Method::POST, url), token)?;
        let text = HeaderValue::from_static("text/plain");
        request.headers.insert(CONTENT_TYPE, text);
        let headers = request.headers.clone();
        let answer = self.pipeline.exchange(request, REQUEST_TIMEOUT).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        if answer.header(DEPRECATED) == Some("1") {
            return Err(Refusal::Deprecated);
        }
        let error = Pipeline::refusal(&answer, &headers);
        if answer.status == StatusCode::UNAUTHORIZED {
            self.pipeline.refused(token);
            return Err(Refusal::Token(error));
        }
        Err(error.into())
    }

    /// What an allocation gives to come back with, and the origin of the next steps.
    fn understand(&self, allocation: &Allocation) -> Result<(Known, Url)> {
        let socketio = Url::parse(&allocation.socketio)
            .map_err(|_| Error::data("the allocation has a URL that is none"))?;
        self.pipeline.check_place(&socketio)?;
        if socketio.path() != "/" {
            return Err(Error::data("the allocation's socket.io address has a path"));
        }
        let mut echoed = Vec::new();
        let mut bytes = 0;
        for (name, value) in &allocation.connectparams {
            let value = match value {
                Value::String(value) => value.clone(),
                Value::Number(value) => value.to_string(),
                _ => continue,
            };
            bytes += name.len() + value.len();
            if echoed.len() >= CONNECT_PARAMS_MAX || bytes > CONNECT_PARAMS_BYTES_MAX {
                return Err(Error::data("the allocation gives too much to be echoed"));
            }
            if !RESERVED.contains(&&**name) {
                echoed.push((name.clone(), value));
            }
        }
        let expires = allocation.connectparams.get("se");
        let known = Known {
            socketio: Some(socketio.clone()),
            echoed,
            expires_ms: expires
                .and_then(seconds)
                .and_then(|at| i64::try_from(at).ok()),
        };
        Ok((known, socketio))
    }

    /// The part of every query that tells attempts apart.
    fn ids(&self) -> String {
        let (session, epid) = (&self.session, &self.epid);
        let (started, attempts) = (self.started_ms, self.attempts);
        format!("cor_id={session}&con_num={started}_{attempts}&epid={epid}")
    }

    /// What the server gave, for a query, with a separator at the end.
    fn echoed(&self) -> String {
        let pairs = self.known.echoed.iter();
        pairs.fold(String::new(), |query, (name, value)| {
            format!("{query}{}={}&", as_it_is(name), as_it_is(value))
        })
    }

    fn query(&self, ccid: &str) -> String {
        let client = serde_json::json!({
            "cv": PROTOCOL_CLIENT, "ua": "acs-chat-web", "hr": "", "v": env!("CARGO_PKG_VERSION"),
        });
        let activity = serde_json::json!({ "state": "active", "cv": correlation_vector() });
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        format!(
            "{}v=v4&tc={}&timeout={}&auth=true&userActivity={}&ccid={}&{}",
            self.echoed(),
            encode(&client.to_string()),
            self.ping_interval.as_secs(),
            encode(&activity.to_string()),
            as_it_is(ccid),
            self.ids(),
        )
    }

    /// The handshake of socket.io.
    async fn shake_hands(
        &self,
        socketio: &Url,
        query: &str,
        token: &AccessToken,
    ) -> Result<Session> {
        let mut url = below(socketio, &["socket.io", "1", ""])?;
        let now_ms = Timestamp::now().as_millisecond();
        url.set_query(Some(&format!("{query}&t={now_ms}")));
        let request = authorised(Request::new(Method::GET, url), token)?;
        let answer = ask(&self.pipeline, request).await?;
        Session::parse(&short(&answer)?.body)
    }

    async fn upgrade(
        &self,
        socketio: &Url,
        query: &str,
        session: Session,
    ) -> Result<Link<Upgraded>> {
        let mut url = below(socketio, &["socket.io", "1", "websocket", &session.id])?;
        url.set_query(Some(query));
        let key = generate_key();
        let mut request = Request::new(Method::GET, url);
        let headers = &mut request.headers;
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let not_a_header = |_| Error::data("the websocket's key cannot be a header");
        let value = HeaderValue::from_str(&key).map_err(not_a_header)?;
        headers.insert(SEC_WEBSOCKET_KEY, value);
        let upgraded = self.pipeline.upgrade(request).await?;
        let accept = upgraded.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accept.is_none_or(|accept| *accept != *derive_accept_key(key.as_bytes())) {
            return Err(failed("what answered is no websocket"));
        }
        let pace = Pace {
            ping_interval: self.ping_interval,
            silence: session.silence,
        };
        Ok(Link::new(upgraded, pace).await)
    }
}

/// What a handshake gives: `sid:heartbeat:close:transports`.
#[derive(Debug, PartialEq, Eq)]
struct Session {
    id: String,
    /// The longest silence.
    silence: Duration,
}

impl Session {
    fn parse(answer: &[u8]) -> Result<Self> {
        let wrong = || Error::data("the handshake's answer is none");
        let text = std::str::from_utf8(answer).map_err(|_| wrong())?.trim();
        let fields: Vec<_> = text.split(':').collect();
        let [id, heartbeat, close, transports] = fields[..] else {
            return Err(wrong());
        };
        let is_plain = |c: u8| c.is_ascii_graphic() && !matches!(c, b'/' | b'?' | b'#' | b'%');
        let is_dots = matches!(id, "" | "." | "..");
        if is_dots || id.len() > SESSION_ID_BYTES_MAX || !id.bytes().all(is_plain) {
            return Err(wrong());
        }
        if !transports.split(',').any(|name| name == "websocket") {
            return Err(failed("the server has no websockets"));
        }
        // Each may be empty: no limit.
        let limit = |text: &str| match text {
            "" => Ok(HEARTBEAT_MAX),
            text => text.parse().map(Duration::from_secs).map_err(|_| wrong()),
        };
        let silence = limit(heartbeat)?.min(limit(close)?);
        Ok(Self {
            id: id.to_owned(),
            silence: silence.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX) + HEARTBEAT_GRACE,
        })
    }
}

/// A request with the token where real-time has it.
pub(super) fn authorised(mut request: Request, token: &AccessToken) -> Result<Request> {
    let value = pipeline::sensitive(token.token.expose());
    let value = value.map_err(|_| Error::credential("the token cannot be a header"))?;
    request.headers.insert(TOKEN, value);
    Ok(request)
}

/// Sends a request once; an answer without success is an error.
pub(super) async fn ask(pipeline: &Pipeline, request: Request) -> Result<RawResponse> {
    let headers = request.headers.clone();
    let answer = pipeline.exchange(request, REQUEST_TIMEOUT).await?;
    if answer.status.is_success() {
        Ok(answer)
    } else {
        Err(Pipeline::refusal(&answer, &headers))
    }
}

/// Waits for the server's first words.
async fn greet(link: &mut Link<Upgraded>) -> Result<Option<u64>> {
    loop {
        match std::future::poll_fn(|context| link.poll_next(context)).await {
            Incoming::Connected(ttl) => return Ok(ttl),
            Incoming::Over(reason) => {
                return Err(failed(format!("the websocket ended at once: {reason}")));
            }
            _ => {}
        }
    }
}

pub(super) fn failed(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Realtime, message)
}

/// An answer, if it is no longer than such answers are.
fn short(answer: &RawResponse) -> Result<&RawResponse> {
    if answer.body.len() > ANSWER_BYTES_MAX {
        return Err(Error::data("the answer is too long"));
    }
    Ok(answer)
}

/// The URL of a path below another one's.
pub(super) fn below(base: &Url, segments: &[&str]) -> Result<Url> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| Error::data("the service's address has no path"))?
        .pop_if_empty()
        .extend(segments);
    Ok(url)
}

/// A server's text for a query, as it is, since official clients do not encode it; but for what
/// would not stay in its place.
fn as_it_is(text: &str) -> String {
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~!$'()*+,;:@/?%".contains(&c);
    text.bytes().fold(String::new(), |text, c| {
        if is_plain(c) {
            text + char::from(c).encode_utf8(&mut [0])
        } else {
            format!("{text}%{c:02X}")
        }
    })
}

/// A time as HTTP writes it.
fn time(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok()
}

/// The version that official clients ask the configuration endpoint for.
const CONFIGURATION_VERSION: &str = "2024-09-01";
