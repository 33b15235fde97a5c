//! Attacks the promises of docs/guarantees.md from outside: kills the real server, cuts its power,
//! lets its disk fail, starts it again and compares what it shows with what it had acknowledged.
//! `cargo xtask crash` builds the server and this, and starts this.
#![expect(
    clippy::print_stdout,
    reason = "the output of this tool is what it prints"
)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use fastrand::Rng;

mod bites;
mod disk;
mod failures;
mod history;
mod http;
mod kills;
mod load;
mod model;
mod observe;
mod power;
mod refusals;
mod report;
mod script;
mod server;
mod soak;
mod verify;

use server::Site;

/// Kills, power cuts and failing disks for Cavansite's store.
#[derive(Debug, Parser)]
#[command(name = "cavansite-crash", version)]
struct Arguments {
    #[command(subcommand)]
    suite: Suite,
    /// The server
    #[arg(long)]
    binary: PathBuf,
    /// The source of the library that is preloaded into it
    #[arg(long)]
    library: PathBuf,
    /// A folder for data directories
    #[arg(long)]
    dir: PathBuf,
    /// Makes the same choices again, as far as the machine lets it
    #[arg(long, global = true)]
    seed: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Suite {
    /// SIGKILL while clients run, at random instants and around commits
    Kills(kills::Options),
    /// Disks as power cuts leave them
    Power(power::Options),
    /// Writes and syncs that fail
    Failures(failures::Options),
    /// Directories that are read-only or full
    Refusals,
    /// A server with planted faults, which must be found
    Bites(bites::Options),
    /// Users who talk and are told, for long, while much goes wrong; memory is watched
    Soak(soak::Options),
    /// A server whose events are planted with faults, which the soak must find
    SoakBites(soak::BitesOptions),
}

/// What every suite needs.
#[derive(Debug)]
struct Bench {
    binary: PathBuf,
    /// The preloaded library, compiled.
    library: PathBuf,
    dir: PathBuf,
    seed: u64,
}

impl Bench {
    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&arguments.dir)?;
        let dir = std::path::absolute(&arguments.dir)?;
        let library = dir.join("powercut.so");
        compile(&arguments.library, &library)?;
        Ok(Self {
            binary: std::path::absolute(&arguments.binary)?,
            library,
            dir,
            seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        })
    }

    /// Choices that the seed decides.
    fn rng(&self) -> Rng {
        Rng::with_seed(self.seed)
    }

    /// The variables that preload the library for a site.
    fn preload(&self, site: &Site) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone().into()),
            ("POWERCUT_ROOT", site.disk().into()),
        ]
    }

    /// The variables that record what a site's server does to its disk.
    fn record(&self, site: &Site) -> Vec<(&'static str, OsString)> {
        let mut variables = self.preload(site);
        variables.push((server::RECORD, site.record().into()));
        variables
    }
}

fn compile(source: &Path, library: &Path) -> anyhow::Result<()> {
    let status = Command::new("cc")
        .args([
            "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
        ])
        .args([library, source])
        .args(["-ldl", "-lpthread"])
        .status()
        .context("cc, which compiles the preloaded library")?;
    anyhow::ensure!(status.success(), "{} does not compile", source.display());
    Ok(())
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let bench = Bench::new(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sound = runtime.block_on(async {
        match &arguments.suite {
            Suite::Kills(options) => kills::run(&bench, options).await,
            Suite::Power(options) => power::run(&bench, options).await,
            Suite::Failures(options) => failures::run(&bench, options).await,
            Suite::Refusals => refusals::run(&bench).await,
            Suite::Bites(options) => bites::run(&bench, options).await,
            Suite::Soak(options) => soak::run(&bench, options).await,
            Suite::SoakBites(options) => soak::run_bites(&bench, options).await,
        }
    });
    sound.with_context(|| format!("with the seed {}", bench.seed))
}
