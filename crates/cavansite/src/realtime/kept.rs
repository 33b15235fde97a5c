//! How much mailboxes keep, each and all together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a mailbox keeps, in bytes, counted among what all of them keep until this is dropped.
pub(super) struct KeptBytes {
    own: usize,
    all: Arc<AtomicUsize>,
}

impl KeptBytes {
    /// Nothing yet.
    pub(super) fn none_of(all: &Arc<AtomicUsize>) -> Self {
        Self {
            own: 0,
            all: Arc::clone(all),
        }
    }

    pub(super) fn own(&self) -> usize {
        self.own
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.own += bytes;
        self.all.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&mut self, bytes: usize) {
        self.own -= bytes;
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.subtract(self.own);
    }
}
