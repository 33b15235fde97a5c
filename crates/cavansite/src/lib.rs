//! The server of Cavansite: the command line, the listener with its TLS, and the HTTP API.
//!
//! The binary is [`cli::main`]. Tests start a server inside their own process with [`http::serve`],
//! a listener of their own and a signal to stop.

pub mod api;
pub mod cli;
pub mod config;
pub mod http;
pub mod ready;
pub mod realtime;
pub mod state;
pub mod tls;

mod directories;
mod emulator;
mod logging;
mod platform;
