//! The server's behaviour through its HTTP interface, one module per resource. Test names are the
//! facts that docs/behaviour.md lists.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_envelope;
mod bad_input;
mod dialect;
mod event_stream;
mod harness;
mod identity;
mod messages;
mod participants;
mod permissions;
mod realtime;
mod receipts;
mod resume;
mod streams;
mod threads;
mod transport;
mod websocket;
