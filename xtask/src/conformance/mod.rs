//! `cargo xtask conformance`: official SDKs against the release binary.
//!
//! Each suite is a script under conformance/, most of which tell one conversation in two phases:
//! against `cavansite dev` at one go, and against `cavansite serve --data` with the server
//! killed and started again between the phases. What comes out is compared with
//! conformance/expected.jsonl.
//!
//! The suites in a browser run where there is one, those in Java where there is a JDK with Maven;
//! with `--all` they must.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use crate::ci::Outcome as Count;
use crate::workspace::Workspace;
use outcomes::{Line, Outcome, Verdict};
use script::{Found, Script};
use server::Server;
use suites::{Course, SUITES, Suite};

mod outcomes;
mod script;
mod server;
mod steered;
mod suites;

/// What is expected, from the root.
const EXPECTED: &str = "conformance/expected.jsonl";
/// The matrix made from it.
const MATRIX: &str = "docs/compatibility.md";
/// Any free port.
const LISTEN: &str = "127.0.0.1:0";

/// Options of `cargo xtask conformance`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Take what comes out as expected from now on, of the suites that run, and write the matrix
    #[arg(long)]
    write: bool,
    /// Run this suite only; may be given more than once
    #[arg(long)]
    suite: Vec<String>,
    /// Run every suite: what cannot run here is a failure, those in a browser and in Java included
    #[arg(long)]
    all: bool,
    /// Install missing system packages (as root, with apt-get)
    #[arg(long)]
    install: bool,
    /// The server to test, instead of the release build of this workspace
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// `cargo xtask conformance`: builds the server and runs the suites.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    if options.binary.is_none() {
        let status = workspace
            .cargo(&["build", "--release", "--locked"])
            .status()?;
        anyhow::ensure!(status.success(), "the server does not build");
    }
    let count = check(workspace, options)?;
    for why in &count.skipped {
        println!("skipped: {why}");
    }
    println!("{} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

/// As a part of `cargo xtask ci`, where the server has just been built.
pub(crate) fn part_of_ci(workspace: &Workspace, install: bool) -> anyhow::Result<Count> {
    let options = Options {
        write: false,
        suite: Vec::new(),
        all: false,
        install,
        binary: None,
    };
    check(workspace, &options)
}

/// Makes the environments of the suites that CI runs, ahead of time. What cannot be made is told
/// when they run.
pub(crate) fn make_environments(workspace: &Workspace, install: bool) {
    for suite in &SUITES {
        if let Err(error) = Script::of(workspace, suite, install, false) {
            println!("{}: {error:#}", suite.name);
        }
    }
}

/// Runs the suites and compares; a check passes when its outcome is the expected one.
fn check(workspace: &Workspace, options: &Options) -> anyhow::Result<Count> {
    for name in &options.suite {
        let known = SUITES.iter().any(|suite| suite.name == name);
        anyhow::ensure!(known, "there is no suite {name}");
    }
    // The example of the Rust client, which some scripts start.
    workspace.build_as_for_tests(&[])?;
    let mut count = Count::default();
    let mut ready = VecDeque::new();
    let mut different = Vec::new();
    let chosen = |suite: &&Suite| {
        options.suite.is_empty() || options.suite.iter().any(|name| name == suite.name)
    };
    for suite in SUITES.iter().filter(chosen) {
        match Script::of(workspace, suite, options.install, options.all)? {
            Found::Ready(script) => ready.push_back((suite, script)),
            Found::Missing(why) | Found::LeftOut(why) if options.all => {
                different.push(format!("{}: {why}", suite.name));
            }
            Found::LeftOut(why) => println!("left out: {}: {why}", suite.name),
            Found::Missing(why) => count.skipped.push(format!("{}: {why}", suite.name)),
        }
    }
    let ran = ready.iter().map(|(suite, _)| suite.name).collect();
    let found = run_suites(workspace, options, ready)?;
    let path = workspace.root().join(EXPECTED);
    let text = std::fs::read_to_string(&path).with_context(|| EXPECTED.to_owned())?;
    let mut expected: Vec<Outcome> = outcomes::read(&text)?;
    if options.write {
        let names = SUITES.map(|suite| suite.name);
        expected = outcomes::take(expected, &found, &ran, &names);
        std::fs::write(&path, outcomes::write(&expected)?)?;
    }
    let titles = SUITES.map(|suite| (suite.name, suite.title));
    let matrix = outcomes::matrix(&expected, &titles);
    let document = workspace.root().join(MATRIX);
    if options.write {
        std::fs::write(&document, &matrix)?;
    }
    let outcomes_differ = outcomes::differences(&expected, &found, &ran);
    count.passed += found.len().saturating_sub(outcomes_differ.len());
    different.extend(outcomes_differ);
    if std::fs::read_to_string(&document).is_ok_and(|text| text == matrix) {
        count.passed += 1;
    } else {
        different.push(format!("{MATRIX} is not what {EXPECTED} gives"));
    }
    for difference in &different {
        println!("DIFFERENT  {difference}");
    }
    count.failed += different.len();
    count.failures = different;
    Ok(count)
}

/// Suites that are ready to run.
type Waiting = VecDeque<(&'static Suite, Script)>;

/// Runs suites, two at a time, one after the other from both ends: those at the end of the list
/// wait much, those at its start compute. When one breaks off no further one begins.
fn run_suites(
    workspace: &Workspace,
    options: &Options,
    suites: Waiting,
) -> anyhow::Result<Vec<Outcome>> {
    let waiting = Mutex::new(suites);
    let lock = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let run_all = |end: fn(&mut Waiting) -> _| {
        let next = || end(&mut lock());
        let mut found = Vec::new();
        while let Some((suite, script)) = next() {
            match run_suite(workspace, options, suite, &script) {
                Ok(outcomes) => found.extend(outcomes),
                Err(error) => {
                    lock().clear();
                    return Err(error.context(suite.name));
                }
            }
        }
        Ok(found)
    };
    let (first, last) = std::thread::scope(|scope| {
        let last = scope.spawn(|| run_all(VecDeque::pop_back));
        (run_all(VecDeque::pop_front), last.join())
    });
    let last = last.map_err(|_| anyhow::anyhow!("a suite panicked"))?;
    Ok([first?, last?].concat())
}

/// All runs of a suite.
fn run_suite(
    workspace: &Workspace,
    options: &Options,
    suite: &Suite,
    script: &Script,
) -> anyhow::Result<Vec<Outcome>> {
    let default = workspace.release_binary("cavansite");
    // The scripts run in a folder of their own.
    let binary = &std::path::absolute(options.binary.as_ref().unwrap_or(&default))?;
    let runs: &[&str] = match suite.course {
        Course::Told(_) => &["dev", "serve"],
        Course::Steered(_) => &["serve"],
    };
    let mut found = Vec::new();
    for run in runs {
        let begin = Instant::now();
        let folder = fresh_folder(workspace, suite, run)?;
        let lines = match (suite.course, *run) {
            (Course::Steered(phases), _) => steered::run(binary, script, phases, &folder)?,
            (Course::Told(phases), "dev") => {
                let arguments = ["dev", "--profile", suite.profile];
                let server = Server::start(binary, &arguments, LISTEN, &folder)?;
                let lines = script.tell(&server, &folder, &phases)?;
                server.stop()?;
                lines
            }
            (Course::Told([before, after]), _) => {
                let data = folder.join("data");
                let data = data.to_string_lossy();
                let arguments = ["serve", "--data", &data, "--profile", suite.profile];
                let server = Server::start(binary, &arguments, LISTEN, &folder)?;
                let mut lines = script.tell(&server, &folder, &[before])?;
                let listen = server.listen();
                server.kill()?;
                let server = Server::start(binary, &arguments, &listen, &folder)?;
                lines.extend(script.tell(&server, &folder, &[after])?);
                server.stop()?;
                lines
            }
        };
        print(suite, run, &lines, begin.elapsed());
        found.extend(lines.iter().map(|line| Outcome::of(suite.name, run, line)));
    }
    Ok(found)
}

/// An empty folder for all that a run writes.
fn fresh_folder(workspace: &Workspace, suite: &Suite, run: &str) -> anyhow::Result<PathBuf> {
    let suites = workspace.target().join("conformance");
    let folder = suites.join(suite.name).join(run);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// One line for a run; of single checks only those that failed are worth reading, and which of
/// these are expected is told at the end.
fn print(suite: &Suite, run: &str, lines: &[Line], took: Duration) {
    let failed = lines.iter().filter(|line| line.verdict == Verdict::Fail);
    println!(
        "{} {run}: {} checks, {} failed, {:.1} s",
        suite.name,
        lines.len(),
        failed.count(),
        took.as_secs_f64()
    );
}
