//! The newest messages of active threads, with the thread's row and people, for readers.
//!
//! A view starts when somebody first reads the thread (or makes it); from then on the writer adds
//! to it what it has committed, after the sync and before the request is answered. So a poll or a
//! first page of a thread that somebody reads touches no database.
//!
//! A view that is being filled from the database may have missed a change made meanwhile. Hence the
//! order: the empty view stands in the map before the reader's snapshot begins, so that every later
//! commit finds it; plain additions join what is read, and every other change moves the view's
//! epoch, which makes the view refuse what was read before it.

use std::collections::{HashMap, VecDeque};
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::state::{Members, ThreadRecord, pairs_bytes};
use crate::chat::access::Membership;
use crate::error::{Error, Result};
use crate::model::{Message, MessageContent, MessageId, Participant, ThreadId, Timestamp, UserId};
use crate::store::MessagePage;

/// How many of a thread's newest messages are kept: two of the largest pages, so that the second is
/// often there too.
const MESSAGES_PER_THREAD_MAX: usize = 400;

/// One thread may take this part of all the memory for messages.
const THREAD_SHARE: usize = 8;

/// All threads that are being read.
pub(super) struct ThreadCache {
    views: RwLock<HashMap<ThreadId, Arc<ThreadView>>>,
    /// The order in which views are looked at for one to forget. May hold views that are gone.
    ring: Mutex<VecDeque<(ThreadId, Arc<ThreadView>)>>,
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// What readers know of one thread.
pub(super) struct ThreadView {
    used: AtomicBool,
    inner: Mutex<View>,
}

#[derive(Default)]
struct View {
    /// Rises with each change that is no plain addition.
    epoch: u64,
    thread: Option<ThreadFacts>,
    /// Ascending by version.
    newest: VecDeque<Arc<Message>>,
    /// Every message of a higher version is in `newest`; `None` before anything is known.
    floor: Option<i64>,
    newest_created_at: Timestamp,
    bytes: usize,
}

/// A thread's row and people.
#[derive(Clone)]
pub(super) struct ThreadFacts {
    pub(super) record: Arc<ThreadRecord>,
    pub(super) members: Arc<Members>,
}

/// What was read from the database to fill a view.
pub(super) struct Filling {
    pub(super) facts: ThreadFacts,
    /// Descending by version, all there are from `top` down to above `floor`.
    pub(super) newest: Vec<Arc<Message>>,
    /// The highest version that the thread had.
    pub(super) top: i64,
    pub(super) floor: i64,
    pub(super) newest_created_at: Timestamp,
}

/// A committed change, for the view of its thread.
#[derive(Default)]
pub(super) struct Publication {
    /// The messages that the change added or moved, in order.
    pub(super) messages: Posted,
    /// The thread's row, where it changed.
    pub(super) record: Option<Arc<ThreadRecord>>,
    /// The people, where they changed.
    pub(super) members: Option<Arc<Members>>,
}

/// What became of messages.
#[derive(Default)]
pub(super) enum Posted {
    /// Nothing.
    #[default]
    Nothing,
    /// One was added; no view stood there when it was, so that it was not kept.
    Unkept,
    /// One was added, the highest version before it being `previous`.
    Appended {
        previous: i64,
        message: Arc<Message>,
    },
    /// One moved to the front.
    Moved {
        previous: i64,
        message: Arc<Message>,
    },
    /// The thread was made with these.
    Created(Vec<Arc<Message>>),
    /// The thread was deleted.
    Deleted,
}

impl ThreadCache {
    /// No thread yet.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            views: RwLock::default(),
            ring: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// The thread's view, if there is one.
    pub(super) fn get(&self, thread: ThreadId) -> Option<Arc<ThreadView>> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        let view = views.get(&thread)?;
        view.used.store(true, Relaxed);
        Some(Arc::clone(view))
    }

    /// When the thread's newest message was committed, if somebody reads the thread.
    pub(super) fn newest_created_at(&self, thread: ThreadId) -> Option<Timestamp> {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        let inner = views.get(&thread)?.lock();
        inner.thread.as_ref().map(|_| inner.newest_created_at)
    }

    /// Whether there is a view of the thread.
    pub(super) fn contains(&self, thread: ThreadId) -> bool {
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        views.contains_key(&thread)
    }

    /// The thread's view, empty if it is new. A reader takes it before its snapshot.
    pub(super) fn get_or_insert(&self, thread: ThreadId) -> Arc<ThreadView> {
        if let Some(view) = self.get(thread) {
            return view;
        }
        let view = {
            let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(view) = views.get(&thread) {
                return Arc::clone(view);
            }
            let view = Arc::new(ThreadView {
                used: AtomicBool::new(true),
                inner: Mutex::default(),
            });
            views.insert(thread, Arc::clone(&view));
            view
        };
        self.bytes.fetch_add(VIEW_BYTES, Relaxed);
        self.ring().push_back((thread, Arc::clone(&view)));
        view
    }

