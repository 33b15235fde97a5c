//! One event stream (Server-Sent Events), from its opening to its end.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use cavansite_core::Error;
use cavansite_core::identity::{IdentityService, Session};
use cavansite_core::store::Store;
use futures_util::stream::unfold;
use futures_util::{FutureExt as _, Stream};
use tokio::time::{Instant, Sleep, sleep};

use super::hub::Hub;
use super::limits::{BATCH_BYTES, RESUME_OVERLAP_MS};
use super::mailbox::{End, Mailbox, More};
use super::owed::Owed;
use super::resume;
use super::stream_event::{EventId, StreamEvent};
use crate::http::Lease;

/// The last words of a stream when the server stops.
const STOPPING: &str = ": the server is stopping\n\n";

/// The body of an event stream.
pub(crate) type StreamBody =
    Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send + 'static>>;

/// Why no stream was opened.
pub(crate) enum NoStream {
    /// The user has as many as one may have.
    TooMany,
    /// The token has ended meanwhile, or the store failed.
    Refused(Error),
}

impl From<Error> for NoStream {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// An open stream.
struct Open {
    hub: Arc<Hub>,
    store: Arc<dyn Store>,
    mailbox: Arc<Mailbox<StreamEvent>>,
    serial: u64,
    lease: Lease,
    /// What is to be written first.
    greeting: Option<String>,
    /// What is to be sent without waiting.
    more: More,
    heartbeat: Duration,
    /// When a heartbeat is due, unless something is sent before.
    quiet_until: Instant,
    /// Set again only when it has rung: what is sent moves the heartbeat.
    timer: Pin<Box<Sleep>>,
    is_over: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.hub.close_stream(&self.mailbox);
    }
}

/// Opens a stream; `after` is the last event that the client has.
pub(super) async fn open(
    (hub, store): (Arc<Hub>, Arc<dyn Store>),
    identity: &IdentityService,
    session: Session,
    after: Option<EventId>,
    lease: Lease,
) -> Result<StreamBody, NoStream> {
    let window_ms = hub.limits().stream_resume_window_ms;
    let now = hub.now();
    let earliest = now.plus_millis(-window_ms);
    let owed = after
        .map(|EventId { at, told }| Owed::since_after(at.plus_millis(-RESUME_OVERLAP_MS), told));
    let left_out = owed.as_ref().is_some_and(|owed| owed.since < earliest);
    // Once for all: who is told slowly is told all of it.
    let owed = owed.map(|owed| owed.not_before(earliest));
    let opened = hub.open_stream(session.clone(), owed, lease.answering());
    let (mailbox, serial) = opened.ok_or(NoStream::TooMany)?;
    let mut greeting = ": connected".to_owned();
    if left_out {
        let seconds = window_ms / 1_000;
        let _ = write!(
            greeting,
            "; events of more than {seconds} seconds ago are left out"
        );
    }
    if after.is_none() {
        // Who is cut off before the first event has something to go on after, too.
        let _ = write!(greeting, "\nid: {}", EventId::from(now));
    }
    greeting.push_str("\n\n");
    let heartbeat = Duration::from_millis(hub.limits().stream_heartbeat_ms);
    let open = Open {
        more: More::Kept,
        heartbeat,
        quiet_until: Instant::now() + heartbeat,
        timer: Box::pin(sleep(heartbeat)),
        hub,
        store,
        mailbox,
        serial,
        lease,
        greeting: Some(greeting),
        is_over: false,
    };
    // Known to the hub first: a revocation from here on is told to it, one before is seen here.
    let ends_at = identity.check_session(&session).await?;
    open.hub.move_end(&open.mailbox, |_| ends_at);
    let body = unfold(open, async |mut open| {
        let text = open.next().await?;
        Some((Ok(Bytes::from(text)), open))
    });
    Ok(Box::pin(body))
}

impl Open {
    /// What is to be written next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        if self.is_over {
            return None;
        }
        // Also where there is always something to send.
        if self.lease.drained().now_or_never().is_some() {
            return Some(self.end(STOPPING));
        }
        loop {
            if self.more == More::Kept {
                match self.mailbox.take(self.serial, BATCH_BYTES) {
                    Ok((text, more)) => {
                        self.more = more;
                        if !text.is_empty() {
                            return Some(self.send(text));
                        }
                    }
                    Err(End::Unauthorized) => return Some(self.end(": the token has ended\n\n")),
                    Err(_) => return None,
                }
            }
            if self.more == More::InStore {
                match Box::pin(self.catch_up()).await {
                    Ok(true) => {
                        self.more = More::Kept;
                        continue;
                    }
                    Ok(false) => self.more = More::Nothing,
                    Err(error) => {
                        tracing::warn!(%error, "cannot read what an event stream is owed");
                        return Some(self.end(": try again\n\n"));
                    }
                }
            }
            tokio::select! {
                biased;
                () = self.lease.drained() => return Some(self.end(STOPPING)),
                () = self.mailbox.wake.notified() => self.more = More::Kept,
                () = self.timer.as_mut() => {
                    let is_due = self.quiet_until <= Instant::now();
                    let text = is_due.then(|| self.send(":\n\n".to_owned()));
                    self.timer.as_mut().reset(self.quiet_until);
                    if text.is_some() {
                        return text;
                    }
                }
            }
        }
    }

    fn send(&mut self, text: String) -> String {
        self.quiet_until = Instant::now() + self.heartbeat;
        text
    }

    async fn catch_up(&self) -> Result<bool, Error> {
        resume::catch_up(&self.hub, &*self.store, &self.mailbox, self.serial).await
    }

    fn end(&mut self, words: &str) -> String {
        self.is_over = true;
        words.to_owned()
    }
}
