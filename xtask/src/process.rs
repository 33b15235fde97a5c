//! Child processes whose output is shown and read at the same time.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;

/// What a tool that starts servers needs to know (`bench`, `crash`).
#[derive(Debug, clap::Args)]
pub(crate) struct ToolOptions {
    /// A folder on a real disk [default: one of the tool's name in the target folder]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// The server to start, instead of one of this workspace
    #[arg(long)]
    pub(crate) binary: Option<PathBuf>,
    /// Passed to the tool; after `--`, `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Runs the command, prints its standard output line by line and hands each line to `read`.
/// Standard error goes straight through. Returns whether the command succeeded.
pub(crate) fn stream(command: &mut Command, mut read: impl FnMut(&str)) -> anyhow::Result<bool> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.with_context(|| format!("reading from {name}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            read(&line);
        }
    }
    let status = child
        .wait()
        .with_context(|| format!("waiting for {name}"))?;
    Ok(status.success())
}

/// Whether a program can be started at all: `name --version` succeeds.
pub(crate) fn exists(name: &str) -> bool {
    Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
