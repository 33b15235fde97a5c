//! What of the store a receiver is owed, while it is told of that in pages.

use std::collections::HashMap;
use std::sync::Arc;

use cavansite_core::events::Position;
use cavansite_core::model::{ThreadId, Timestamp, Version};
use tokio::time::Instant;

use super::limits::RESUME_OVERLAP_MS;

/// All from a version on, but in some threads only what has a higher one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) since: Timestamp,
    pub(super) told: Arc<HashMap<ThreadId, Version>>,
}

impl Owed {
    /// All from a time on.
    pub(super) fn since(since: Timestamp) -> Self {
        Self {
            since,
            told: Arc::default(),
        }
    }

    /// The same, but nothing from before a time.
    pub(super) fn not_before(self, earliest: Timestamp) -> Self {
        Self {
            since: self.since.max(earliest),
            ..self
        }
    }

    /// All from a time on, but what of a thread comes up to that version.
    pub(super) fn since_after(since: Timestamp, told: Option<(ThreadId, Version)>) -> Self {
        Self {
            since,
            told: Arc::new(told.into_iter().collect()),
        }
    }
}

/// What a receiver is owed, and whether it is being read now.
pub(super) struct Backlog {
    owed: Owed,
    /// New events are kept then, and follow it. Otherwise they are owed too: the store has them.
    pub(super) is_being_read: bool,
    /// Not to be read before.
    pub(super) put_off_until: Option<Instant>,
}

impl Backlog {
    /// That is to be read.
    pub(super) fn of(owed: Owed) -> Self {
        Self {
            owed,
            is_being_read: false,
            put_off_until: None,
        }
    }

    pub(super) fn since(&self) -> Timestamp {
        self.owed.since
    }

    /// What is to be read now, unless it is being read or put off.
    pub(super) fn begin_reading(&mut self) -> Option<Owed> {
        if self
            .put_off_until
            .is_some_and(|until| Instant::now() < until)
        {
            return None;
        }
        let begins = !std::mem::replace(&mut self.is_being_read, true);
        begins.then(|| self.owed.clone())
    }

    /// Owes an event too, if the store tells it again. Its version may be behind those that were
    /// told: they are ahead of the clock in a busy thread, and it is another's, or was seen late.
    pub(super) fn add(&mut self, position: Option<Position>) {
        let Some(Position {
            thread, version, ..
        }) = position
        else {
            return;
        };
        self.owed.since = self.owed.since.min(Timestamp::from_millis(version.0));
        if self.has_told(thread, version) {
            let before = Version(version.0.saturating_sub(1));
            Arc::make_mut(&mut self.owed.told).insert(thread, before);
        }
    }

    /// Whether that version of a thread, or a higher one, was told.
    pub(super) fn has_told(&self, thread: ThreadId, version: Version) -> bool {
        let told = self.owed.told.get(&thread);
        told.is_some_and(|told| *told >= version)
    }

    /// An event is told.
    pub(super) fn tell(&mut self, position: Option<Position>) {
        if let Some(Position {
            thread, version, ..
        }) = position
        {
            let told = Arc::make_mut(&mut self.owed.told);
            let newest = told.entry(thread).or_insert(version);
            *newest = version.max(*newest);
        }
    }

    /// What was read is told, and there is more from there on.
    pub(super) fn go_on(&mut self, rest: Timestamp, now: Timestamp) {
        // What is committed from now on has no version behind the clock, but where that steps back.
        let relevant = now.plus_millis(-RESUME_OVERLAP_MS).as_millis();
        Arc::make_mut(&mut self.owed.told).retain(|_, version| version.0 >= relevant);
        self.owed.since = rest;
        self.is_being_read = false;
    }
}
