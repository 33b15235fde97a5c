//! What waits for one receiver: a connection identity of a user (a tab, a device), which outlives
//! its websocket by the resume window, or an event stream, which ends with its connection.
//!
//! What is kept is bounded. When there is more, or when a receiver comes back that this process
//! does not know, the mailbox is owed events from a time on; they are read from the store
//! (`resume`) once all before them was sent, and only then it takes new ones again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cavansite_core::events::{Position, ThreadEvent};
use cavansite_core::identity::Session;
use cavansite_core::model::{ThreadId, Timestamp, UserId};
use tokio::sync::Notify;

use super::limits::{RESUME_OVERLAP_MS, RealtimeLimits};
use super::payload::Payload;
use super::stream_event::StreamEvent;

/// An event as a kind of receiver gets it.
pub(super) trait Kept: Send + Sync + Sized + 'static {
    /// Whether a receiver for whom too much waits loses its connection.
    const ENDS_ON_OVERFLOW: bool;

    /// Renders an event of the resource of that name; `None` for one that is not told as such.
    fn render(event: &ThreadEvent, source: &str) -> Option<Self>;

    /// How many bytes it takes, about.
    fn bytes(&self) -> usize;

    /// Its place, if a store tells it again.
    fn position(&self) -> Option<Position>;
}

/// Why the server ends a connection.
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

/// What waits for a receiver.
pub(super) struct Mailbox<P> {
    pub(super) user: UserId,
    /// The connection identity; empty for a stream.
    pub(super) epid: String,
    /// Wakes the connection's task. To be called on the thread of that task alone, where it costs
    /// no system call.
    pub(super) wake: Arc<Notify>,
    inner: Mutex<Inner<P>>,
}

struct Inner<P> {
    pushes: VecDeque<Push<P>>,
    /// How many of them were sent over the present connection.
    sent: usize,
    sent_bytes: usize,
    bytes: KeptBytes,
    next_id: u64,
    backlog: Backlog,
    connection: Option<Connection>,
    /// When it is let go, once it has no connection.
    gone_at: Timestamp,
    /// Whether the hub has it among those who may not have got all.
    is_listed: bool,
}

/// What is to be sent now over a websocket.
pub(super) struct Taken {
    pub(super) frames: Vec<String>,
    pub(super) more: More,
}

/// What is to be sent after that, without anything having to happen first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Nothing,
    /// Further pushes.
    Kept,
    /// What is to be read from the store.
    InStore,
}

/// What comes of adding a push.
#[derive(Default)]
pub(super) struct Pushed {
    /// The worker that has to wake the connection's task, if one has to.
    pub(super) wake: Option<usize>,
    /// The receiver is to be listed among those who may not have got all.
    pub(super) owes_anew: bool,
}

struct Push<P> {
    id: u64,
    payload: Arc<P>,
    at: Timestamp,
}

/// What a mailbox keeps, in bytes, counted among what all of them keep.
struct KeptBytes {
    own: usize,
    all: Arc<AtomicUsize>,
}

impl KeptBytes {
    fn add(&mut self, bytes: usize) {
        self.own += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&mut self, bytes: usize) {
        self.own -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.subtract(self.own);
    }
}

/// What only the store has of what is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    /// Nothing.
    Nothing,
    /// All from this time on. New events need not be kept: the store has them.
    Since(Timestamp),
    /// That is being read. New events are kept, and follow it.
    BeingRead(Timestamp),
}

/// The present connection.
struct Connection {
    serial: u64,
    session: Session,
    ends_at: Timestamp,
    worker: usize,
    is_awake: bool,
    end: Option<End>,
}

