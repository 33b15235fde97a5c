//! Measures the release build of Cavansite, and the floors that it is compared with, from
//! outside: this is the load, the servers are processes of their own. `cargo xtask bench`
//! builds both and starts this.
#![expect(
    clippy::print_stdout,
    reason = "the output of this tool is what it prints"
)]

use clap::{Parser, Subcommand};

mod client;
mod floors;
mod load;
mod send;
mod server;
mod setup;
mod start;
mod statistics;

/// Measures Cavansite from outside.
#[derive(Debug, Parser)]
#[command(name = "cavansite-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stored sends over TLS, beside a TLS echo and a durable append
    Send(send::Options),
    /// From exec to the first answered request; memory and size
    Start(start::Options),
    /// The floor programs, each in a process of its own (started by `send`)
    #[command(subcommand, hide = true)]
    Floor(floors::Floor),
}

fn main() -> anyhow::Result<()> {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // One thread: the load stays on its core, and so does the echo.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match Arguments::parse().command {
            Command::Send(options) => Box::pin(send::run(&options)).await,
            Command::Start(options) => start::run(&options).await,
            Command::Floor(floor) => floors::run(floor).await,
        }
    })
}
