//! `cargo xtask crash`: builds the server and the harness that attacks it, and starts the harness.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;

use crate::ci::Outcome;
use crate::process::{self, ToolOptions as Options};
use crate::workspace::Workspace;

/// The source of the library that is preloaded into the server.
const LIBRARY: &str = "conformance/powercut/powercut.c";

/// What CI runs, in this order.
const IN_CI: [(Suite, &[&str]); 7] = [
    (Suite::Kills, &["--count", "50"]),
    (Suite::Power, &["--images", "50"]),
    (Suite::Failures, &["--count", "20"]),
    (Suite::Refusals, &[]),
    (Suite::Bites, &["--images", "25"]),
    (Suite::Soak, &["--seconds", "60"]),
    (Suite::SoakBites, &[]),
];

/// How the server is attacked. Further options are those of `cavansite-crash`.
#[derive(Debug, Subcommand)]
pub(crate) enum Crash {
    /// SIGKILL while clients run, at random instants and around commits; --count
    Kills(Options),
    /// Disks as power cuts leave them; --images
    Power(Options),
    /// Writes and syncs that fail; --count
    Failures(Options),
    /// Directories that are read-only or full
    Refusals(Options),
    /// A server with planted faults, which must be found; --images of each
    Bites(Options),
    /// Users who talk and are told, for long, while much goes wrong; --seconds
    Soak(Options),
    /// A server whose events are planted with faults, which the soak must find; --seconds of each
    SoakBites(Options),
}

#[derive(Debug, Clone, Copy)]
enum Suite {
    Kills,
    Power,
    Failures,
    Refusals,
    Bites,
    Soak,
    SoakBites,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Power => "power",
            Self::Failures => "failures",
            Self::Refusals => "refusals",
            Self::Bites => "bites",
            Self::Soak => "soak",
            Self::SoakBites => "soak-bites",
        }
    }

    /// Builds the server that the suite attacks.
    fn server(self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        if let Self::Bites | Self::SoakBites = self {
            return faulty_server(workspace);
        }
        let mut command = workspace.cargo(&["build", "--release", "--locked", "--quiet"]);
        anyhow::ensure!(command.status()?.success(), "the server does not build");
        Ok(workspace.release_binary("cavansite"))
    }
}

/// Runs an attack.
pub(crate) fn run(workspace: &Workspace, crash: Crash) -> anyhow::Result<bool> {
    let (suite, options) = match crash {
        Crash::Kills(options) => (Suite::Kills, options),
        Crash::Power(options) => (Suite::Power, options),
        Crash::Failures(options) => (Suite::Failures, options),
        Crash::Refusals(options) => (Suite::Refusals, options),
        Crash::Bites(options) => (Suite::Bites, options),
        Crash::Soak(options) => (Suite::Soak, options),
        Crash::SoakBites(options) => (Suite::SoakBites, options),
    };
    workspace.build_as_for_tests(&["--bin=cavansite-crash"])?;
    let server = match options.binary {
        Some(binary) => binary,
        None => suite.server(workspace)?,
    };
    let mut command = harness(workspace, suite, &server, options.dir.as_deref());
    Ok(command.args(options.arguments).status()?.success())
}

/// The attacks that CI makes, each of which is one check.
pub(crate) fn part_of_ci(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if !cfg!(target_os = "linux") {
        return Ok(Outcome::skipped("only Linux preloads libraries this way"));
    }
    if !process::exists("cc") {
        return Ok(Outcome::skipped("cc is not installed"));
    }
    workspace.build_as_for_tests(&["--bin=cavansite-crash"])?;
    let mut sum = Outcome::default();
    for (suite, arguments) in IN_CI {
        let server = suite.server(workspace)?;
        let mut command = harness(workspace, suite, &server, None);
        let one = Outcome::of(process::stream(command.args(arguments), |_| {})?);
        sum.passed += one.passed;
        sum.failed += one.failed;
    }
    Ok(sum)
}

fn harness(workspace: &Workspace, suite: Suite, server: &Path, dir: Option<&Path>) -> Command {
    let default = workspace.target().join("crash");
    let mut command = Command::new(workspace.target().join("debug/cavansite-crash"));
    command
        .arg("--binary")
        .arg(server)
        .arg("--library")
        .arg(workspace.root().join(LIBRARY))
        .arg("--dir")
        .arg(dir.unwrap_or(&default))
        .arg(suite.name());
    command
}

/// A server with the feature `fault-injection`, under a name of its own: the one without it is to
/// be what `target/debug/cavansite` is.
fn faulty_server(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let faulty = ["--bin=cavansite", "--features=cavansite/fault-injection"];
    workspace.build_as_for_tests(&faulty)?;
    let built = workspace.target().join("debug/cavansite");
    let kept = workspace.target().join("debug/cavansite-fault-injection");
    std::fs::copy(&built, &kept)?;
    workspace.build_as_for_tests(&["--bin=cavansite"])?;
    Ok(kept)
}
