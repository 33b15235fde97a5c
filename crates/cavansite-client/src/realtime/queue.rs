//! The bounded queue between the task that owns the socket and the stream that a program reads.
//!
//! The task never waits for the program: what does not fit is dropped and counted, and a marker in
//! its place says so. Markers are not counted and not dropped; those in a row become one.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use jiff::{SignedDuration, Timestamp};

use super::event::{ChatEvent, Key};
use super::limits::{GAP_OVERLAP_MS, QUEUE_BYTES};
use super::recent::Recent;
use super::{DisconnectReason, RealtimeOptions};
use crate::{Error, Result};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It waits to be read.
    Taken,
    /// It was there before.
    Repeated,
    /// There was no room.
    Dropped,
}

/// See the module.
pub(super) struct Queue(Mutex<Inner>);

struct Inner {
    items: VecDeque<Item>,
    events: usize,
    bytes: usize,
    events_max: usize,
    recent: Recent,
    /// The newest that the server is known to have told, by its clock.
    newest: Option<Timestamp>,
    /// When the stream began, by the server's clock.
    began: Option<Timestamp>,
    /// From when on events may be missing, since a connection was lost.
    lost_since: Option<Timestamp>,
    reader: Option<Waker>,
    /// Set when nothing comes any more, with why if the program did not ask for it.
    end: Option<End>,
}

/// How it ends: with an error, if the program did not ask for it and has not read it yet.
struct End(Option<Error>);

struct Item {
    event: ChatEvent,
    /// Of its payload; zero for markers.
    bytes: usize,
}

impl Queue {
    pub(super) fn new(options: &RealtimeOptions) -> Self {
        Self(Mutex::new(Inner {
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            events_max: options.queue_events,
            recent: Recent::new(options.remembered_events),
            newest: None,
            began: None,
            lost_since: None,
            reader: None,
            end: None,
        }))
    }

    /// Adds an event that took so many bytes.
    pub(super) fn offer(&self, event: ChatEvent, bytes: usize) -> Offered {
        let mut inner = self.lock();
        let key = event.key();
        if key.as_ref().is_some_and(|key| inner.recent.contains(key)) {
            return Offered::Repeated;
        }
        let (at, since) = (event.server_time(), inner.since());
        if inner.events >= inner.events_max || inner.bytes + bytes > QUEUE_BYTES {
            let since = [since, at].into_iter().flatten().min();
            inner.lag(1, since);
            inner.hear(at);
            inner.wake();
            return Offered::Dropped;
        }
        if let Some(key) = key {
            inner.recent.insert(&key);
        }
        inner.hear(at);
        inner.events += 1;
        inner.bytes += bytes;
        inner.items.push_back(Item { event, bytes });
        inner.wake();
        Offered::Taken
    }

    /// The server lives, at this time by its clock.
    pub(super) fn hear(&self, at: Timestamp) {
        self.lock().hear(Some(at));
    }

    /// The server has lost so many events, or more.
    pub(super) fn lag(&self, missed: u64) {
        let mut inner = self.lock();
        let since = inner.since();
        inner.lag(missed, since);
        inner.wake();
    }

    /// The first connection is there, at this time by the server's clock.
    pub(super) fn connect(&self, at: Option<Timestamp>) {
        let mut inner = self.lock();
        inner.began = at;
        inner.mark(ChatEvent::Connected);
    }

    /// Whether that was before the stream began.
    pub(super) fn is_from_before(&self, at: Timestamp) -> bool {
        // Lists have whole seconds, as this time has.
        self.lock().began.is_some_and(|began| at < began)
    }

    /// A connection was lost.
    pub(super) fn disconnect(&self, reason: DisconnectReason) {
        let mut inner = self.lock();
        let mut since = inner.since();
        // A connection that brought nothing, and was not read of yet, is not told of.
        if let Some(at) = inner.tail(|event| matches!(event, ChatEvent::Reconnected { .. }))
            && let Some(Item {
                event: ChatEvent::Reconnected { since: before },
                ..
            }) = inner.items.remove(at)
        {
            since = earlier(before, since);
        }
        inner.lost_since = earlier(inner.lost_since, since);
        let is_told = inner.tail(|event| matches!(event, ChatEvent::Disconnected { .. }));
        if is_told.is_none() {
            inner.mark(ChatEvent::Disconnected { reason });
        }
    }

    /// A connection is there again.
    pub(super) fn reconnect(&self) {
        let mut inner = self.lock();
        let since = inner.lost_since.take();
        inner.mark(ChatEvent::Reconnected { since });
    }

    /// Nothing comes any more.
    pub(super) fn end(&self, error: Option<Error>) {
        let mut inner = self.lock();
        inner.end.get_or_insert(End(error));
        inner.wake();
    }

    /// Whether an event of that key still waits to be read.
    pub(super) fn holds(&self, key: &Key<'_>) -> bool {
        let inner = self.lock();
        let mut keys = inner.items.iter().filter_map(|item| item.event.key());
        keys.any(|other| other == *key)
    }

    /// Whether an event of that key is news; from now on it is not.
    pub(super) fn is_news(&self, key: &Key<'_>) -> bool {
        self.lock().recent.insert(key)
    }

    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Result<ChatEvent>>> {
        let mut inner = self.lock();
        if let Some(Item { event, bytes }) = inner.items.pop_front() {
            inner.events -= usize::from(!event.is_marker());
            inner.bytes -= bytes;
            return Poll::Ready(Some(Ok(event)));
        }
        if let Some(End(error)) = &mut inner.end {
            return Poll::Ready(error.take().map(Err));
        }
        inner.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The place of such a marker among those that follow the last event; there is at most one of
    /// each kind, so that they are few however long nobody reads.
    fn tail(&self, is_such: impl Fn(&ChatEvent) -> bool) -> Option<usize> {
        let markers = self.items.iter().rev();
        let markers = markers.take_while(|item| item.event.is_marker());
        let back = markers.map(|item| &item.event).position(is_such)?;
        Some(self.items.len() - 1 - back)
    }

    fn hear(&mut self, at: Option<Timestamp>) {
        self.newest = self.newest.max(at);
    }

    /// A little before the newest that the server is known to have told.
    fn since(&self) -> Option<Timestamp> {
        let overlap = SignedDuration::from_millis(GAP_OVERLAP_MS);
        self.newest
            .and_then(|newest| newest.checked_sub(overlap).ok())
    }

    fn lag(&mut self, more: u64, from: Option<Timestamp>) {
        if let Some(at) = self.tail(|event| matches!(event, ChatEvent::Lagged { .. }))
            && let Some(Item {
                event: ChatEvent::Lagged { missed, since },
                ..
            }) = self.items.get_mut(at)
        {
            *missed = missed.saturating_add(more);
            *since = earlier(*since, from);
            return;
        }
        self.mark(ChatEvent::Lagged {
            missed: more,
            since: from,
        });
    }

    fn mark(&mut self, event: ChatEvent) {
        self.items.push_back(Item { event, bytes: 0 });
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The earlier of two times; an unknown one may be any.
fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}