    /// Forgets a view, when it is the one that stands there.
    pub(super) fn remove(&self, thread: ThreadId, view: &Arc<ThreadView>) {
        {
            let mut views = self.views.write().unwrap_or_else(PoisonError::into_inner);
            if !views
                .get(&thread)
                .is_some_and(|stands| Arc::ptr_eq(stands, view))
            {
                return;
            }
            views.remove(&thread);
        }
        view.change(self, View::reset);
        self.bytes.fetch_sub(VIEW_BYTES, Relaxed);
    }

    /// Fills a view with what was read since its epoch was `epoch`.
    pub(super) fn fill(
        &self,
        thread: ThreadId,
        view: &Arc<ThreadView>,
        epoch: u64,
        filling: Filling,
    ) {
        view.change(self, |inner| {
            if inner.epoch == epoch {
                inner.fill(filling);
                inner.trim(self.bytes_max / THREAD_SHARE);
            }
        });
        // It may have been forgotten meanwhile; then nobody counts or finds it any more.
        if self
            .get(thread)
            .is_none_or(|stands| !Arc::ptr_eq(&stands, view))
        {
            view.change(self, View::reset);
        }
        self.evict();
    }

    /// Shows a committed change to readers.
    pub(super) fn publish(&self, thread: ThreadId, publication: Publication) {
        let view = match publication.messages {
            Posted::Created(_) => self.get_or_insert(thread),
            _ => match self.views.read() {
                Ok(views) => match views.get(&thread) {
                    Some(view) => Arc::clone(view),
                    None => return,
                },
                Err(_) => return,
            },
        };
        if matches!(publication.messages, Posted::Deleted) {
            self.remove(thread, &view);
            return;
        }
        view.change(self, |inner| inner.apply(publication, self.bytes_max));
    }

