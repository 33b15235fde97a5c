//! The hub: users, their connection identities, and the websockets of these.
//!
//! Events come in on the store's writer thread after their sync. The hub renders an event once,
//! when somebody who is to be told is there, and queues it by reference at each of their
//! identities, so that one thread's events stay in order; a websocket's task takes them from
//! there. Waking tasks goes by the thread that they live on: one message to each, however many
//! tasks it wakes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, ThreadId};

use cavansite_core::clock::Clock;
use cavansite_core::events::{Event, EventSink, ThreadEvent};
use cavansite_core::identity::Session;
use cavansite_core::model::{Identity, UserId};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::limits::RealtimeLimits;
use super::mailbox::{End, Mailbox};
use super::payload::Payload;

/// Where events come in and websockets are known.
pub struct Hub {
    clock: Arc<dyn Clock>,
    limits: RealtimeLimits,
    revocation_grace_ms: i64,
    users: RwLock<HashMap<UserId, Vec<Arc<Mailbox>>>>,
    workers: Mutex<Workers>,
    serial: AtomicU64,
}

/// The threads that websockets live on. What waits in a channel is bounded: an identity is in it
/// once at the most, until its task has run.
#[derive(Default)]
struct Workers {
    numbers: HashMap<ThreadId, usize>,
    channels: Vec<UnboundedSender<Vec<Arc<Mailbox>>>>,
}

impl Hub {
    /// A hub without anybody.
    pub fn new(clock: Arc<dyn Clock>, limits: RealtimeLimits, revocation_grace_ms: i64) -> Self {
        Self {
            clock,
            limits,
            revocation_grace_ms,
            users: RwLock::default(),
            workers: Mutex::default(),
            serial: AtomicU64::new(1),
        }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &RealtimeLimits {
        &self.limits
    }

    /// A websocket of the caller's thread takes its place; `None` when the user has too many.
    pub(super) fn connect(&self, session: Session, epid: &str) -> Option<(Arc<Mailbox>, u64)> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let worker = self.worker();
        let mailbox = {
            let mut users = self.users_mut();
            let mailboxes = users.entry(session.user.clone()).or_default();
            if let Some(known) = mailboxes.iter().find(|mailbox| mailbox.epid == epid) {
                Arc::clone(known)
            } else {
                if mailboxes.len() >= self.limits.identities_per_user_max {
                    let lost = mailboxes
                        .iter()
                        .position(|mailbox| !mailbox.is_connected())?;
                    mailboxes.remove(lost);
                }
                let new = Arc::new(Mailbox::new(session.user.clone(), epid.to_owned()));
                mailboxes.push(Arc::clone(&new));
                new
            }
        };
        mailbox.connect(serial, session, worker);
        Some((mailbox, serial))
    }

    /// A websocket is gone. `stopped`: the client will not come back.
    pub(super) fn disconnect(&self, mailbox: &Arc<Mailbox>, serial: u64, stopped: bool) {
        let gone_at = self.clock.now().plus_millis(self.limits.resume_window_ms);
        if mailbox.disconnect(serial, gone_at) && stopped {
            self.forget(&mailbox.user, |other| Arc::ptr_eq(other, mailbox));
        }
    }

    /// The client of a connection identity has stopped.
    pub(crate) fn stop(&self, user: &UserId, epid: &str) {
        let found = self.users().get(user).and_then(|mailboxes| {
            let found = mailboxes.iter().find(|mailbox| mailbox.epid == epid);
            found.map(Arc::clone)
        });
        if let Some(mailbox) = found {
            self.end(&mailbox, End::Stopped);
            mailbox.clear();
            self.forget(user, |other| Arc::ptr_eq(other, &mailbox));
        }
    }

