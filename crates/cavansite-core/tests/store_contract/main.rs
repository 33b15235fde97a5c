//! What `store/mod.rs` and `chat/access.rs` promise, sentence by sentence, for every engine.
//!
//! An engine comes under the suite with an implementation of [`world::Engine`] and one line in
//! [`contract!`].

#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod concurrency;
mod events;
mod identities;
mod messages;
mod model;
mod participants;
mod repeats;
mod threads;
mod world;

/// Makes a test of each named function, for each engine. A function takes a fresh
/// [`world::World`].
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    let engine = crate::world::SqliteEngine::new();
                    super::$name(crate::world::World::new(Box::new(engine))).await;
                }
            )*
        }
    };
}
use contract;