impl<P: Kept> Mailbox<P> {
    /// Of a receiver who is owed all from `owed_since` on, if anything. `all_kept` counts the bytes
    /// that all mailboxes keep.
    pub(super) fn new(
        user: UserId,
        epid: String,
        owed_since: Option<Timestamp>,
        all_kept: &Arc<AtomicUsize>,
    ) -> Self {
        Self {
            user,
            epid,
            wake: Arc::default(),
            inner: Mutex::new(Inner {
                pushes: VecDeque::new(),
                sent: 0,
                sent_bytes: 0,
                bytes: KeptBytes {
                    own: 0,
                    all: Arc::clone(all_kept),
                },
                next_id: 1,
                backlog: owed_since.map_or(Backlog::Nothing, Backlog::Since),
                connection: None,
                gone_at: Timestamp::from_millis(i64::MAX),
                is_listed: owed_since.is_some(),
            }),
        }
    }

    /// Makes a connection the present one; what was not answered is to be sent again over it. The
    /// one before ends.
    pub(super) fn connect(&self, serial: u64, session: Session, worker: usize) {
        let mut inner = self.lock();
        inner.give_up_reading();
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

    /// The connection is gone; says whether it was the present one.
    pub(super) fn disconnect(&self, serial: u64, gone_at: Timestamp) -> bool {
        let mut inner = self.lock();
        let present = inner.present(serial).is_some();
        if present {
            inner.connection = None;
            inner.gone_at = gone_at;
            inner.give_up_reading();
        }
        present
    }

    pub(super) fn is_connected(&self) -> bool {
        self.lock().connection.is_some()
    }

    /// Whether it has no connection and its time is over.
    pub(super) fn is_gone(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        inner.connection.is_none() && inner.gone_at <= now
    }

    /// Since when events were committed that the receiver may not have got; if none were, it is to
    /// be listed anew when one is.
    pub(super) fn owed_since_or_unlist(&self) -> Option<Timestamp> {
        let mut inner = self.lock();
        let owed_since = inner.owed_since();
        inner.is_listed = owed_since.is_some();
        owed_since
    }

    /// When the connection's right, or without one the mailbox's time, ends; never where that is
    /// over.
    pub(super) fn next_end(&self, now: Timestamp) -> Timestamp {
        let inner = self.lock();
        let connection = inner.connection.as_ref();
        let ends_at = connection.map_or(inner.gone_at, |connection| connection.ends_at);
        if ends_at > now {
            ends_at
        } else {
            Timestamp::from_millis(i64::MAX)
        }
    }

    /// Adds a push.
    pub(super) fn push(&self, payload: &Arc<P>, now: Timestamp, limits: &RealtimeLimits) -> Pushed {
        let mut inner = self.lock();
        let oldest = now.plus_millis(-limits.resume_window_ms);
        while inner.pushes.front().is_some_and(|push| push.at < oldest) {
            inner.remove(0);
        }
        if let Backlog::Since(_) = inner.backlog {
            return Pushed::default();
        }
        let owes_anew = !std::mem::replace(&mut inner.is_listed, true);
        inner.append(Arc::clone(payload), now);
        if inner.keeps_too_much(limits) {
            inner.leave_to_store(now);
            if P::ENDS_ON_OVERFLOW {
                let wake = inner.connection.as_mut().map(|connection| {
                    connection.end.get_or_insert(End::Overflow);
                    connection.worker
                });
                return Pushed { wake, owes_anew };
            }
        }
        let wake = inner.wake();
        Pushed { wake, owes_anew }
    }

    /// Ends the present connection. Returns the worker that has to wake its task.
    pub(super) fn end(&self, end: End) -> Option<usize> {
        let mut inner = self.lock();
        let connection = inner.connection.as_mut()?;
        connection.end.get_or_insert(end);
        // Also where the task is awake: it may be waiting for its client to read.
        Some(connection.worker)
    }

    /// Sets when the present connection's right ends, by what its session says to that, if that is
    /// sooner than it would have ended.
    pub(super) fn set_end(&self, ends_at: impl FnOnce(&Session) -> Timestamp) {
        if let Some(connection) = &mut self.lock().connection {
            connection.ends_at = connection.ends_at.min(ends_at(&connection.session));
        }
    }

    /// Whether the present connection's right has ended.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        inner.connection.as_ref().is_some_and(|c| c.ends_at <= now)
    }

