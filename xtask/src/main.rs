//! The project's own automation, run as `cargo xtask`: everything that CI does, and what a
//! developer does by hand more than once. It knows no product code; it starts programs.
#![expect(
    clippy::print_stdout,
    reason = "the output of this tool is what it prints"
)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod ci;
mod conformance;
mod coverage;
mod crash;
mod environment;
mod package;
mod process;
mod public_api;
mod specs;
mod tidy;
mod workspace;

/// Automation of the Cavansite repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Everything that CI checks, part by part, with the time of each
    Ci(ci::Options),
    /// The Rust tests of the whole workspace
    Test {
        /// Passed to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the server and start the emulator
    Dev {
        /// Passed to `cavansite dev`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Official SDKs against the release binary, compared with what is expected
    Conformance(conformance::Options),
    /// Measurements of the release build
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Kills, power cuts and failing disks, with a check of everything acknowledged
    #[command(subcommand)]
    Crash(crash::Crash),
    /// The client's requests against published OpenAPI documents
    Specs(specs::Options),
    /// What the client promises to programs, compared with the list of it
    PublicApi(public_api::Options),
    /// Which lines of the client its tests run
    Coverage(coverage::Options),
    /// What would be published: each crate's files; with `--verify` built as others would
    Package(package::Options),
    /// The project's rules: dependencies, licences, sizes, documents, paths
    Tidy,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command; `false` means that it found something wrong and has said so.
fn run(command: Command) -> anyhow::Result<bool> {
    let workspace = workspace::Workspace::load()?;
    match command {
        Command::Ci(options) => Ok(ci::run(&workspace, &options)),
        Command::Test { arguments } => {
            let status = workspace
                .cargo(&["test", "--workspace", "--locked"])
                .args(arguments)
                .status()?;
            Ok(status.success())
        }
        Command::Dev { arguments } => {
            let status = workspace
                .cargo(&["run", "--release", "--locked", "--", "dev"])
                .args(arguments)
                .status()?;
            Ok(status.success())
        }
        Command::Conformance(options) => conformance::run(&workspace, &options),
        Command::Bench(bench) => bench::run(&workspace, bench),
        Command::Crash(crash) => crash::run(&workspace, crash),
        Command::Specs(options) => specs::run(&workspace, &options),
        Command::PublicApi(options) => public_api::run(&workspace, &options),
        Command::Coverage(options) => coverage::run(&workspace, &options),
        Command::Package(options) => package::run(&workspace, &options),
        Command::Tidy => tidy::run(&workspace),
    }
}
