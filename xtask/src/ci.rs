//! `cargo xtask ci`: every check, one after the other, and a table at the end.
//!
//! A part that fails does not stop the others. A part that cannot run on this machine is
//! reported as skipped with the reason; with `--install` what is missing is installed, and a
//! part that is skipped all the same is a failure.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;

use crate::conformance;
use crate::crash;
use crate::package;
use crate::process;
use crate::public_api;
use crate::specs;
use crate::tidy;
use crate::workspace::Workspace;

/// Options of `cargo xtask ci`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Install missing system packages (as root, with apt-get); a skipped part then fails
    #[arg(long)]
    install: bool,
    /// Run these parts only, separated by commas
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Where the published OpenAPI documents are; without it nothing is compared with them
    #[arg(long)]
    specs: Option<PathBuf>,
}

/// What CI does, in this order: what fails fastest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Fmt,
    Tidy,
    Clippy,
    Test,
    Specs,
    Doc,
    PublicApi,
    Package,
    Release,
    Crash,
    Conformance,
}

impl Part {
    const ALL: [Self; 11] = [
        Self::Fmt,
        Self::Tidy,
        Self::Clippy,
        Self::Test,
        Self::Specs,
        Self::Doc,
        Self::PublicApi,
        Self::Package,
        Self::Release,
        Self::Crash,
        Self::Conformance,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Specs => "specs",
            Self::Doc => "doc",
            Self::PublicApi => "public-api",
            Self::Package => "package",
            Self::Release => "release",
            Self::Crash => "crash",
            Self::Conformance => "conformance",
        }
    }

    fn run(self, workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
        match self {
            Self::Fmt if !process::exists("rustfmt") => {
                Ok(Outcome::skipped("rustfmt is not installed"))
            }
            Self::Fmt => cargo(workspace, &["fmt", "--all", "--check"]),
            Self::Tidy => Ok(tidy::check(workspace, options.install)?.into_outcome()),
            Self::Clippy if !process::exists("cargo-clippy") => {
                Ok(Outcome::skipped("clippy is not installed"))
            }
            Self::Clippy => cargo(
                workspace,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--locked",
                    "--",
                    "-D",
                    "warnings",
                ],
            ),
            Self::Test => {
                let arguments = ["test", "--workspace", "--locked", "--no-fail-fast"];
                test(workspace.cargo(&arguments))
            }
            Self::Specs => {
                let Some(folder) = &options.specs else {
                    // They are not everywhere: this is no part that a machine lacks.
                    println!("not asked for: --specs");
                    return Ok(Outcome::default());
                };
                test(specs::command(workspace, folder)?)
            }
            Self::Doc => {
                // Private items too: the readers of these documents work on the code.
                let arguments = [
                    "doc",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ];
                let mut command = quiet(workspace.cargo(&arguments));
                let lints = "-D warnings -A rustdoc::private-intra-doc-links";
                command.arg("--locked").env("RUSTDOCFLAGS", lints);
                Ok(Outcome::of(process::stream(&mut command, |_| {})?))
            }
            Self::PublicApi => {
                public_api::run(workspace, &public_api::Options::default()).map(Outcome::of)
            }
            Self::Package => package::run(workspace, &package::Options::default()).map(Outcome::of),
            Self::Release => std::thread::scope(|scope| {
                // Its last minutes take one core, and fetching takes none.
                scope.spawn(|| conformance::make_environments(workspace, options.install));
                cargo(workspace, &["build", "--release", "--locked"])
            }),
            Self::Crash => crash::part_of_ci(workspace),
            Self::Conformance => conformance::part_of_ci(workspace, options.install),
        }
    }
}

/// What became of a part.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Checks that held.
    pub(crate) passed: usize,
    /// Checks that did not.
    pub(crate) failed: usize,
    /// Those of `failed` that have a name, told again at the end.
    pub(crate) failures: Vec<String>,
    /// Names and reasons of what could not run here.
    pub(crate) skipped: Vec<String>,
}

impl Outcome {
    /// One check.
    pub(crate) fn of(held: bool) -> Self {
        Self {
            passed: usize::from(held),
            failed: usize::from(!held),
            ..Self::default()
        }
    }

    /// Nothing ran, because of this.
    pub(crate) fn skipped(why: &str) -> Self {
        Self {
            skipped: vec![why.to_owned()],
            ..Self::default()
        }
    }

    fn verdict(&self, install: bool) -> &'static str {
        if self.failed > 0 || (install && !self.skipped.is_empty()) {
            "FAILED"
        } else if self.passed == 0 {
            "skipped"
        } else {
            "ok"
        }
    }
}

