//! `cargo xtask coverage`: which lines of the client its tests run.
//!
//! The compiler counts (`-C instrument-coverage`); LLVM's tools of the compiler's own version read
//! the counts. They come with `rustup component add llvm-tools`, or as Debian's `llvm-22`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cargo_metadata::Message;
use clap::Args;

use crate::workspace::Workspace;

/// What is measured, from the root.
const SOURCES: &str = "crates/cavansite-client/src";
/// The tests that count: the client's own, and those against the real server.
const TESTS: [&[&str]; 2] = [
    &["--package=cavansite-client", "--lib", "--tests"],
    &["--package=cavansite", "--test=client"],
];

/// Options of `cargo xtask coverage`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Percent of the lines that must be run
    #[arg(long, default_value_t = 90.0)]
    least: f64,
    /// Name the lines that are not run
    #[arg(long)]
    missed: bool,
}

/// Runs the tests and reports; whether enough was run.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    let [profdata, cov] = ["profdata", "cov"].map(tool);
    let (profdata, cov) = (profdata?, cov?);
    let folder = workspace.target().join("coverage");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut programs = Vec::new();
    for tests in TESTS {
        programs.extend(run_tests(workspace, tests, &folder)?);
    }
    let counts = folder.join("all.profdata");
    let mut merge = Command::new(profdata);
    merge.args(["merge", "--sparse", "--output"]).arg(&counts);
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "profraw")
        {
            merge.arg(path);
        }
    }
    anyhow::ensure!(merge.status()?.success(), "llvm-profdata failed");
    let mut export = Command::new(cov);
    export
        .args(["export", "--format=lcov", "--instr-profile"])
        .arg(counts);
    for program in &programs {
        export.arg("--object").arg(program);
    }
    export.arg("--sources").arg(workspace.root().join(SOURCES));
    let output = export.output()?;
    let problem = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "llvm-cov: {problem}");
    report(
        &String::from_utf8(output.stdout)?,
        workspace.root(),
        options,
    )
}

/// Builds and runs tests with counters; gives their programs.
fn run_tests(workspace: &Workspace, tests: &[&str], folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let counted = |arguments: &[&str]| {
        let mut command = workspace.cargo(&["test", "--locked"]);
        command
            .args(tests)
            .args(arguments)
            .env(
                "RUSTC_WORKSPACE_WRAPPER",
                workspace.root().join("xtask/rustc-coverage"),
            )
            .env("LLVM_PROFILE_FILE", folder.join("%p-%m.profraw"));
        command
    };
    let build = counted(&["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(build.status.success(), "the tests do not build");
    let mut programs = Vec::new();
    for message in Message::parse_stream(build.stdout.as_slice()) {
        if let Message::CompilerArtifact(artifact) = message? {
            programs.extend(artifact.executable.map(PathBuf::from));
        }
    }
    anyhow::ensure!(counted(&[]).status()?.success(), "the tests fail");
    Ok(programs)
}

/// A tool of the LLVM that the compiler is built on.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let rustc = |argument: &str| -> anyhow::Result<String> {
        let output = Command::new("rustc").args(argument.split(' ')).output()?;
        Ok(String::from_utf8(output.stdout)?)
    };
    let about = rustc("--version --verbose")?;
    let value = |name: &str| {
        let found = about.lines().find_map(|line| line.strip_prefix(name));
        found.with_context(|| format!("rustc does not say its {name}"))
    };
    let component = Path::new(rustc("--print sysroot")?.trim())
        .join("lib/rustlib")
        .join(value("host: ")?)
        .join("bin")
        .join(format!("llvm-{name}"));
    let version = value("LLVM version: ")?
        .split('.')
        .next()
        .unwrap_or_default();
    let system = format!("llvm-{name}-{version}");
    if component.exists() {
        Ok(component)
    } else if crate::process::exists(&system) {
        Ok(system.into())
    } else {
        anyhow::bail!("rustup component add llvm-tools, or apt-get install llvm-{version}")
    }
}

/// Lines of a file: whether each was run.
type Lines = BTreeMap<usize, bool>;

fn report(lcov: &str, root: &Path, options: &Options) -> anyhow::Result<bool> {
    let mut files = read(lcov)?;
    for (path, lines) in &mut files {
        let text = std::fs::read_to_string(path).with_context(|| path.clone())?;
        leave_out_tests(&text, lines);
    }
    files.retain(|_, lines| !lines.is_empty());
    let (mut all, mut run) = (0, 0);
    for (path, lines) in &files {
        let own = lines.values().filter(|run| **run).count();
        (all, run) = (all + lines.len(), run + own);
        let path = Path::new(path);
        let path = path.strip_prefix(root).unwrap_or(path).display();
        println!(
            "{:>6.1} %  {own:>4} of {:>4}  {path}",
            percent(own, lines.len()),
            lines.len()
        );
        let missed = lines
            .iter()
            .filter(|(_, run)| !**run)
            .map(|(line, _)| *line);
        let missed: BTreeSet<usize> = missed.collect();
        if options.missed && !missed.is_empty() {
            println!("          not run: {missed:?}");
        }
    }
    anyhow::ensure!(all > 0, "nothing was counted");
    println!("{:>6.1} %  {run:>4} of {all:>4}  lines", percent(run, all));
    Ok(percent(run, all) >= options.least)
}

#[expect(clippy::cast_precision_loss, reason = "a share of some thousand lines")]
fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// Reads `SF:FILE` and `DA:LINE,COUNT`.
fn read(lcov: &str) -> anyhow::Result<BTreeMap<String, Lines>> {
    let mut files: BTreeMap<String, Lines> = BTreeMap::new();
    let mut file = String::new();
    for record in lcov.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            path.clone_into(&mut file);
        } else if let Some(count) = record.strip_prefix("DA:") {
            let (line, count) = count.split_once(',').context("a count without its line")?;
            let run = files.entry(file.clone()).or_default();
            *run.entry(line.parse()?).or_default() |= count != "0";
        }
    }
    Ok(files)
}

/// Tests stand at the end of a file and do not count as what they test.
fn leave_out_tests(text: &str, lines: &mut Lines) {
    if let Some(at) = text.lines().position(|line| line == "#[cfg(test)]") {
        lines.retain(|line, _| *line <= at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_run_when_any_program_has_run_it() {
        let lcov = "SF:a.rs\nDA:1,0\nDA:2,0\nend_of_record\nSF:a.rs\nDA:1,3\nend_of_record\n";
        let files = read(lcov).unwrap();
        assert_eq!(files["a.rs"], Lines::from([(1, true), (2, false)]));
    }

    #[test]
    fn lines_of_the_tests_in_a_file_do_not_count() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let mut lines = Lines::from([(1, false), (5, true)]);
        leave_out_tests(text, &mut lines);
        assert_eq!(lines, Lines::from([(1, false)]));
    }
}
