//! Measures the release build of Cavansite, and the floors that it is compared with, from
//! outside: this is the load, the servers are processes of their own. `cargo xtask bench`
//! builds both and starts this.

use clap::{Parser, Subcommand};

mod client;
mod fan_floor;
mod fanout;
mod fill;
mod floors;
mod growth;
mod idle;
mod load;
mod opening;
mod outcome;
mod pages;
mod plan;
mod receiver;
mod report;
mod rig;
mod sdk;
mod send;
mod server;
mod setup;
mod start;
mod statistics;
mod tally;
mod wire;

use plan::Plan;

/// As the server has it, so that the floors are as good as can be.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    /// First pages, polls, older pages, lists of threads, beside their bodies sent from memory
    Pages(Plan),
    /// Polls, sends, receipts and typing together
    Mixed(Plan),
    /// Deliveries to all participants of a thread, beside TLS frames
    Fanout(fanout::Options),
    /// Idle websockets, and a message among them
    Idle(idle::Options),
    /// A large store beside a small one
    Growth(growth::Options),
    /// From exec to the first answered request; memory and size
    Start(start::Options),
    /// What the Rust client takes: calls, real-time connections, events
    Client(sdk::Options),
    /// All of these but the client's, written to a file
    Report(report::Options),
    /// The floor programs, each in a process of its own (started by the others)
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
    runtime.block_on(run(Arguments::parse().command))
}

async fn run(command: Command) -> anyhow::Result<()> {
    let outcomes = match command {
        Command::Send(options) => Box::pin(send::run(&options)).await?,
        Command::Pages(plan) => Box::pin(pages::run(&plan)).await?,
        Command::Mixed(plan) => Box::pin(pages::mixed(&plan)).await?,
        Command::Fanout(options) => Box::pin(fanout::run(&options)).await?,
        Command::Idle(options) => Box::pin(idle::run(&options)).await?,
        Command::Growth(options) => Box::pin(growth::run(&options)).await?,
        Command::Client(options) => Box::pin(sdk::run(&options)).await?,
        Command::Start(options) => start::run(&options).await?,
        Command::Report(options) => return Box::pin(report::run(options)).await,
        Command::Floor(floor) => return floors::run(floor).await,
    };
    for outcome in outcomes {
        outcome.print();
    }
    Ok(())
}
