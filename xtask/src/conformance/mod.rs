//! `cargo xtask conformance`: official SDKs against the release binary.
//!
//! Each suite is a script under conformance/ that tells one conversation in two phases. It runs
//! against `cavansite dev` at one go, and against `cavansite serve --data` with the server
//! killed and started again between the phases. What comes out is compared with
//! conformance/expected.jsonl.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;

use crate::ci::Outcome as Count;
use crate::environment::{self, Environment};
use crate::workspace::Workspace;
use outcomes::{Line, Outcome, Verdict};
use server::Server;

mod outcomes;
mod repeats;
mod server;

/// What is expected, from the root.
const EXPECTED: &str = "conformance/expected.jsonl";
/// The matrix made from it.
const MATRIX: &str = "docs/compatibility.md";
/// Any free port.
const LISTEN: &str = "127.0.0.1:0";

/// Options of `cargo xtask conformance`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Take what comes out as expected from now on, and write the matrix
    #[arg(long)]
    write: bool,
    /// Run this suite only
    #[arg(long)]
    suite: Option<String>,
    /// Install missing system packages (as root, with apt-get)
    #[arg(long)]
    install: bool,
    /// The server to test, instead of the release build of this workspace
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// The language of a script.
#[derive(Debug, Clone, Copy)]
enum Language {
    Python,
    JavaScript,
}

/// A script and what it needs; all paths are below conformance/.
#[derive(Debug)]
struct Suite {
    name: &'static str,
    /// What the matrix calls it.
    title: &'static str,
    language: Language,
    /// The folder with the list of packages.
    packages: &'static str,
    script: &'static str,
    phases: [&'static str; 2],
    /// The server's profile.
    profile: &'static str,
}

const SUITES: [Suite; 11] = [
    Suite {
        name: "quickstart",
        title: "The Python chat quickstart of November 2020, azure-communication-chat 1.0.0b3",
        language: Language::Python,
        packages: "python-2020",
        script: "quickstart/quickstart.py",
        phases: ["send", "receive"],
        profile: "open",
    },
    Suite {
        name: "guide-2020",
        title: "The code of our quickstart in the API of 2020, azure-communication-chat 1.0.0b3",
        language: Language::Python,
        packages: "python-2020",
        script: "guide/guide.py",
        phases: ["2020-english", "2020-chinese"],
        profile: "open",
    },
    Suite {
        name: "guide-today",
        title: "The code of our quickstart in today's API, azure-communication-chat 1.3.0",
        language: Language::Python,
        packages: "python-today",
        script: "guide/guide.py",
        phases: ["today-english", "today-chinese"],
        profile: "open",
    },
    Suite {
        name: "identity-python",
        title: "Identity in Python, azure-communication-identity 1.5.0",
        language: Language::Python,
        packages: "python-today",
        script: "identity/identity.py",
        phases: ["issue", "revoke"],
        profile: "open",
    },
    Suite {
        name: "identity-js",
        title: "Identity in JavaScript, @azure/communication-identity 1.3.1",
        language: Language::JavaScript,
        packages: "js-today",
        script: "identity/identity.mjs",
        phases: ["issue", "revoke"],
        profile: "open",
    },
    Suite {
        name: "official-2020",
        title: "The official test files of the betas of 2020, unmodified, with `--profile azure`",
        language: Language::Python,
        packages: "python-2020-tests",
        script: "official/official.py",
        phases: [
            "azure-communication-administration==1.0.0b3",
            "azure-communication-chat==1.0.0b3",
        ],
        // They delete a user first and then, with that user's token, the thread.
        profile: "azure",
    },
    Suite {
        name: "official-today",
        title: "The official test files of today, unmodified",
        language: Language::Python,
        packages: "python-today-tests",
        script: "official/official.py",
        phases: [
            "azure-communication-identity==1.5.0",
            "azure-communication-chat==1.3.0",
        ],
        profile: "open",
    },
    Suite {
        name: "walk-2020",
        title: "A long thread walked while it changes, azure-communication-chat 1.0.0b3",
        language: Language::Python,
        packages: "python-2020-tests",
        script: "walk/walk.py",
        phases: ["fill", "walk"],
        profile: "open",
    },
    Suite {
        name: "walk-today",
        title: "A long thread walked while it changes, azure-communication-chat 1.3.0",
        language: Language::Python,
        packages: "python-today-tests",
        script: "walk/walk.py",
        phases: ["fill", "walk"],
        profile: "open",
    },
    Suite {
        name: "repeats",
        title: "Sends whose answer is lost, @azure/communication-chat 1.6.0",
        language: Language::JavaScript,
        packages: "js-today",
        script: "repeats/repeats.mjs",
        phases: repeats::PHASES,
        profile: "open",
    },
    Suite {
        name: "realtime",
        title: "Real-time notifications, @azure/communication-chat 1.6.0 in Node",
        language: Language::JavaScript,
        packages: "js-today",
        script: "realtime/realtime.mjs",
        phases: ["first", "again"],
        profile: "open",
    },
];

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
        suite: None,
        install,
        binary: None,
    };
    check(workspace, &options)
}

