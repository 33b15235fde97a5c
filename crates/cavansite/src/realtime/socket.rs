//! One websocket, from its opening to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use cavansite_core::Error;
use cavansite_core::identity::IdentityService;
use cavansite_core::store::Store;
use cavansite_protocol::realtime::ClientFrame;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::time::{Instant, sleep_until, timeout};

use super::hub::Hub;
use super::mailbox::{End, Mailbox};
use super::payload::Payload;
use super::resume::{self, Reach};
use super::seal::Ticket;
use crate::http::Lease;

/// Pushes written in one go, in bytes.
const BATCH_BYTES: usize = 16 * 1024;
/// How long the last words of a websocket may take to be written.
const FAREWELL: Duration = Duration::from_millis(500);
/// The life that a client is told its connection has, in seconds.
pub(super) const TTL_SECONDS: u32 = 14_400;

/// Why a websocket ended.
enum Over {
    /// The client has gone, or is unfit to be spoken to.
    Gone,
    /// The client has stopped, and will not come back.
    Stopped,
    /// The server ends it, with these last words.
    Ended(&'static str),
}

/// Serves a websocket.
pub(super) async fn run(
    hub: Arc<Hub>,
    store: &dyn Store,
    identity: &IdentityService,
    ticket: Ticket,
    mut socket: WebSocket,
    mut lease: Lease,
) {
    let session = ticket.session.clone();
    let Some((mailbox, serial)) = hub.connect(session, &ticket.epid, ticket.known_since) else {
        tracing::info!("closed a websocket: its user has identities_per_user_max open");
        return;
    };
    // Known to the hub first: a revocation from here on is told to it, one before is seen here.
    let over = match identity.check_session(&ticket.session).await {
        Ok(ends_at) => {
            mailbox.set_end(|_| ends_at);
            tokio::select! {
                biased;
                () = lease.drained() => Over::Ended("0:::going away"),
                over = converse(&hub, store, &mailbox, serial, &mut socket) => over,
            }
        }
        Err(_) => Over::Ended(UNAUTHORIZED),
    };
    hub.disconnect(&mailbox, serial, matches!(over, Over::Stopped));
    // A wake that was meant for the websocket that took its place may have come here.
    mailbox.wake.notify_one();
    if let Over::Ended(words) = over {
        let farewell = async {
            socket.feed(Message::text(words)).await?;
            let code = close_code::AWAY;
            let reason = "".into();
            socket
                .send(Message::Close(Some(CloseFrame { code, reason })))
                .await
        };
        // A client that does not read misses them.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

const UNAUTHORIZED: &str = "0:::{\"reason\":\"unauthorized\"}";

async fn converse(
    hub: &Hub,
    store: &dyn Store,
    mailbox: &Mailbox<Payload>,
    serial: u64,
    socket: &mut WebSocket,
) -> Over {
    let silence = Duration::from_millis(hub.limits().silence_ms);
    let connected = format!(
        "5:::{{\"name\":\"trouter.connected\",\"args\":[{{\"ttl\":{TTL_SECONDS},\"dur\":\"1\"}}]}}"
    );
    if write(socket, vec!["1::".to_owned(), connected])
        .await
        .is_err()
    {
        return Over::Gone;
    }
    let mut deadline = Instant::now() + silence;
    let mut asked = false;
    let reach = Reach {
        window_ms: hub.limits().resume_window_ms,
        is_new: &|_| true,
    };
    loop {
        loop {
            let frames = match mailbox.take(serial, BATCH_BYTES, hub.limits()) {
                Ok(frames) if frames.is_empty() => {
                    match resume::catch_up(hub, store, mailbox, serial, reach).await {
                        Ok(true) => continue,
                        Ok(false) => break,
                        // The client comes back, and it is tried again then.
                        Err(error) => return could_not_resume(&error),
                    }
                }
                Ok(frames) => frames,
                Err(end) => return Over::Ended(last_words(end)),
            };
            if write_or_end(mailbox, serial, socket, frames).await.is_err() {
                return Over::Gone;
            }
        }
        let frames = tokio::select! {
            received = socket.next() => {
                let Some(Ok(message)) = received else {
                    return Over::Gone;
                };
                (deadline, asked) = (Instant::now() + silence, false);
                match read(mailbox, &message) {
                    Ok(reply) => reply.into_iter().collect(),
                    Err(over) => return over,
                }
            }
            () = mailbox.wake.notified() => Vec::new(),
            () = sleep_until(deadline) => {
                if asked {
                    return Over::Gone;
                }
                (deadline, asked) = (Instant::now() + silence, true);
                vec!["2::".to_owned()]
            }
        };
        if !frames.is_empty() && write_or_end(mailbox, serial, socket, frames).await.is_err() {
            return Over::Gone;
        }
    }
}

fn could_not_resume(error: &Error) -> Over {
    tracing::warn!(%error, "cannot read what a websocket is owed");
    Over::Ended("0:::try again")
}

/// What a frame of the client comes to: a reply, or the end.
fn read(mailbox: &Mailbox<Payload>, message: &Message) -> Result<Option<String>, Over> {
    let Message::Text(text) = message else {
        // Pings are answered below; data other than text is none of this protocol.
        return match message {
            Message::Ping(_) | Message::Pong(_) => Ok(None),
            _ => Err(Over::Gone),
        };
    };
    match ClientFrame::parse(text.as_str()) {
        Some(ClientFrame::Event(Some(ack))) => Ok(Some(format!("6:::{ack}+[]"))),
        Some(ClientFrame::Answer(id)) => {
            mailbox.answered(id);
            Ok(None)
        }
        Some(ClientFrame::Disconnect) => Err(Over::Stopped),
        Some(_) => Ok(None),
        None => {
            tracing::info!(
                bytes = text.len(),
                "closed a websocket: a frame was malformed"
            );
            Err(Over::Gone)
        }
    }
}

fn last_words(end: End) -> &'static str {
    match end {
        End::Unauthorized => UNAUTHORIZED,
        End::Replaced => "0:::dup",
        End::Overflow => "0:::too slow",
        End::Stopped => "0::",
    }
}

/// Writes frames, unless the websocket is to end meanwhile: a client that does not read must not
/// hold up its own end.
async fn write_or_end(
    mailbox: &Mailbox<Payload>,
    serial: u64,
    socket: &mut WebSocket,
    frames: Vec<String>,
) -> Result<(), ()> {
    let mut writing = std::pin::pin!(write(socket, frames));
    loop {
        tokio::select! {
            biased;
            written = writing.as_mut() => return written,
            () = mailbox.wake.notified() => {
                if mailbox.has_ended(serial) {
                    return Err(());
                }
            }
        }
    }
}

async fn write(socket: &mut WebSocket, frames: Vec<String>) -> Result<(), ()> {
    for frame in frames {
        socket.feed(Message::text(frame)).await.map_err(drop)?;
    }
    socket.flush().await.map_err(drop)
}