/// Runs the chosen parts; `false` when any of them failed.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> bool {
    let begin = Instant::now();
    let mut rows = Vec::new();
    for part in Part::ALL {
        if !options.only.is_empty() && !options.only.contains(&part) {
            continue;
        }
        println!("== {} ==", part.name());
        let begin = Instant::now();
        let outcome = part.run(workspace, options).unwrap_or_else(|error| {
            println!("{error:#}");
            Outcome {
                failures: vec![format!("{error:#}")],
                ..Outcome::of(false)
            }
        });
        let took = begin.elapsed();
        for why in &outcome.skipped {
            println!("skipped: {}: {why}", part.name());
        }
        println!("== {}: {:.1} s ==\n", part.name(), took.as_secs_f64());
        rows.push((part.name(), took, outcome));
    }
    close(&rows, begin.elapsed(), options.install)
}

/// Prints the table and the closing line; `true` when all is well.
fn close(rows: &[(&str, Duration, Outcome)], total: Duration, install: bool) -> bool {
    println!(
        "{:<12} {:>8} {:>7} {:>7}",
        "part", "seconds", "passed", "failed"
    );
    for (name, took, outcome) in rows {
        println!(
            "{name:<12} {:>8.1} {:>7} {:>7}  {}",
            took.as_secs_f64(),
            outcome.passed,
            outcome.failed,
            outcome.verdict(install),
        );
    }
    println!("{:<12} {:>8.1}", "all", total.as_secs_f64());
    for (name, _, outcome) in rows {
        for why in &outcome.skipped {
            println!("skipped: {name}: {why}");
        }
    }
    for (name, _, outcome) in rows {
        for what in &outcome.failures {
            println!("failed: {name}: {what}");
        }
    }
    let sum = closing_sum(rows.iter().map(|(_, _, outcome)| outcome), install);
    println!("{} passed, {} failed", sum.passed, sum.failed);
    sum.failed == 0
}

/// Adds the parts up; with `install` each skipped part counts as failed.
fn closing_sum<'a>(outcomes: impl Iterator<Item = &'a Outcome>, install: bool) -> Outcome {
    let mut sum = Outcome::default();
    for outcome in outcomes {
        sum.passed += outcome.passed;
        sum.failed += outcome.failed;
        if install {
            sum.failed += outcome.skipped.len();
        }
    }
    sum
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<Outcome> {
    let mut command = quiet(workspace.cargo(arguments));
    Ok(Outcome::of(process::stream(&mut command, |_| {})?))
}

/// In a log nobody watches the progress: there only what went wrong is worth a line.
fn quiet(mut command: Command) -> Command {
    if !std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_QUIET", "true");
    }
    command
}

/// `cargo test`, counting what its test programs report.
fn test(command: Command) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut command = quiet(command);
    let held = process::stream(&mut command, |line| {
        if let Some((passed, failed)) = read_test_result(line) {
            outcome.passed += passed;
            outcome.failed += failed;
        }
        outcome.failures.extend(read_failed_test(line));
    })?;
    if !held && outcome.failed == 0 {
        // It did not build, or a test program died before it could report.
        outcome.failed = 1;
    }
    Ok(outcome)
}

/// Reads `test result: ok. 12 passed; 0 failed; …`.
fn read_test_result(line: &str) -> Option<(usize, usize)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let mut fields = counts.split("; ");
    let passed = fields.next()?.strip_suffix(" passed")?.parse().ok()?;
    let failed = fields.next()?.strip_suffix(" failed")?.parse().ok()?;
    Some((passed, failed))
}

/// Reads `test name ... FAILED`, or `name --- FAILED` as the quiet form has it.
fn read_failed_test(line: &str) -> Option<String> {
    let name = line.strip_suffix(" FAILED")?;
    let name = name.strip_suffix(" ---").or(name.strip_suffix(" ..."))?;
    Some(name.trim_start_matches("test ").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_failed_test_is_read_in_both_forms() {
        let name = Some("tls::a_leaf_is_renewed".to_owned());
        assert_eq!(
            read_failed_test("test tls::a_leaf_is_renewed ... FAILED"),
            name
        );
        assert_eq!(read_failed_test("tls::a_leaf_is_renewed --- FAILED"), name);
        assert_eq!(read_failed_test("test result: FAILED. 3 passed"), None);
    }

    #[test]
    fn the_counts_of_a_test_program_are_read_whether_it_passed_or_failed() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let bad = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured";
        assert_eq!(read_test_result(ok), Some((12, 0)));
        assert_eq!(read_test_result(bad), Some((3, 2)));
        assert_eq!(read_test_result("running 12 tests"), None);
    }

    #[test]
    fn a_skipped_part_fails_only_when_installing_was_asked_for() {
        let parts = [Outcome::of(true), Outcome::skipped("no such program")];
        assert_eq!(closing_sum(parts.iter(), false).failed, 0);
        assert_eq!(closing_sum(parts.iter(), true).failed, 1);
        assert_eq!(parts[1].verdict(false), "skipped");
        assert_eq!(parts[1].verdict(true), "FAILED");
    }
}
