//! One websocket: its frames, its signs of life, and how it ends.
//!
//! A link is polled, not awaited: it may be dropped or left alone between any two polls and loses
//! nothing, so that two of them can be served side by side while one takes the other's place.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink as _, Stream as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::DisconnectReason;
use super::frame::{self, PushedRequest, ServerEvent, ServerFrame};
use super::limits::{
    ACTIVITY_AGAIN, ACTIVITY_TIMEOUT, FRAME_BYTES_MAX, OUTBOX_FRAMES, PING_TIMEOUT,
    READ_BUFFER_BYTES, WRITE_BUFFER_BYTES,
};

/// What comes of a link.
#[derive(Debug)]
pub(super) enum Incoming {
    /// The server's first words are said; the connection's life in seconds, if it told.
    Connected(Option<u64>),
    /// An event, to be answered.
    Push(PushedRequest),
    /// The server wants the client on another connection. `true`: found by what it gave to echo.
    Move(bool),
    /// The server has lost events; its list of what they were about.
    Loss(Value),
    /// It is over.
    Over(DisconnectReason),
}

/// When a link speaks and when it gives up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) ping_interval: Duration,
    /// The longest silence.
    pub(super) silence: Duration,
}

/// A websocket that speaks the protocol.
pub(super) struct Link<S> {
    socket: WebSocketStream<S>,
    pace: Pace,
    /// Frames that were not handed to the socket yet.
    outbox: VecDeque<String>,
    is_flushed: bool,
    connection: Phase,
    next_number: u64,
    /// Numbers of the ping and the `user.activity` that wait for their acknowledgement, and until
    /// when they do.
    ping: Option<(u64, Instant)>,
    activity: Option<(u64, Instant)>,
    next_ping: Instant,
    next_activity: Option<Instant>,
    silent_until: Instant,
    timer: Pin<Box<Sleep>>,
    over: Option<DisconnectReason>,
}

