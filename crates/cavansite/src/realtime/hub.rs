//! The hub: users, their connection identities with the websockets of these, and their event
//! streams.
//!
//! Events come in on the store's writer thread after their sync, typing on that of its request.
//! The hub renders an event once
//! for each kind of receiver, when one who is to be told is there, and queues it by reference at
//! each, so that one thread's events stay in order; a connection's task takes them from there.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cavansite_core::clock::Clock;
use cavansite_core::events::{Audience, Event, EventSink, ThreadEvent};
use cavansite_core::identity::Session;
use cavansite_core::model::{Identity, Installation, Timestamp, UserId};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::limits::{FULL_MS_MAX, RELIEVED_SHARE, RESUME_OVERLAP_MS, RESUMES_MAX, RealtimeLimits};
use super::mailbox::{End, Keeper, Kept, Mailbox};
use super::owed::Owed;
use super::payload::Payload;
use super::stream_event::StreamEvent;
use super::wake::{Woken, Workers};
use crate::http::Answering;

/// Where events come in and connections are known.
pub struct Hub {
    clock: Arc<dyn Clock>,
    limits: RealtimeLimits,
    revocation_grace_ms: i64,
    /// The access keys in force; replaced before the sessions of an old one are ended.
    installation: Mutex<Installation>,
    /// The resource, as event streams name it.
    source: String,
    users: RwLock<HashMap<UserId, Receivers>>,
    /// What all mailboxes keep, in bytes.
    all_kept: Arc<AtomicUsize>,
    /// Since when that has been too much, in milliseconds; `i64::MAX` while it is not.
    full_since_ms: AtomicI64,
    /// Turns at reading the store for a receiver.
    resumes: Semaphore,
    workers: Workers,
    serial: AtomicU64,
    started_at: Timestamp,
    /// Up to when the process before had told all.
    told_before: Timestamp,
    /// When the newest event was committed, in milliseconds; 0 before the first.
    newest_event_ms: AtomicI64,
    /// What was last recorded of this process, in milliseconds.
    recorded_ms: AtomicI64,
    /// Identities that may not have got all. The others cost nothing, however many they are.
    owing: Mutex<Vec<Arc<Mailbox<Payload>>>>,
    /// Before this nobody's right or time ends, in milliseconds.
    next_end_ms: AtomicI64,
}

/// Those who are told what a user is told.
#[derive(Default)]
struct Receivers {
    /// Connection identities.
    identities: Vec<Arc<Mailbox<Payload>>>,
    streams: Vec<Arc<Mailbox<StreamEvent>>>,
    /// When an identity was last let go to make room for another.
    made_room_at: Option<Timestamp>,
}

impl Receivers {
    fn is_empty(&self) -> bool {
        self.identities.is_empty() && self.streams.is_empty()
    }
}

/// What a [`Hub`] works with.
pub struct HubOptions {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: RealtimeLimits,
    /// How long a token outlives the deletion of its identity, in milliseconds.
    pub revocation_grace_ms: i64,
    /// The keys.
    pub installation: Installation,
    /// Up to when the process before had told all, as the store has it.
    pub told_before: Timestamp,
}

/// An event in the form of one kind of receiver, rendered when the first of them is found.
struct Rendered<P>(OnceCell<Option<Arc<P>>>);

impl<P: Kept> Rendered<P> {
    fn get(&self, event: &ThreadEvent, source: &str) -> Option<&Arc<P>> {
        let render = || P::render(event, source).map(Arc::new);
        self.0.get_or_init(render).as_ref()
    }
}

