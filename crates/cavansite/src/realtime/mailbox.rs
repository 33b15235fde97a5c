//! One connection identity of a user (a tab, a device): what waits to be pushed to it, and what was
//! pushed and not answered. It outlives its websocket by the resume window.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cavansite_core::identity::Session;
use cavansite_core::model::{Timestamp, UserId};
use tokio::sync::Notify;

use super::limits::RealtimeLimits;
use super::payload::Payload;

/// Why the server ends a websocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The token has expired or was revoked.
    Unauthorized,
    /// The same identity came with another websocket.
    Replaced,
    /// More waited than is kept.
    Overflow,
    /// The client asked for it.
    Stopped,
}

/// A connection identity.
pub(super) struct Mailbox {
    pub(super) user: UserId,
    pub(super) epid: String,
    /// Wakes the websocket's task. To be called on the thread of that task alone, where it costs
    /// no system call.
    pub(super) wake: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    pushes: VecDeque<Push>,
    /// How many of them were sent over the present websocket.
    sent: usize,
    sent_bytes: usize,
    bytes: usize,
    next_id: u64,
    connection: Option<Connection>,
    /// When it is let go, once it has no websocket.
    gone_at: Timestamp,
}

struct Push {
    id: u64,
    payload: Arc<Payload>,
    at: Timestamp,
}

/// The present websocket.
struct Connection {
    serial: u64,
    session: Session,
    ends_at: Timestamp,
    worker: usize,
    is_awake: bool,
    end: Option<End>,
}

impl Mailbox {
    pub(super) fn new(user: UserId, epid: String) -> Self {
        Self {
            user,
            epid,
            wake: Notify::new(),
            inner: Mutex::new(Inner {
                pushes: VecDeque::new(),
                sent: 0,
                sent_bytes: 0,
                bytes: 0,
                next_id: 1,
                connection: None,
                gone_at: Timestamp::from_millis(i64::MAX),
            }),
        }
    }

    /// Makes a websocket the present one; what was not answered is to be sent again over it. The
    /// one before ends.
    pub(super) fn connect(&self, serial: u64, session: Session, worker: usize) {
        let mut inner = self.lock();
        inner.sent = 0;
        inner.sent_bytes = 0;
        inner.connection = Some(Connection {
            serial,
            ends_at: session.expires_at,
            session,
            worker,
            is_awake: true,
            end: None,
        });
        drop(inner);
        self.wake.notify_waiters();
    }

    /// The websocket is gone; says whether it was the present one.
    pub(super) fn disconnect(&self, serial: u64, gone_at: Timestamp) -> bool {
        let mut inner = self.lock();
        let present = inner
            .connection
            .as_ref()
            .is_some_and(|c| c.serial == serial);
        if present {
            inner.connection = None;
            inner.gone_at = gone_at;
        }
        present
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Whether it has no websocket and its time is over.
    pub(super) fn is_gone(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        inner.connection.is_none() && inner.gone_at <= now
    }

    /// Adds a push. Returns the worker that has to wake the websocket's task, if one has to.
    pub(super) fn push(
        &self,
        payload: &Arc<Payload>,
        now: Timestamp,
        limits: &RealtimeLimits,
    ) -> Option<usize> {
        let mut inner = self.lock();
        let oldest = now.plus_millis(-limits.resume_window_ms);
        while inner.pushes.front().is_some_and(|push| push.at < oldest) {
            inner.remove(0);
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.bytes += payload.bytes();
        inner.pushes.push_back(Push {
            id,
            payload: Arc::clone(payload),
            at: now,
        });
        if inner.bytes > limits.kept_bytes_max {
            inner.clear();
            let connection = inner.connection.as_mut()?;
            connection.end.get_or_insert(End::Overflow);
            return Some(connection.worker);
        }
        inner.wake()
    }

    /// Ends the present websocket. Returns the worker that has to wake its task.
    pub(super) fn end(&self, end: End) -> Option<usize> {
        let mut inner = self.lock();
        let connection = inner.connection.as_mut()?;
        connection.end.get_or_insert(end);
        // Also where the task is awake: it may be waiting for its client to read.
        Some(connection.worker)
    }

    /// Sets when the present websocket's right ends, by what its session says to that.
    pub(super) fn set_end(&self, ends_at: impl FnOnce(&Session) -> Timestamp) {
        if let Some(connection) = &mut self.lock().connection {
            connection.ends_at = ends_at(&connection.session);
        }
    }

    /// Whether the present websocket's right has ended.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        inner.connection.as_ref().is_some_and(|c| c.ends_at <= now)
    }

    /// Whether a websocket is to end.
    pub(super) fn has_ended(&self, serial: u64) -> bool {
        let inner = self.lock();
        let present = inner.connection.as_ref().filter(|c| c.serial == serial);
        present.is_none_or(|connection| connection.end.is_some())
    }

    /// Drops all that is kept.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// The client has answered a push.
    pub(super) fn answered(&self, id: u64) {
        let mut inner = self.lock();
        let at = inner.pushes.binary_search_by_key(&id, |push| push.id);
        if let Ok(at) = at
            && at < inner.sent
        {
            inner.remove(at);
        }
    }

    /// The frames to be sent now over a websocket, at most about `batch_bytes` of them; or why it
    /// is to end.
    pub(super) fn take(
        &self,
        serial: u64,
        batch_bytes: usize,
        limits: &RealtimeLimits,
    ) -> Result<Vec<String>, End> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(connection) = inner.connection.as_mut().filter(|c| c.serial == serial) else {
            return Err(End::Replaced);
        };
        if let Some(end) = connection.end {
            return Err(end);
        }
        let (mut frames, mut bytes) = (Vec::new(), 0);
        while let Some(push) = inner.pushes.get(inner.sent)
            && bytes < batch_bytes
            && inner.sent_bytes < limits.unanswered_bytes_max
        {
            frames.push(push.payload.frame(push.id, &self.epid, self.user.as_str()));
            bytes += push.payload.bytes();
            inner.sent_bytes += push.payload.bytes();
            inner.sent += 1;
        }
        connection.is_awake = !frames.is_empty();
        Ok(frames)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, at: usize) {
        if let Some(push) = self.pushes.remove(at) {
            let bytes = push.payload.bytes();
            self.bytes -= bytes;
            if at < self.sent {
                self.sent -= 1;
                self.sent_bytes -= bytes;
            }
        }
    }

    fn clear(&mut self) {
        self.pushes = VecDeque::new();
        (self.sent, self.sent_bytes, self.bytes) = (0, 0, 0);
    }

    fn wake(&mut self) -> Option<usize> {
        let connection = self.connection.as_mut()?;
        let asleep = !std::mem::replace(&mut connection.is_awake, true);
        asleep.then_some(connection.worker)
    }
}