    /// Forgets views that were not used lately until the bound holds.
    pub(super) fn evict(&self) {
        while self.bytes.load(Relaxed) > self.bytes_max {
            let Some((thread, view)) = self.ring().pop_front() else {
                return;
            };
            if view.used.swap(false, Relaxed) && self.contains(thread) {
                self.ring().push_back((thread, view));
            } else {
                self.remove(thread, &view);
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<(ThreadId, Arc<ThreadView>)>> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let views = self.views.read().unwrap_or_else(PoisonError::into_inner);
        // Views of threads that turned out not to exist leave their place behind.
        if ring.len() > 2 * views.len() + 64 {
            ring.retain(|(thread, view)| {
                views
                    .get(thread)
                    .is_some_and(|stands| Arc::ptr_eq(stands, view))
            });
        }
        drop(views);
        ring
    }

    /// What all views take in memory, roughly.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// How many places the ring has.
    #[cfg(test)]
    pub(super) fn ring_len(&self) -> usize {
        self.ring().len()
    }
}

/// What a view takes without its content.
const VIEW_BYTES: usize = size_of::<ThreadView>() + 160;

impl ThreadView {
    /// The epoch, to be taken before the snapshot.
    pub(super) fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// The thread and its people, if the caller is among them.
    pub(super) fn facts(&self, caller: &UserId) -> Option<ThreadFacts> {
        let inner = self.lock();
        let facts = inner.thread.as_ref()?;
        facts.members.0.contains_key(caller).then(|| facts.clone())
    }

    /// The page, if the caller is in the thread and all of it is here.
    pub(super) fn page(&self, caller: &UserId, page: &MessagePage) -> Option<Vec<Arc<Message>>> {
        let inner = self.lock();
        let membership = inner.membership(caller)?;
        let floor = inner.floor?;
        let lower = page
            .start_time
            .max(membership.share_history_time)
            .as_millis();
        let before = page.before.map_or(i64::MAX, |version| version.0);
        let mut messages = Vec::with_capacity(page.limit.min(inner.newest.len()));
        for message in inner.newest.iter().rev() {
            if messages.len() == page.limit || message.version.0 < lower {
                break;
            }
            if message.version.0 < before && membership.sees(message.created_at, message.version) {
                messages.push(Arc::clone(message));
            }
        }
        (messages.len() == page.limit || floor < lower).then_some(messages)
    }

    /// The message, if the caller is in the thread and what is here tells.
    pub(super) fn message(&self, caller: &UserId, id: MessageId) -> Option<Result<Arc<Message>>> {
        let inner = self.lock();
        let membership = inner.membership(caller)?;
        let found = inner.newest.iter().rev().find(|message| message.id == id);
        match found {
            Some(message) => Some(
                membership
                    .require_sees(message.created_at, message.version)
                    .map(|()| Arc::clone(message)),
            ),
            // Its version would be its id or higher, and all of those are here.
            None if inner.floor? < id.0 => Some(Err(Error::MessageNotFound)),
            None => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, View> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, cache: &ThreadCache, change: impl FnOnce(&mut View)) {
        let mut inner = self.lock();
        let before = inner.bytes;
        change(&mut inner);
        // Two steps, each of which wraps: the sum is what counts.
        cache.bytes.fetch_add(inner.bytes, Relaxed);
        cache.bytes.fetch_sub(before, Relaxed);
    }
}

impl View {
    fn membership(&self, caller: &UserId) -> Option<Membership> {
        let facts = self.thread.as_ref()?;
        facts
            .members
            .0
            .get(caller)
            .map(super::state::Member::membership)
    }

    fn reset(&mut self) {
        *self = Self {
            epoch: self.epoch + 1,
            ..Self::default()
        };
    }

    fn fill(&mut self, filling: Filling) {
        let floor = self.floor.unwrap_or(i64::MAX);
        if self.floor.is_some_and(|floor| floor > filling.top) {
            // So much was added meanwhile that the two no longer meet.
            return;
        }
        for message in filling.newest {
            if message.version.0 <= floor {
                self.bytes += message_bytes(&message);
                self.newest.push_front(message);
            }
        }
        // A history that begins in the future tells nothing of what will be sent until then.
        self.floor = Some(floor.min(filling.floor).min(filling.top));
        self.newest_created_at = self.newest_created_at.max(filling.newest_created_at);
        self.set_facts(filling.facts);
    }

    fn set_facts(&mut self, facts: ThreadFacts) {
        let bytes = |facts: &ThreadFacts| facts.members.bytes() + facts.record.thread.topic.len();
        self.bytes += bytes(&facts);
        if let Some(old) = self.thread.replace(facts) {
            self.bytes -= bytes(&old);
        }
    }

    fn apply(&mut self, publication: Publication, bytes_max: usize) {
        if let Some(facts) = &self.thread
            && (publication.record.is_some() || publication.members.is_some())
        {
            let old = facts.clone();
            self.set_facts(ThreadFacts {
                record: publication.record.clone().unwrap_or(old.record),
                members: publication.members.clone().unwrap_or(old.members),
            });
        }
        if publication.record.is_some() || publication.members.is_some() {
            self.epoch += 1;
        }
        match publication.messages {
            Posted::Nothing => {}
            Posted::Unkept | Posted::Deleted => self.reset(),
            Posted::Appended { previous, message } => {
                self.newest_created_at = message.created_at;
                if !self.is_filled_to(&message) {
                    self.push(previous, message);
                }
            }
            Posted::Moved { previous, message } => {
                self.epoch += 1;
                if self.is_filled_to(&message) {
                    return;
                }
                if let Some(at) = self.newest.iter().position(|old| old.id == message.id)
                    && let Some(old) = self.newest.remove(at)
                {
                    self.bytes -= message_bytes(&old);
                }
                self.push(previous, message);
            }
            Posted::Created(messages) => {
                self.reset();
                self.floor = Some(i64::MIN);
                if let (Some(record), Some(members)) = (publication.record, publication.members) {
                    self.set_facts(ThreadFacts { record, members });
                }
                for message in messages {
                    self.newest_created_at = message.created_at;
                    self.push(i64::MIN, message);
                }
            }
        }
        self.trim(bytes_max / THREAD_SHARE);
    }

    /// Whether the view was filled from a snapshot that has the message: one that began after the
    /// commit and before its publication.
    fn is_filled_to(&self, message: &Message) -> bool {
        let newest = self.newest.back();
        newest.is_some_and(|newest| newest.version >= message.version)
    }

    fn push(&mut self, previous: i64, message: Arc<Message>) {
        self.bytes += message_bytes(&message);
        self.floor.get_or_insert(previous);
        self.newest.push_back(message);
    }

    fn trim(&mut self, bytes_max: usize) {
        while (self.newest.len() > MESSAGES_PER_THREAD_MAX || self.bytes > bytes_max)
            && let Some(oldest) = self.newest.pop_front()
        {
            self.bytes -= message_bytes(&oldest);
            self.floor = Some(oldest.version.0);
        }
    }
}

/// Roughly what a message takes in memory.
pub(super) fn message_bytes(message: &Message) -> usize {
    let content = match &message.content {
        MessageContent::User(sent) => {
            sent.content.len() + sent.sender_display_name.len() + pairs_bytes(&sent.metadata)
        }
        MessageContent::TopicUpdated { topic, .. } => topic.len(),
        MessageContent::ParticipantsAdded { participants, .. }
        | MessageContent::ParticipantsRemoved { participants, .. } => people_bytes(participants),
    };
    size_of::<Message>() + 64 + content
}

/// Roughly what people take in memory.
pub(super) fn people_bytes(people: &[Participant]) -> usize {
    let bytes = |one: &Participant| {
        let name = one.display_name.as_ref().map_or(0, String::len);
        size_of::<Participant>() + 128 + name + pairs_bytes(&one.metadata)
    };
    people.iter().map(bytes).sum()
}
