//! The program as its users run it: the real binary, each test in a home of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod certificates;
mod commands;
mod harness;
mod listening;
mod operator;
mod quickstart;
mod refusals;
mod settings;
mod stopping;
