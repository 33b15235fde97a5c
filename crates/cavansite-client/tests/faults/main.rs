//! What goes wrong: servers that answer nonsense, or nothing, and credentials that fail, through a
//! transport that does as it is told, in time that passes at once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod admin;
mod answers;
mod credentials;
mod mock;
mod pages;
mod retries;
mod secrets;
mod versions;
mod wire;