impl Hub {
    /// A hub without anybody.
    pub fn new(options: HubOptions) -> Self {
        let resource = options.installation.resource.hyphenated();
        Self {
            source: format!("/providers/Microsoft.Communication/communicationServices/{resource}"),
            started_at: options.clock.now(),
            clock: options.clock,
            limits: options.limits,
            revocation_grace_ms: options.revocation_grace_ms,
            installation: Mutex::new(options.installation),
            users: RwLock::default(),
            all_kept: Arc::default(),
            full_since_ms: AtomicI64::new(i64::MAX),
            resumes: Semaphore::new(RESUMES_MAX),
            workers: Workers::default(),
            serial: AtomicU64::new(1),
            told_before: options.told_before,
            newest_event_ms: AtomicI64::new(0),
            recorded_ms: AtomicI64::new(0),
            owing: Mutex::default(),
            next_end_ms: AtomicI64::new(i64::MAX),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A turn at reading the store for a receiver, if one is free and what is read has room.
    pub(super) fn turn_to_resume(&self) -> Option<SemaphorePermit<'_>> {
        (!self.is_full()).then(|| self.resumes.try_acquire().ok())?
    }

    fn is_full(&self) -> bool {
        self.kept_bytes() > self.limits.kept_bytes_of_all_max
    }

    /// What all mailboxes keep, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.all_kept.load(Ordering::Relaxed)
    }

    /// The resource, as event streams name it.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The bounds in force.
    pub fn limits(&self) -> &RealtimeLimits {
        &self.limits
    }

    /// A websocket of the caller's thread takes its place; `None` when the user has too many.
    /// `known_since`: since when its connection identity has been there.
    pub(super) fn connect(
        &self,
        session: Session,
        epid: &str,
        known_since: Timestamp,
    ) -> Option<(Arc<Mailbox<Payload>>, u64)> {
        let (serial, worker) = (self.next_serial(), self.workers.here());
        // Held until it is attached: nobody lets go of one that is just coming back.
        let mut users = self.users_mut();
        let mailbox = {
            let receivers = users.entry(session.user.clone()).or_default();
            let mailboxes = &mut receivers.identities;
            if let Some(known) = mailboxes.iter().find(|mailbox| mailbox.epid == epid) {
                Arc::clone(known)
            } else {
                if mailboxes.len() >= self.limits.identities_per_user_max {
                    let lost = mailboxes
                        .iter()
                        .position(|mailbox| !mailbox.is_connected())?;
                    mailboxes.remove(lost).clear();
                    receivers.made_room_at = Some(self.now());
                }
                let user = session.user.clone();
                // Once for all: who is told slowly is told all of it.
                let earliest = self.now().plus_millis(-self.limits.resume_window_ms);
                let owed = self.owed_since(known_since, receivers.made_room_at);
                let owed = owed.map(Owed::since);
                let owed = owed.map(|owed| owed.not_before(earliest));
                let is_owed = owed.is_some();
                let new = Mailbox::new(user, epid.to_owned(), owed, &self.all_kept);
                let new = Arc::new(new);
                mailboxes.push(Arc::clone(&new));
                if is_owed {
                    self.owing().push(Arc::clone(&new));
                }
                new
            }
        };
        self.attach(&mailbox, serial, session, worker, None);
        drop(users);
        Some((mailbox, serial))
    }

    /// From when on an identity is owed events that this process does not know. `made_room_at`:
    /// when one of its user's was last let go for another.
    fn owed_since(
        &self,
        known_since: Timestamp,
        made_room_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        if known_since < self.started_at {
            // A process before has told it, and all who were there, what came before that time.
            return Some(known_since.max(self.told_before.plus_millis(-RESUME_OVERLAP_MS)));
        }
        // Known for longer than it takes to connect, or for as long as another's place was taken:
        // this process has let it go.
        let is_new = known_since.plus_millis(self.limits.handshake_ms) > self.now()
            && made_room_at.is_none_or(|at| at < known_since);
        (!is_new).then_some(known_since)
    }

    /// An event stream of the caller's thread takes its place; `None` when the user has too many.
    /// Its request counts as being answered until the stream is to end.
    pub(super) fn open_stream(
        &self,
        session: Session,
        owed: Option<Owed>,
        answering: Option<Answering>,
    ) -> Option<(Arc<Mailbox<StreamEvent>>, u64)> {
        let (serial, worker) = (self.next_serial(), self.workers.here());
        let mailbox = {
            let mut users = self.users_mut();
            let streams = &mut users.entry(session.user.clone()).or_default().streams;
            if streams.len() >= self.limits.identities_per_user_max {
                return None;
            }
            let user = session.user.clone();
            let new = Mailbox::new(user, String::new(), owed, &self.all_kept);
            let new = Arc::new(new);
            streams.push(Arc::clone(&new));
            new
        };
        self.attach(&mailbox, serial, session, worker, answering);
        Some((mailbox, serial))
    }

