//! The program as its users run it: the real binary, each test in a home of its own.

mod certificates;
mod commands;
mod harness;
mod listening;
mod settings;
mod stopping;
