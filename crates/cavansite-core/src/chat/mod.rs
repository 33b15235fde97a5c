//! The chat service: threads, participants, messages, receipts, typing.

pub mod access;