/// Runs the suites and compares; a check passes when its outcome is the expected one.
fn check(workspace: &Workspace, options: &Options) -> anyhow::Result<Count> {
    let mut count = Count::default();
    let mut found = Vec::new();
    let mut ran = BTreeSet::new();
    let chosen = |suite: &&Suite| options.suite.as_ref().is_none_or(|name| name == suite.name);
    for suite in SUITES.iter().filter(chosen) {
        match environment_of(workspace, suite, options.install)? {
            Environment::Missing(why) => count.skipped.push(format!("{}: {why}", suite.name)),
            Environment::Ready { program, folder } => {
                ran.insert(suite.name);
                let script = script_of(workspace, suite, &folder)?;
                found.extend(run_suite(workspace, options, suite, &program, &script)?);
            }
        }
    }
    let path = workspace.root().join(EXPECTED);
    if options.write {
        anyhow::ensure!(
            ran.len() == SUITES.len(),
            "every suite must run before the outcomes can be written"
        );
        std::fs::write(&path, outcomes::write(&found)?)?;
    }
    let text = std::fs::read_to_string(&path).with_context(|| EXPECTED.to_owned())?;
    let expected: Vec<Outcome> = outcomes::read(&text)?;
    let titles = SUITES.map(|suite| (suite.name, suite.title));
    let matrix = outcomes::matrix(&expected, &titles);
    let document = workspace.root().join(MATRIX);
    if options.write {
        std::fs::write(&document, &matrix)?;
    }
    let mut different = outcomes::differences(&expected, &found, &ran);
    count.passed += found.len().saturating_sub(different.len());
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

fn environment_of(
    workspace: &Workspace,
    suite: &Suite,
    install: bool,
) -> anyhow::Result<Environment> {
    let folder = workspace.root().join("conformance").join(suite.packages);
    match suite.language {
        Language::Python => {
            let requirements = folder.join("requirements.txt");
            environment::python(workspace, suite.packages, &requirements, install)
        }
        Language::JavaScript => {
            let manifest = folder.join("package.json");
            environment::npm(workspace, suite.packages, &manifest, install)
        }
    }
}

/// Where the script is run from: Node looks for packages beside the script, so it is copied to
/// where they are.
fn script_of(workspace: &Workspace, suite: &Suite, environment: &Path) -> anyhow::Result<PathBuf> {
    let script = workspace.root().join("conformance").join(suite.script);
    match (suite.language, script.file_name()) {
        (Language::JavaScript, Some(name)) => {
            let copy = environment.join(name);
            std::fs::copy(&script, &copy)?;
            Ok(copy)
        }
        _ => Ok(script),
    }
}

/// Both runs of a suite.
fn run_suite(
    workspace: &Workspace,
    options: &Options,
    suite: &Suite,
    program: &Path,
    script: &Path,
) -> anyhow::Result<Vec<Outcome>> {
    let default = workspace.release_binary("cavansite");
    // The scripts run in a folder of their own.
    let binary = &std::path::absolute(options.binary.as_ref().unwrap_or(&default))?;
    let mut found = Vec::new();
    if suite.phases == repeats::PHASES {
        let begin = Instant::now();
        let folder = fresh_folder(workspace, suite, "serve")?;
        let lines = repeats::run(binary, program, script, &folder)?;
        print(suite, "serve", &lines, begin.elapsed());
        found.extend(
            lines
                .iter()
                .map(|line| Outcome::of(suite.name, "serve", line)),
        );
        return Ok(found);
    }
    for run in ["dev", "serve"] {
        let begin = Instant::now();
        let folder = fresh_folder(workspace, suite, run)?;
        let tell =
            |server: &Server, phases: &[&str]| tell(server, program, script, &folder, phases);
        let mut lines = Vec::new();
        if run == "dev" {
            let server = Server::start(
                binary,
                &["dev", "--profile", suite.profile],
                LISTEN,
                &folder,
            )?;
            lines.extend(tell(&server, &suite.phases)?);
            server.stop()?;
        } else {
            let data = folder.join("data");
            let data = data.to_string_lossy();
            let arguments = ["serve", "--data", &data, "--profile", suite.profile];
            let server = Server::start(binary, &arguments, LISTEN, &folder)?;
            lines.extend(tell(&server, &suite.phases[..1])?);
            let listen = server.listen();
            server.kill()?;
            let server = Server::start(binary, &arguments, &listen, &folder)?;
            lines.extend(tell(&server, &suite.phases[1..])?);
            server.stop()?;
        }
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

/// Runs some phases of a script and reads what it found.
fn tell(
    server: &Server,
    program: &Path,
    script: &Path,
    folder: &Path,
    phases: &[&str],
) -> anyhow::Result<Vec<Line>> {
    let results = folder.join(format!("{}.jsonl", phases.join("-")));
    let status = server
        .client(program)
        .arg(script)
        .arg("--state")
        .arg(folder.join("state.json"))
        .arg("--results")
        .arg(&results)
        .args(phases)
        .current_dir(folder)
        .status()?;
    anyhow::ensure!(status.success(), "{} broke off: {status}", script.display());
    let text = std::fs::read_to_string(&results)?;
    outcomes::read(&text)
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