    /// Ends websockets whose token has ended, and lets identities go that did not come back.
    pub(super) fn sweep(&self) {
        let now = self.clock.now();
        let mut any_gone = false;
        for mailbox in self.users().values().flatten() {
            if mailbox.is_over(now) {
                self.end(mailbox, End::Unauthorized);
            }
            any_gone |= mailbox.is_gone(now);
        }
        if any_gone {
            self.users_mut().retain(|_, mailboxes| {
                mailboxes.retain(|mailbox| !mailbox.is_gone(now));
                !mailboxes.is_empty()
            });
        }
    }

    fn forget(&self, user: &UserId, is_it: impl Fn(&Arc<Mailbox>) -> bool) {
        let mut users = self.users_mut();
        if let Some(mailboxes) = users.get_mut(user) {
            mailboxes.retain(|mailbox| !is_it(mailbox));
            if mailboxes.is_empty() {
                users.remove(user);
            }
        }
    }

    fn end(&self, mailbox: &Arc<Mailbox>, end: End) {
        if let Some(worker) = mailbox.end(end) {
            self.wake(worker, vec![Arc::clone(mailbox)]);
        }
    }

    fn tell(&self, event: &ThreadEvent) {
        let users = self.users();
        if users.is_empty() {
            return;
        }
        let (now, about) = (self.clock.now(), event.about());
        let mut payload: Option<Option<Arc<Payload>>> = None;
        let mut woken: Vec<Vec<Arc<Mailbox>>> = Vec::new();
        event.audience.for_each(&mut |user, history_from| {
            if about.is_some_and(|created_at| created_at < history_from) {
                return;
            }
            let Some(mailboxes) = users.get(user) else {
                return;
            };
            let rendered = payload.get_or_insert_with(|| Payload::new(event).map(Arc::new));
            let Some(payload) = rendered else {
                return;
            };
            for mailbox in mailboxes {
                if let Some(worker) = mailbox.push(payload, now, &self.limits) {
                    if woken.len() <= worker {
                        woken.resize_with(worker + 1, Vec::new);
                    }
                    woken[worker].push(Arc::clone(mailbox));
                }
            }
        });
        drop(users);
        for (worker, mailboxes) in woken.into_iter().enumerate() {
            if !mailboxes.is_empty() {
                self.wake(worker, mailboxes);
            }
        }
    }

    fn identity_changed(&self, identity: &Identity) {
        let now = self.clock.now();
        if let Some(mailboxes) = self.users().get(&identity.id) {
            for mailbox in mailboxes {
                mailbox.set_end(|session| session.end(identity, self.revocation_grace_ms));
                if mailbox.is_over(now) {
                    mailbox.clear();
                    self.end(mailbox, End::Unauthorized);
                }
            }
        }
    }

    /// The number of the caller's thread, where a task that wakes others is running from now on.
    fn worker(&self) -> usize {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = thread::current().id();
        if let Some(number) = workers.numbers.get(&thread) {
            return *number;
        }
        let (channel, mut woken) = unbounded_channel::<Vec<Arc<Mailbox>>>();
        tokio::spawn(async move {
            while let Some(mailboxes) = woken.recv().await {
                for mailbox in mailboxes {
                    mailbox.wake.notify_one();
                }
            }
        });
        let number = workers.channels.len();
        workers.channels.push(channel);
        workers.numbers.insert(thread, number);
        number
    }

    fn wake(&self, worker: usize, mailboxes: Vec<Arc<Mailbox>>) {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = workers.channels.get(worker) {
            // An error: the thread has ended, and its websockets with it.
            let _ = channel.send(mailboxes);
        }
    }

    fn users(&self) -> RwLockReadGuard<'_, HashMap<UserId, Vec<Arc<Mailbox>>>> {
        self.users.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn users_mut(&self) -> RwLockWriteGuard<'_, HashMap<UserId, Vec<Arc<Mailbox>>>> {
        self.users.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Hub {
    fn publish(&self, event: Event) {
        match event {
            Event::Thread(event) => self.tell(&event),
            Event::Identity(identity) => self.identity_changed(&identity),
        }
    }
}
