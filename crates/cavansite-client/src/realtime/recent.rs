//! What was yielded lately, so that repetitions are recognised.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Remembers so many things by their hashes, and forgets the oldest first. The hash is keyed, so
/// that nobody can make two events look the same.
pub(super) struct Recent {
    hasher: RandomState,
    hashes: HashSet<u64>,
    oldest_first: VecDeque<u64>,
    capacity: usize,
}

impl Recent {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            hashes: HashSet::new(),
            oldest_first: VecDeque::new(),
            capacity,
        }
    }

    pub(super) fn contains(&self, thing: &impl Hash) -> bool {
        self.hashes.contains(&self.hasher.hash_one(thing))
    }

    /// Remembers a thing; says whether it is new.
    pub(super) fn insert(&mut self, thing: &impl Hash) -> bool {
        let hash = self.hasher.hash_one(thing);
        if self.capacity == 0 {
            return true;
        }
        if !self.hashes.insert(hash) {
            return false;
        }
        if self.oldest_first.len() == self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.hashes.remove(&oldest);
        }
        self.oldest_first.push_back(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_fit_are_remembered_and_the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(3);
        for thing in 0..4 {
            assert!(recent.insert(&thing));
        }
        assert!(!recent.contains(&0));
        for thing in 1..4 {
            assert!(recent.contains(&thing) && !recent.insert(&thing));
        }
        assert!(recent.insert(&0));
        assert_eq!((recent.hashes.len(), recent.oldest_first.len()), (3, 3));
    }

    #[test]
    fn without_room_everything_is_new() {
        let mut recent = Recent::new(0);
        assert!(recent.insert(&1) && recent.insert(&1) && !recent.contains(&1));
    }
}