/// How far the server's first words have come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Nothing,
    Greeted,
    Connected,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Over a connection that has just become a websocket.
    pub(super) async fn new(connection: S, pace: Pace) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            // Pongs that a server does not read: the newest is kept, no more.
            .max_write_buffer_size(2 * FRAME_BYTES_MAX)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let socket = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await;
        let now = Instant::now();
        let silent_until = now + pace.silence;
        Self {
            socket,
            pace,
            outbox: VecDeque::new(),
            is_flushed: true,
            connection: Phase::Nothing,
            next_number: 1,
            ping: None,
            activity: None,
            next_ping: now + pace.ping_interval,
            next_activity: None,
            silent_until,
            timer: Box::pin(sleep_until(silent_until)),
            over: None,
        }
    }

    /// What comes next. After [`Incoming::Over`] nothing does.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            if let Some(reason) = self.over.clone() {
                return Poll::Ready(Incoming::Over(reason));
            }
            let is_writing = self.hand_over(context).is_pending();
            // A server that does not read what it is told is not listened to.
            if !is_writing || self.outbox.len() < OUTBOX_FRAMES {
                match Pin::new(&mut self.socket).poll_next(context) {
                    Poll::Ready(Some(Ok(message))) => {
                        self.silent_until = Instant::now() + self.pace.silence;
                        if let Some(incoming) = self.take(message) {
                            return Poll::Ready(incoming);
                        }
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.end(broken(&error));
                        continue;
                    }
                    Poll::Ready(None) => {
                        self.end(DisconnectReason::Lost);
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            // Only now: what was answered meanwhile goes out in one piece.
            let _ = self.flush(context);
            self.keep_time();
            if self.over.is_none() && (self.outbox.is_empty() || is_writing) {
                let next = self.next_deadline();
                self.timer.as_mut().reset(next);
                ready!(self.timer.as_mut().poll(context));
            }
        }
    }

    /// Answers a push; with a sign of life after it, as servers are used to.
    pub(super) fn answer(&mut self, request: PushedRequest, status: u16) {
        self.outbox.push_back(request.answer(status));
        self.ping();
    }

    /// Tells the server that the client knows what it has lost.
    pub(super) fn confirm_loss(&mut self, list: &Value) {
        self.say("trouter.processed_message_loss", Some(list));
    }

    /// Says goodbye and closes. May take for ever.
    pub(super) async fn close(mut self) {
        self.outbox.push_back(frame::DISCONNECT.to_owned());
        std::future::poll_fn(|context| match self.hand_over(context) {
            Poll::Ready(()) if self.over.is_none() => self.flush(context),
            other => other,
        })
        .await;
        let _ = self.socket.close(None).await;
    }

    fn end(&mut self, reason: DisconnectReason) {
        self.over.get_or_insert(reason);
    }

    /// Hands frames to the socket until it takes no more.
    fn hand_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.outbox.is_empty() && self.over.is_none() {
            let handed = ready!(Pin::new(&mut self.socket).poll_ready(context)).and_then(|()| {
                let frame = self.outbox.pop_front().unwrap_or_default();
                self.is_flushed = false;
                Pin::new(&mut self.socket).start_send(Message::text(frame))
            });
            if let Err(error) = handed {
                self.end(broken(&error));
            }
        }
        Poll::Ready(())
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.is_flushed {
            match ready!(Pin::new(&mut self.socket).poll_flush(context)) {
                Ok(()) => self.is_flushed = true,
                Err(error) => self.end(broken(&error)),
            }
        }
        Poll::Ready(())
    }

    /// Says what it is time to say, and gives up when it is time for that.
    fn keep_time(&mut self) {
        let now = Instant::now();
        if self.silent_until <= now {
            self.end(DisconnectReason::Silent);
        }
        let waits = [self.ping, self.activity];
        if waits.into_iter().flatten().any(|(_, until)| until <= now) {
            self.end(DisconnectReason::Unacknowledged);
        }
        if self.connection != Phase::Connected {
            return;
        }
        if self.next_ping <= now {
            self.next_ping = now + self.pace.ping_interval;
            self.ping();
        }
        if self.next_activity.is_some_and(|at| at <= now) {
            self.next_activity = None;
            self.be_active();
        }
    }

    fn next_deadline(&self) -> Instant {
        let waits = [self.ping, self.activity].map(|wait| wait.map(|(_, until)| until));
        let next_ping = (self.connection == Phase::Connected).then_some(self.next_ping);
        let all = waits.into_iter().chain([self.next_activity, next_ping]);
        all.flatten().fold(self.silent_until, Instant::min)
    }

    fn say(&mut self, name: &str, args: Option<&Value>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.outbox.push_back(frame::event(number, name, args));
        number
    }

    /// One at a time.
    fn ping(&mut self) {
        if self.ping.is_none() {
            let number = self.say("ping", None);
            self.ping = Some((number, Instant::now() + PING_TIMEOUT));
        }
    }

    fn be_active(&mut self) {
        let args = json!({ "state": "active", "cv": correlation_vector() });
        let number = self.say("user.activity", Some(&args));
        self.activity = Some((number, Instant::now() + ACTIVITY_TIMEOUT));
    }

    /// What a message comes to.
    fn take(&mut self, message: Message) -> Option<Incoming> {
        match message {
            Message::Text(text) => match ServerFrame::parse(text.as_str()) {
                Some(frame) => return self.take_frame(&frame),
                None => self.end(DisconnectReason::OutOfProtocol),
            },
            Message::Binary(_) => self.end(DisconnectReason::OutOfProtocol),
            Message::Close(_) => self.end(DisconnectReason::Lost),
            // The websocket's own signs of life are answered below.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
        None
    }

    fn take_frame(&mut self, frame: &ServerFrame<'_>) -> Option<Incoming> {
        match *frame {
            ServerFrame::Connect if self.connection == Phase::Nothing => {
                self.connection = Phase::Greeted;
            }
            ServerFrame::Heartbeat => self.outbox.push_back(frame::HEARTBEAT.to_owned()),
            ServerFrame::Ack(number) => {
                let is_other = |wait: &(u64, Instant)| wait.0 != number;
                self.ping = self.ping.filter(is_other);
                self.activity = self.activity.filter(is_other);
            }
            ServerFrame::Request { ack, data } => return self.take_request(ack, data),
            ServerFrame::Event { data } => return self.take_event(data),
            ServerFrame::Disconnect(reason) => self.end(DisconnectReason::of_server(reason)),
            ServerFrame::Error => self.end(DisconnectReason::ByServer(None)),
            ServerFrame::Connect | ServerFrame::Noop => {}
        }
        None
    }

    fn take_request(&mut self, ack: Option<&str>, data: &str) -> Option<Incoming> {
        let Some(request) = PushedRequest::parse(data) else {
            // It cannot be answered; the official client leaves it at that too.
            tracing::debug!(bytes = data.len(), "a pushed request is malformed");
            return None;
        };
        if let Some(ack) = ack {
            self.outbox.push_back(frame::acknowledgement(ack));
        }
        if self.connection != Phase::Connected {
            self.outbox.push_back(request.answer(504));
            return None;
        }
        Some(Incoming::Push(request))
    }

    fn take_event(&mut self, data: &str) -> Option<Incoming> {
        let Some(event) = ServerEvent::parse(data) else {
            self.end(DisconnectReason::OutOfProtocol);
            return None;
        };
        let argument = event.args.into_iter().next();
        match (event.name.as_str(), self.connection) {
            ("trouter.connected", Phase::Greeted) => {
                self.connection = Phase::Connected;
                let now = Instant::now();
                self.next_ping = now + self.pace.ping_interval;
                self.next_activity = Some(now + ACTIVITY_AGAIN);
                self.be_active();
                let ttl = argument.and_then(|argument| seconds(&argument["ttl"]));
                Some(Incoming::Connected(ttl))
            }
            ("trouter.reconnect", Phase::Connected) => {
                let target = argument.map(|argument| argument["target"] == "self");
                Some(Incoming::Move(target.unwrap_or_default()))
            }
            ("trouter.message_loss", Phase::Connected) => argument.map(Incoming::Loss),
            _ => {
                tracing::debug!("an event of the server means nothing here");
                None
            }
        }
    }
}

/// A number, or the digits of one.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let of_text = || value.as_str()?.parse().ok();
    value.as_u64().or_else(of_text)
}

/// What sets a client's actions apart in a service's logs: 128 random bits and a count.
pub(super) fn correlation_vector() -> String {
    use base64::Engine as _;
    let bytes = fastrand::u128(..).to_le_bytes();
    format!(
        "{}.0",
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(bytes)
    )
}

fn broken(error: &tokio_tungstenite::tungstenite::Error) -> DisconnectReason {
    use tokio_tungstenite::tungstenite::Error as E;
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => DisconnectReason::Lost,
        E::Protocol(_) | E::Capacity(_) | E::Utf8(_) | E::AttackAttempt => {
            DisconnectReason::OutOfProtocol
        }
        _ => DisconnectReason::Lost,
    }
}