    /// An event stream is gone.
    pub(super) fn close_stream(&self, stream: &Arc<Mailbox<StreamEvent>>) {
        self.forget(&stream.user, |receivers| {
            receivers
                .streams
                .retain(|other| !Arc::ptr_eq(other, stream));
        });
    }

    fn next_serial(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    fn attach<P: Kept>(
        &self,
        mailbox: &Mailbox<P>,
        serial: u64,
        session: Session,
        worker: usize,
        answering: Option<Answering>,
    ) {
        let (key, ends_at) = (session.key, session.expires_at);
        mailbox.connect(serial, session, worker, answering);
        self.expect_end(ends_at);
        // Known first: a rotation from here on ends it, one before is seen here.
        if !self.installation().has_key(key) {
            mailbox.end(End::Unauthorized);
        }
    }

    /// A websocket is gone. `stopped`: the client will not come back.
    pub(super) fn disconnect(&self, mailbox: &Arc<Mailbox<Payload>>, serial: u64, stopped: bool) {
        let gone_at = self.now().plus_millis(self.limits.resume_window_ms);
        if !mailbox.disconnect(serial, gone_at) {
            return;
        }
        self.expect_end(gone_at);
        if stopped {
            // Unless the same identity has come again meanwhile.
            self.let_go(&mailbox.user, |other| {
                Arc::ptr_eq(other, mailbox) && !other.is_connected()
            });
        }
    }

    /// The client of a connection identity has stopped.
    pub(crate) fn stop(&self, user: &UserId, epid: &str) {
        self.let_go(user, |mailbox| mailbox.epid == epid);
    }

    /// Lets a connection identity go, and ends the websocket that it may have. It is forgotten
    /// first: what comes after that is not for it, and what came before goes with it.
    fn let_go(&self, user: &UserId, is_it: impl Fn(&Arc<Mailbox<Payload>>) -> bool) {
        let mut gone = None;
        self.forget(user, |receivers| {
            let at = receivers.identities.iter().position(is_it);
            gone = at.map(|at| receivers.identities.remove(at));
        });
        if let Some(mailbox) = gone {
            self.end(&mailbox, End::Stopped);
            mailbox.clear();
        }
    }

    /// Ends connections whose token has ended, and lets identities go that did not come back, and
    /// streams that have ended. Looks at nobody before somebody's end has come.
    pub(super) fn sweep(&self) {
        let now = self.now();
        self.relieve_if_stuck(now);
        if self.next_end_ms.load(Ordering::SeqCst) > now.as_millis() {
            return;
        }
        // First of all: an end that is set while others are looked at counts for the next time.
        self.next_end_ms.store(i64::MAX, Ordering::SeqCst);
        let mut any_gone = false;
        for receivers in self.users().values() {
            for mailbox in &receivers.identities {
                self.end_if_over(mailbox, now);
                any_gone |= mailbox.is_gone(now);
                self.expect_end(mailbox.next_end(now));
            }
            for stream in &receivers.streams {
                self.end_if_over(stream, now);
                any_gone |= stream.is_gone(now);
                self.expect_end(stream.next_end(now));
            }
        }
        if any_gone {
            self.users_mut().retain(|_, receivers| {
                receivers.streams.retain(|stream| !stream.is_gone(now));
                receivers.identities.retain(|mailbox| {
                    let is_gone = mailbox.is_gone(now);
                    if is_gone {
                        mailbox.clear();
                    }
                    !is_gone
                });
                !receivers.is_empty()
            });
        }
    }

    /// Somebody's right or time ends then.
    fn expect_end(&self, at: Timestamp) {
        self.next_end_ms.fetch_min(at.as_millis(), Ordering::SeqCst);
    }

    /// Up to when all identities have got all events, where that is to be recorded.
    pub(super) fn told_through(&self) -> Option<Timestamp> {
        // First of all: what comes after is not in the mailboxes that are looked at. The times of a
        // thread may be ahead of a clock that was set back, and other threads' behind them.
        let now = self.now().as_millis();
        let newest = self.newest_event_ms.load(Ordering::SeqCst).min(now);
        let mut owed: Option<Timestamp> = None;
        self.owing().retain(|mailbox| {
            let since = mailbox.owed_since_or_unlist();
            owed = owed.into_iter().chain(since).min();
            since.is_some()
        });
        // Who was there before this process may come back for so long; until then what the process
        // before has recorded stays.
        let window_ms = self.limits.resume_window_ms;
        if self.now() < self.started_at.plus_millis(window_ms) {
            return None;
        }
        let through = owed.map_or(newest, |owed| owed.as_millis().min(newest));
        if through == self.recorded_ms.load(Ordering::SeqCst) {
            return None;
        }
        let has_identities = |user: &Receivers| !user.identities.is_empty();
        if !self.users().values().any(has_identities) {
            return None;
        }
        self.recorded_ms.store(through, Ordering::SeqCst);
        Some(Timestamp::from_millis(through))
    }

    fn end_if_over<P: Kept>(&self, mailbox: &Mailbox<P>, now: Timestamp) {
        if mailbox.is_over(now) {
            self.end(mailbox, End::Unauthorized);
        }
    }

    fn forget(&self, user: &UserId, leave_out: impl FnOnce(&mut Receivers)) {
        let mut users = self.users_mut();
        if let Some(receivers) = users.get_mut(user) {
            leave_out(receivers);
            if receivers.is_empty() {
                users.remove(user);
            }
        }
    }

    fn end<P: Kept>(&self, mailbox: &Mailbox<P>, end: End) {
        if let Some(worker) = mailbox.end(end) {
            let mut woken = Woken::default();
            woken.add(worker, &mailbox.wake);
            self.workers.wake(woken);
            if !P::COMES_BACK {
                // The next sweep lets it go, however long its client takes to hear of it.
                self.expect_end(self.now());
            }
        }
    }

    fn tell(&self, event: &ThreadEvent, audience: &dyn Audience) {
        self.tell_those_here(event, audience);
        // Last of all: who has this time finds the event in all mailboxes.
        if let Some(position) = event.position() {
            let at = position.at.as_millis();
            self.newest_event_ms.fetch_max(at, Ordering::SeqCst);
        }
    }

    fn tell_those_here(&self, event: &ThreadEvent, audience: &dyn Audience) {
        let users = self.users();
        if users.is_empty() {
            return;
        }
        let (now, about) = (self.now(), event.about());
        let push = Rendered::<Payload>(OnceCell::new());
        let text = Rendered::<StreamEvent>(OnceCell::new());
        let mut woken = Woken::default();
        let mut owing = Vec::new();
        audience.for_each(&mut |user, history_from| {
            if about.is_some_and(|created_at| created_at < history_from) {
                return;
            }
            let Some(receivers) = users.get(user) else {
                return;
            };
            for mailbox in &receivers.identities {
                let Some(push) = push.get(event, &self.source) else {
                    continue;
                };
                let pushed = mailbox.push(push, now, &self.limits);
                if pushed.owes_anew {
                    owing.push(Arc::clone(mailbox));
                }
                if let Some(worker) = pushed.wake {
                    woken.add(worker, &mailbox.wake);
                }
            }
            for stream in &receivers.streams {
                if let Some(text) = text.get(event, &self.source)
                    && let Some(worker) = stream.push(text, now, &self.limits).wake
                {
                    woken.add(worker, &stream.wake);
                }
            }
        });
        if self.is_full() {
            self.relieve(&users, &mut woken);
        }
        drop(users);
        if !owing.is_empty() {
            self.owing().append(&mut owing);
        }
        self.workers.wake(woken);
    }

    fn relieve_if_stuck(&self, now: Timestamp) {
        let now = now.as_millis();
        if !self.is_full() {
            self.full_since_ms.store(i64::MAX, Ordering::Relaxed);
        } else if self.full_since_ms.fetch_min(now, Ordering::Relaxed) <= now - FULL_MS_MAX {
            let mut woken = Woken::default();
            self.relieve(&self.users(), &mut woken);
            self.workers.wake(woken);
        }
    }

    /// All mailboxes together keep too much: those that keep most leave it to the store, until
    /// there is room for a while.
    fn relieve(&self, users: &HashMap<UserId, Receivers>, woken: &mut Woken) {
        let mut keepers: Vec<(usize, &dyn Keeper)> = Vec::new();
        for receivers in users.values() {
            for mailbox in &receivers.identities {
                keepers.push((mailbox.kept_bytes(), &**mailbox));
            }
            for stream in &receivers.streams {
                keepers.push((stream.kept_bytes(), &**stream));
            }
        }
        keepers.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let max = self.limits.kept_bytes_of_all_max;
        let mut left = 0_usize;
        for (_, keeper) in keepers {
            if self.kept_bytes() <= max - max / RELIEVED_SHARE {
                break;
            }
            if let Some((worker, wake)) = keeper.leave_to_store() {
                woken.add(worker, wake);
            }
            left += 1;
        }
        tracing::info!(
            receivers = left,
            "left to the store what waited for those for whom most did"
        );
    }

    fn identity_changed(&self, identity: &Identity) {
        if let Some(receivers) = self.users().get(&identity.id) {
            let ends_at = |session: &Session| session.end(identity, self.revocation_grace_ms);
            for mailbox in &receivers.identities {
                self.move_end(mailbox, ends_at);
            }
            for stream in &receivers.streams {
                self.move_end(stream, ends_at);
            }
        }
    }

    /// Ends the connections of tokens that were issued under a key that was replaced.
    fn access_keys_changed(&self, installation: &Installation) {
        *self.installation() = installation.clone();
        let ends_at = |session: &Session| {
            if installation.has_key(session.key) {
                session.expires_at
            } else {
                Timestamp::from_millis(i64::MIN)
            }
        };
        for receivers in self.users().values() {
            for mailbox in &receivers.identities {
                self.move_end(mailbox, ends_at);
            }
            for stream in &receivers.streams {
                self.move_end(stream, ends_at);
            }
        }
    }

    /// Has a connection's right end when `ends_at` says, unless it ends before. What is kept stays:
    /// it is for the same user's next token.
    pub(super) fn move_end<P: Kept>(
        &self,
        mailbox: &Mailbox<P>,
        ends_at: impl FnOnce(&Session) -> Timestamp,
    ) {
        mailbox.set_end(ends_at);
        let now = self.now();
        self.end_if_over(mailbox, now);
        self.expect_end(mailbox.next_end(now));
    }

    fn installation(&self) -> MutexGuard<'_, Installation> {
        self.installation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn owing(&self) -> MutexGuard<'_, Vec<Arc<Mailbox<Payload>>>> {
        self.owing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> RwLockReadGuard<'_, HashMap<UserId, Receivers>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn users_mut(&self) -> RwLockWriteGuard<'_, HashMap<UserId, Receivers>> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Hub {
    fn publish(&self, event: Event) {
        match event {
            #[cfg(feature = "fault-injection")]
            Event::Thread { event, audience } => {
                let everybody = || self.users().keys().cloned().collect();
                for (event, audience) in super::fault::distort((event, audience), everybody) {
                    self.tell(&event, &*audience);
                }
            }
            #[cfg(not(feature = "fault-injection"))]
            Event::Thread { event, audience } => self.tell(&event, &*audience),
            Event::Identity(identity) => self.identity_changed(&identity),
            Event::AccessKeys(installation) => self.access_keys_changed(&installation),
        }
    }
}
