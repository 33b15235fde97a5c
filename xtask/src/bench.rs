//! `cargo xtask bench`: builds the server and the load tool, and starts the tool.

use clap::Subcommand;

use crate::process::ToolOptions as Options;
use crate::workspace::Workspace;

/// What is measured. Further options are those of `cavansite-bench`.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Stored sends over TLS, beside a TLS echo and a durable append
    Send(Options),
    /// First pages, polls, older pages, lists of threads, beside their bodies sent from memory
    Pages(Options),
    /// Polls, sends, receipts and typing together
    Mixed(Options),
    /// Deliveries to all participants of a thread, beside TLS frames
    Fanout(Options),
    /// Idle websockets, and a message among them
    Idle(Options),
    /// A large store beside a small one
    Growth(Options),
    /// What the Rust client takes: calls, real-time connections, events
    Client(Options),
    /// All of these but the client's, written to docs/performance.md
    Report(Options),
    /// From exec to the first answered request; memory and size
    Start(Options),
}

/// Runs a measurement.
pub(crate) fn run(workspace: &Workspace, bench: Bench) -> anyhow::Result<bool> {
    let (name, options) = match bench {
        Bench::Send(options) => ("send", options),
        Bench::Pages(options) => ("pages", options),
        Bench::Mixed(options) => ("mixed", options),
        Bench::Fanout(options) => ("fanout", options),
        Bench::Idle(options) => ("idle", options),
        Bench::Growth(options) => ("growth", options),
        Bench::Client(options) => ("client", options),
        Bench::Report(options) => ("report", options),
        Bench::Start(options) => ("start", options),
    };
    // One after the other: together the server would be built with the features of the client that
    // the load wants, and carry them about in memory.
    let mut packages = vec!["--package=cavansite-bench"];
    if options.binary.is_none() {
        packages.push("--package=cavansite");
    }
    for package in packages {
        let status = workspace
            .cargo(&["build", "--release", "--locked", package])
            .status()?;
        anyhow::ensure!(status.success(), "it does not build");
    }
    let default = workspace.release_binary("cavansite");
    let folder = options.dir;
    let folder = folder.unwrap_or_else(|| workspace.target().join("bench"));
    let mut tool = std::process::Command::new(workspace.release_binary("cavansite-bench"));
    tool.arg(name)
        .arg("--binary")
        .arg(options.binary.unwrap_or(default))
        .arg("--dir")
        .arg(folder);
    if name == "report" {
        tool.arg("--output")
            .arg(workspace.root().join("docs/performance.md"));
    }
    let status = tool.args(options.arguments).status()?;
    Ok(status.success())
}
