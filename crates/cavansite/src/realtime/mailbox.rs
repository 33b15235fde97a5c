//! What waits for one receiver: a connection identity of a user (a tab, a device), which outlives
//! its websocket by the resume window, or an event stream, which ends with its connection.
//!
//! What is kept is bounded. When there is more, or when a receiver comes back that this process
//! does not know, the mailbox is owed events from a time on; they are read from the store
//! (`resume`) once all before them was sent, and only then it takes new ones again.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cavansite_core::events::{Position, ThreadEvent};
use cavansite_core::identity::Session;
use cavansite_core::model::{Timestamp, UserId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kept::KeptBytes;
use super::limits::{PASSING_SHARE, RealtimeLimits};
use super::owed::{Backlog, Owed};
use super::payload::Payload;
use super::stream_event::{OVERFLOW_COMMENT, StreamEvent};
use crate::http::Answering;

/// An event as a kind of receiver gets it.
pub(super) trait Kept: Send + Sync + Sized + 'static {
    /// Whether the receiver comes back and goes on: then what waits for it outlives its connection,
    /// and it loses that when too much waits. One that does not is told from the store what is over
    /// the bound, and has nothing left to wait for when its connection ends.
    const COMES_BACK: bool;

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
    /// Wakes the connection's task. Pushes call it on the thread of that task, where it costs no
    /// system call.
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
    /// What only the store has of what is to be sent, if it has any.
    backlog: Option<Box<Backlog>>,
    connection: Option<Connection>,
    /// When it is let go, once it has no connection.
    gone_at: Timestamp,
    /// Whether the hub has it among those who may not have got all.
    is_listed: bool,
    /// Whether its receiver is to hear that more waited than is kept.
    has_overflowed: bool,
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

impl More {
    fn in_store(backlog: Option<&Backlog>) -> Self {
        match backlog {
            Some(backlog) if !backlog.is_being_read => Self::InStore,
            _ => Self::Nothing,
        }
    }
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

/// The present connection.
struct Connection {
    serial: u64,
    session: Session,
    ends_at: Timestamp,
    worker: usize,
    is_awake: bool,
    end: Option<End>,
    /// Held until it is to end: from then on the client has to take what it is sent.
    answering: Option<Answering>,
}

impl<P: Kept> Mailbox<P> {
    /// Of a receiver who is owed something of the store, or nothing. `all_kept` counts the bytes
    /// that all mailboxes keep.
    pub(super) fn new(
        user: UserId,
        epid: String,
        owed: Option<Owed>,
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
                bytes: KeptBytes::none_of(all_kept),
                next_id: 1,
                is_listed: owed.is_some(),
                has_overflowed: false,
                backlog: owed.map(Backlog::of).map(Box::new),
                connection: None,
                gone_at: Timestamp::from_millis(i64::MAX),
            }),
        }
    }

    /// Makes a connection the present one; what was not answered is to be sent again over it. The
    /// one before ends.
    pub(super) fn connect(
        &self,
        serial: u64,
        session: Session,
        worker: usize,
        answering: Option<Answering>,
    ) {
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
            answering,
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

    /// Whether it has no connection and its time is over, or one that has ended and will not be
    /// followed by another.
    pub(super) fn is_gone(&self, now: Timestamp) -> bool {
        let inner = self.lock();
        match &inner.connection {
            Some(connection) => !P::COMES_BACK && connection.end.is_some(),
            None => inner.gone_at <= now,
        }
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
        inner.forget_unanswered(now.plus_millis(-limits.resume_window_ms));
        if let Some(backlog) = &mut inner.backlog
            && !backlog.is_being_read
        {
            backlog.add(payload.position());
            return Pushed::default();
        }
        // Typing and receipts are not told again: they must not push out what is stored.
        let passing_max = limits.kept_bytes_max / PASSING_SHARE;
        if payload.position().is_none() && inner.bytes.own() > passing_max {
            return Pushed::default();
        }
        let owes_anew = !std::mem::replace(&mut inner.is_listed, true);
        inner.append(Arc::clone(payload), now);
        let wake = if inner.keeps_more_than(limits.kept_bytes_max) {
            inner.leave_to_store()
        } else {
            inner.wake()
        };
        Pushed { wake, owes_anew }
    }

    /// Ends the present connection. Returns the worker that has to wake its task.
    pub(super) fn end(&self, end: End) -> Option<usize> {
        let mut inner = self.lock();
        let worker = inner.end(end);
        if !P::COMES_BACK {
            inner.clear();
            inner.backlog = None;
        }
        worker
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
        inner.backlog = None;
    }

    /// What of the store is to be read now: the receiver is owed that, and all before it was sent.
    pub(super) fn begin_reading(&self, serial: u64) -> Option<Owed> {
        let mut inner = self.lock();
        let connection = inner.present(serial)?;
        if connection.end.is_some() || inner.sent < inner.pushes.len() {
            return None;
        }
        inner.backlog.as_mut()?.begin_reading()
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
        if inner.present(serial).is_none() {
            return;
        }
        let Some(mut backlog) = inner.backlog.take_if(|backlog| backlog.is_being_read) else {
            return;
        };
        let mut meanwhile = inner.take_unsent();
        for payload in read {
            backlog.tell(payload.position());
            inner.append(payload, now);
        }
        if let Some(rest) = rest {
            backlog.go_on(rest, now);
            for push in meanwhile {
                backlog.add(push.payload.position());
            }
            inner.backlog = Some(backlog);
            return;
        }
        // What came meanwhile may have been read too.
        meanwhile.retain(|push| {
            let position = push.payload.position();
            position.is_none_or(|at| !backlog.has_told(at.thread, at.version))
        });
        for push in meanwhile {
            inner.append(push.payload, push.at);
        }
    }

    /// The store cannot be read now: it is to be tried again, and not before a time that is given.
    pub(super) fn fail_reading(&self, serial: u64, not_before: Option<Instant>) {
        let mut inner = self.lock();
        if inner.present(serial).is_some() {
            inner.give_up_reading();
            if let Some(backlog) = &mut inner.backlog {
                backlog.put_off_until = not_before;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mailbox of either kind, where all of them together keep too much.
pub(super) trait Keeper {
    /// What it keeps, in bytes.
    fn kept_bytes(&self) -> usize;

    /// Leaves all that it keeps to the store. Returns the worker that has to wake its connection's
    /// task, and what does.
    fn leave_to_store(&self) -> Option<(usize, &Arc<Notify>)>;
}

impl<P: Kept> Keeper for Mailbox<P> {
    fn kept_bytes(&self) -> usize {
        self.lock().bytes.own()
    }

    fn leave_to_store(&self) -> Option<(usize, &Arc<Notify>)> {
        let worker = self.lock().leave_to_store()?;
        Some((worker, &self.wake))
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
            More::in_store(inner.backlog.as_deref())
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
        if std::mem::take(&mut inner.has_overflowed) {
            text.push_str(OVERFLOW_COMMENT);
        }
        while text.len() < batch_bytes
            && let Some(push) = inner.pushes.pop_front()
        {
            inner.bytes.subtract(push.payload.bytes());
            push.payload.write_for(self.user.as_str(), &mut text);
        }
        let more = if inner.pushes.is_empty() {
            More::in_store(inner.backlog.as_deref())
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
        let kept = positions.map(|position| position.at);
        let in_store = self.backlog.iter().map(|backlog| backlog.since());
        kept.chain(in_store).min()
    }

    /// Whether too much is kept, the largest push not counted: it alone must not cut off a client
    /// that takes all it is sent.
    fn keeps_more_than(&self, bytes_max: usize) -> bool {
        let bytes = self.bytes.own();
        if bytes <= bytes_max {
            return false;
        }
        let largest = self.pushes.iter().map(|push| push.payload.bytes()).max();
        bytes - largest.unwrap_or_default() > bytes_max
    }

    fn append(&mut self, payload: Arc<P>, at: Timestamp) {
        let id = self.next_id;
        self.next_id += 1;
        self.bytes.add(payload.bytes());
        self.pushes.push_back(Push { id, payload, at });
    }

    /// Takes out what was not sent yet.
    fn take_unsent(&mut self) -> VecDeque<Push<P>> {
        let unsent = self.pushes.split_off(self.sent);
        for push in &unsent {
            self.bytes.subtract(push.payload.bytes());
        }
        unsent
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

    /// Drops what came before that time, was sent and never answered: who does not answer is told
    /// no more of it again. What was not sent stays, however long its receiver takes.
    fn forget_unanswered(&mut self, before: Timestamp) {
        while self.sent > 0 && self.pushes.front().is_some_and(|push| push.at < before) {
            self.remove(0);
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
        self.bytes.subtract(self.bytes.own());
    }

    fn end(&mut self, end: End) -> Option<usize> {
        let connection = self.connection.as_mut()?;
        connection.end.get_or_insert(end);
        connection.answering = None;
        // Also where the task is awake: it may be waiting for its client to read.
        Some(connection.worker)
    }

    /// Drops all that is kept, to be read from the store later. Returns the worker that has to wake
    /// the connection's task, if one has to.
    fn leave_to_store(&mut self) -> Option<usize> {
        let mut backlog = self.backlog.take();
        for push in &self.pushes {
            if let Some(position) = push.payload.position() {
                let since = Timestamp::from_millis(position.version.0);
                let new = || Box::new(Backlog::of(Owed::since(since)));
                backlog.get_or_insert_with(new).add(Some(position));
            }
        }
        if let Some(backlog) = &mut backlog {
            backlog.is_being_read = false;
        }
        self.backlog = backlog;
        self.has_overflowed = true;
        self.clear();
        if P::COMES_BACK {
            self.end(End::Overflow)
        } else {
            self.wake()
        }
    }

    /// What was begun to be read is owed again, and what came meanwhile with it.
    fn give_up_reading(&mut self) {
        if let Some(mut backlog) = self.backlog.take_if(|backlog| backlog.is_being_read) {
            backlog.is_being_read = false;
            for push in self.take_unsent() {
                backlog.add(push.payload.position());
            }
            self.backlog = Some(backlog);
        }
    }

    fn wake(&mut self) -> Option<usize> {
        let connection = self.connection.as_mut()?;
        let asleep = !std::mem::replace(&mut connection.is_awake, true);
        asleep.then_some(connection.worker)
    }
}
