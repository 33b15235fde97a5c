//! The threads of users who list theirs, in the list's order, so that a page costs what a page
//! holds and not what the user takes part in.
//!
//! A list is read whole when its user first asks for it; from then on the writer moves a thread to
//! its place after each commit, before the request is answered. Only the order is here: what a page
//! shows of a thread is read with the page, and a thread that turns out to be deleted leaves then.
//!
//! A list stands in the map before the snapshot that fills it begins, so that every later commit
//! finds it. What the writer tells a list that is not filled yet is kept beside and wins over what
//! was read.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem::size_of;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::state::Members;
use crate::model::{ThreadId, Timestamp};
use crate::store::ThreadPage;

/// Roughly what a thread takes in a list: its place in the order and its row in the map.
const THREAD_BYTES: usize = 2 * (size_of::<Place>() + size_of::<(i64, ListedThread)>());

/// What a list takes without its threads.
const LIST_BYTES: usize = size_of::<UserThreads>() + 160;

/// A committed change that moves threads in lists.
pub(super) enum Activity {
    /// A message was added to a thread of these people.
    Message {
        thread: i64,
        at: Timestamp,
        members: Arc<Members>,
    },
    /// Somebody came into a thread.
    Joined {
        user: i64,
        thread: i64,
        listed: ListedThread,
    },
}

/// A thread in somebody's list.
#[derive(Clone, Copy)]
pub(super) struct ListedThread {
    pub(super) id: ThreadId,
    /// The bound of the user's history.
    pub(super) share_history_time: Timestamp,
    /// When the user came in.
    pub(super) joined_at: Timestamp,
    /// When the newest message that the user may know of was added.
    pub(super) last_message_at: Timestamp,
}

impl ListedThread {
    /// The time that the list shows. Who may see no message yet knows at least when they came in.
    fn shown_at(&self) -> Timestamp {
        if self.last_message_at >= self.share_history_time {
            self.last_message_at
        } else {
            self.joined_at
        }
    }

    fn place(&self, thread: i64) -> Place {
        Place {
            at: self.shown_at(),
            id: self.id,
            thread,
        }
    }
}

/// Where a thread stands in a list; in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    pub(super) id: ThreadId,
    pub(super) thread: i64,
}

/// The lists of all users who list their threads.
pub(super) struct ThreadLists {
    lists: RwLock<HashMap<i64, Arc<UserThreads>>>,
    /// The order in which lists are looked at for one to forget; each user in `lists` once.
    ring: Mutex<VecDeque<i64>>,
    bytes: AtomicUsize,
    bytes_max: usize,
}

/// One user's list.
pub(super) struct UserThreads {
    used: AtomicBool,
    /// Held by the one reader that fills the list.
    filling: Mutex<()>,
    inner: Mutex<List>,
}

#[derive(Default)]
struct List {
    is_filled: bool,
    threads: HashMap<i64, ListedThread>,
    order: BTreeSet<Place>,
    /// What came before the list was filled, of threads not in `threads`.
    active: HashMap<i64, Timestamp>,
    /// Whether the map has forgotten it; then its bytes are counted no more.
    is_forgotten: bool,
}

impl ThreadLists {
    /// No list yet.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            lists: RwLock::default(),
            ring: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// The user's list, empty if it is new. A reader takes it before its snapshot.
    pub(super) fn get_or_insert(&self, user: i64) -> Arc<UserThreads> {
        let known = {
            let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
            lists.get(&user).map(Arc::clone)
        };
        if let Some(list) = known {
            list.used.store(true, Relaxed);
            return list;
        }
        let list = Arc::new(UserThreads {
            used: AtomicBool::new(true),
            filling: Mutex::default(),
            inner: Mutex::default(),
        });
        {
            let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(list) = lists.get(&user) {
                return Arc::clone(list);
            }
            lists.insert(user, Arc::clone(&list));
        }
        self.bytes.fetch_add(LIST_BYTES, Relaxed);
        self.ring().push_back(user);
        list
    }

    /// Fills a list with what was read since it stands there.
    pub(super) fn fill(&self, list: &UserThreads, threads: Vec<(i64, ListedThread)>) {
        self.change(list, |list| list.fill(threads));
        self.evict();
    }

