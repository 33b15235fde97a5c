//! Real-time against a server in memory that behaves well, badly, or not at all. Time is paused: it
//! goes on when nobody has anything to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod behaving;
mod events;
mod hostile;
mod server;
mod tokens;