    /// Whether a connection is to end.
    pub(super) fn has_ended(&self, serial: u64) -> bool {
        let mut inner = self.lock();
        let present = inner.present(serial);
        present.is_none_or(|connection| connection.end.is_some())
    }

    /// Drops all that is kept.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.clear();
        inner.backlog = Backlog::Nothing;
    }

    /// From when on the store is to be read now: the receiver is owed that, and all before it was
    /// sent.
    pub(super) fn begin_reading(&self, serial: u64) -> Option<Timestamp> {
        let mut inner = self.lock();
        let connection = inner.present(serial)?;
        if connection.end.is_some() {
            return None;
        }
        match inner.backlog {
            Backlog::Since(since) if inner.sent == inner.pushes.len() => {
                inner.backlog = Backlog::BeingRead(since);
                Some(since)
            }
            _ => None,
        }
    }

    /// Takes over what was read. `rest`: from when on there is more, if there is; what came
    /// meanwhile is left to that.
    pub(super) fn finish_reading(
        &self,
        serial: u64,
        read: Vec<Arc<P>>,
        rest: Option<Timestamp>,
        now: Timestamp,
    ) {
        let mut inner = self.lock();
        let is_reading = matches!(inner.backlog, Backlog::BeingRead(_));
        if inner.present(serial).is_none() || !is_reading {
            return;
        }
        let sent = inner.sent;
        let mut meanwhile = inner.pushes.split_off(sent);
        for push in &meanwhile {
            inner.bytes.subtract(push.payload.bytes());
        }
        let mut told: Vec<Position> = Vec::new();
        for payload in read {
            told.extend(payload.position());
            inner.append(payload, now);
        }
        if let Some(rest) = rest {
            inner.backlog = Backlog::Since(rest);
            return;
        }
        inner.backlog = Backlog::Nothing;
        let newest_told = |thread: ThreadId| {
            let of_thread = told.iter().filter(|position| position.thread == thread);
            of_thread.map(|position| position.version).max()
        };
        // What came meanwhile may have been read too.
        meanwhile.retain(|push| {
            let position = push.payload.position();
            position.is_none_or(|at| newest_told(at.thread).is_none_or(|told| at.version > told))
        });
        for push in meanwhile {
            inner.append(push.payload, push.at);
        }
    }

    /// The store could not be read: it is to be tried again.
    pub(super) fn fail_reading(&self, serial: u64) {
        let mut inner = self.lock();
        if inner.present(serial).is_some() {
            inner.give_up_reading();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox<Payload> {
    /// Drops the pushes that the client has answered.
    pub(super) fn answered(&self, answered: &[u64]) {
        self.lock().answered(answered);
    }

    /// Drops the pushes that the client has answered, and returns what is to be sent now over a
    /// websocket, at most about `batch_bytes` of it; or why it is to end.
    pub(super) fn take(
        &self,
        serial: u64,
        answered: &[u64],
        batch_bytes: usize,
        limits: &RealtimeLimits,
    ) -> Result<Taken, End> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        inner.answered(answered);
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
        let all_sent = inner.sent == inner.pushes.len();
        let more = if all_sent {
            inner.backlog.more()
        } else if bytes >= batch_bytes {
            More::Kept
        } else {
            More::Nothing
        };
        connection.is_awake = more == More::Kept;
        Ok(Taken { frames, more })
    }
}

impl Mailbox<StreamEvent> {
    /// What is to be written now to a stream, at most about `batch_bytes` of it; or why it is to
    /// end. Nothing answers on a stream: what was taken is gone.
    pub(super) fn take(&self, serial: u64, batch_bytes: usize) -> Result<(String, More), End> {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let Some(connection) = inner.connection.as_mut().filter(|c| c.serial == serial) else {
            return Err(End::Replaced);
        };
        if let Some(end) = connection.end {
            return Err(end);
        }
        let mut text = String::new();
        while text.len() < batch_bytes
            && let Some(push) = inner.pushes.pop_front()
        {
            inner.bytes.subtract(push.payload.bytes());
            push.payload.write_for(self.user.as_str(), &mut text);
        }
        let more = if inner.pushes.is_empty() {
            inner.backlog.more()
        } else {
            More::Kept
        };
        connection.is_awake = more == More::Kept;
        Ok((text, more))
    }
}

impl<P: Kept> Inner<P> {
    fn present(&mut self, serial: u64) -> Option<&mut Connection> {
        self.connection.as_mut().filter(|c| c.serial == serial)
    }

    fn owed_since(&self) -> Option<Timestamp> {
        let positions = self
            .pushes
            .iter()
            .filter_map(|push| push.payload.position());
        let kept = positions.map(|position| position.at).min();
        kept.into_iter().chain(self.backlog.since()).min()
    }

    fn keeps_too_much(&self, limits: &RealtimeLimits) -> bool {
        let all = self.bytes.all.load(Ordering::Relaxed);
        // When all together keep too much, each that does not get rid of what it has leaves it.
        let too_much_of_all = all > limits.kept_bytes_of_all_max && self.pushes.len() > 1;
        self.bytes.own > limits.kept_bytes_max || too_much_of_all
    }

    fn append(&mut self, payload: Arc<P>, at: Timestamp) {
        let id = self.next_id;
        self.next_id += 1;
        self.bytes.add(payload.bytes());
        self.pushes.push_back(Push { id, payload, at });
    }

    fn remove(&mut self, at: usize) {
        if let Some(push) = self.pushes.remove(at) {
            let bytes = push.payload.bytes();
            self.bytes.subtract(bytes);
            if at < self.sent {
                self.sent -= 1;
                self.sent_bytes -= bytes;
            }
        }
    }

    fn answered(&mut self, ids: &[u64]) {
        for id in ids {
            let at = self.pushes.binary_search_by_key(id, |push| push.id);
            if let Ok(at) = at
                && at < self.sent
            {
                self.remove(at);
            }
        }
    }

    fn clear(&mut self) {
        self.pushes = VecDeque::new();
        (self.sent, self.sent_bytes) = (0, 0);
        self.bytes.subtract(self.bytes.own);
    }

    /// Drops all that is kept, to be read from the store later.
    fn leave_to_store(&mut self, now: Timestamp) {
        let positions = self
            .pushes
            .iter()
            .filter_map(|push| push.payload.position());
        // A version may be ahead of the time of its commit, and later commits behind that version.
        let kept = positions.map(|position| position.at.as_millis().min(position.version.0));
        let kept = kept.map(Timestamp::from_millis).min();
        let since = kept.into_iter().chain(self.backlog.since()).min();
        let latest = now.plus_millis(-RESUME_OVERLAP_MS);
        self.backlog = Backlog::Since(since.map_or(latest, |since| since.min(latest)));
        self.clear();
    }

    /// What was begun to be read is owed again, and what came meanwhile with it.
    fn give_up_reading(&mut self) {
        if let Backlog::BeingRead(since) = self.backlog {
            self.backlog = Backlog::Since(since);
            while self.pushes.len() > self.sent {
                self.remove(self.pushes.len() - 1);
            }
        }
    }

    fn wake(&mut self) -> Option<usize> {
        let connection = self.connection.as_mut()?;
        let asleep = !std::mem::replace(&mut connection.is_awake, true);
        asleep.then_some(connection.worker)
    }
}

impl Backlog {
    fn more(self) -> More {
        match self {
            Self::Since(_) => More::InStore,
            Self::Nothing | Self::BeingRead(_) => More::Nothing,
        }
    }

    fn since(self) -> Option<Timestamp> {
        match self {
            Self::Nothing => None,
            Self::Since(since) | Self::BeingRead(since) => Some(since),
        }
    }
}