    /// Leaves a thread out of a list: it is deleted.
    pub(super) fn leave_out(&self, list: &UserThreads, thread: i64) {
        self.change(list, |list| list.remove(thread));
    }

    /// Moves threads to where committed changes put them.
    pub(super) fn publish(&self, activities: Vec<Activity>) {
        let lists = self.lists.read().unwrap_or_else(PoisonError::into_inner);
        if lists.is_empty() {
            return;
        }
        for activity in activities {
            match activity {
                Activity::Message {
                    thread,
                    at,
                    members,
                } => {
                    for member in members.0.values() {
                        if let Some(list) = lists.get(&member.number) {
                            self.change(list, |list| list.message(thread, at));
                        }
                    }
                }
                Activity::Joined {
                    user,
                    thread,
                    listed,
                } => {
                    if let Some(list) = lists.get(&user) {
                        self.change(list, |list| list.put(thread, listed));
                    }
                }
            }
        }
    }

    /// Forgets lists that were not used lately until the bound holds.
    pub(super) fn evict(&self) {
        while self.bytes.load(Relaxed) > self.bytes_max {
            let Some(user) = self.ring().pop_front() else {
                return;
            };
            let mut lists = self.lists.write().unwrap_or_else(PoisonError::into_inner);
            let Some(list) = lists.get(&user) else {
                continue;
            };
            // One that is over the bound by itself would only drive out the others.
            let is_small = list.lock().bytes() <= self.bytes_max;
            if is_small && list.used.swap(false, Relaxed) {
                drop(lists);
                self.ring().push_back(user);
            } else if let Some(list) = lists.remove(&user) {
                let mut inner = list.lock();
                inner.is_forgotten = true;
                self.bytes.fetch_sub(LIST_BYTES + inner.bytes(), Relaxed);
            }
        }
    }

    fn change(&self, list: &UserThreads, change: impl FnOnce(&mut List)) {
        let mut inner = list.lock();
        let before = inner.bytes();
        change(&mut inner);
        if !inner.is_forgotten {
            // Two steps, each of which wraps: the sum is what counts.
            self.bytes.fetch_add(inner.bytes(), Relaxed);
            self.bytes.fetch_sub(before, Relaxed);
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<i64>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all lists take in memory, roughly.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

impl UserThreads {
    /// The threads of a page, newest activity first; `None` while the list is not filled.
    pub(super) fn places(&self, page: &ThreadPage) -> Option<Vec<Place>> {
        let list = self.lock();
        if !list.is_filled {
            return None;
        }
        let place = |(at, id)| Place {
            at,
            id,
            thread: i64::MIN,
        };
        let below = match page.after {
            Some(after) => list.order.range(..place(after)),
            None => list.order.range(..),
        };
        let places = below.rev().take(page.limit);
        Some(
            places
                .take_while(|place| place.at >= page.start_time)
                .copied()
                .collect(),
        )
    }

    /// Waits for whoever fills the list; then whoever still finds it empty fills it.
    pub(super) fn turn_to_fill(&self) -> MutexGuard<'_, ()> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn fill(&mut self, threads: Vec<(i64, ListedThread)>) {
        if self.is_filled {
            return;
        }
        for (thread, mut listed) in threads {
            if self.threads.contains_key(&thread) {
                continue;
            }
            if let Some(at) = self.active.get(&thread) {
                listed.last_message_at = listed.last_message_at.max(*at);
            }
            self.put(thread, listed);
        }
        self.active = HashMap::new();
        self.is_filled = true;
    }

    fn put(&mut self, thread: i64, listed: ListedThread) {
        self.remove(thread);
        self.order.insert(listed.place(thread));
        self.threads.insert(thread, listed);
    }

    fn remove(&mut self, thread: i64) {
        if let Some(listed) = self.threads.remove(&thread) {
            self.order.remove(&listed.place(thread));
        }
    }

    fn message(&mut self, thread: i64, at: Timestamp) {
        if let Some(listed) = self.threads.get_mut(&thread) {
            let before = listed.place(thread);
            listed.last_message_at = at;
            let after = listed.place(thread);
            if after != before {
                self.order.remove(&before);
                self.order.insert(after);
            }
        } else if !self.is_filled {
            self.active.insert(thread, at);
        }
    }

    fn bytes(&self) -> usize {
        (self.threads.len() + self.active.len()) * THREAD_BYTES
    }
}
