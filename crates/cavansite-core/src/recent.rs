//! Bounded caches of what was asked for lately.

use std::hash::Hash;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};

/// Room for so many items; small until it is filled.
pub(crate) fn cache<K: Eq + Hash, V: Clone>(items_max: u64) -> Cache<K, V> {
    const ITEMS_AT_FIRST: usize = 64;
    match OptionsBuilder::new()
        .estimated_items_capacity(ITEMS_AT_FIRST)
        .weight_capacity(items_max)
        .build()
    {
        Ok(options) => Cache::with_options(
            options,
            UnitWeighter,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        Err(_) => Cache::new(ITEMS_AT_FIRST),
    }
}
