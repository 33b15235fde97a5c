//! `cargo xtask specs`: what the client sends, against the published OpenAPI documents of every
//! version that it offers. They are not part of this repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::Args;

use crate::workspace::Workspace;

/// Options of `cargo xtask specs`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder with the documents: `chat-VERSION.json`, `identity-VERSION.json`,
    /// `common-VERSION.json`
    #[arg(long)]
    specs: PathBuf,
}

/// Whether all requests are as the documents have them.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    Ok(command(workspace, &options.specs)?.status()?.success())
}

/// The test that checks them against the documents in that folder.
pub(crate) fn command(workspace: &Workspace, folder: &Path) -> anyhow::Result<Command> {
    // Tests run elsewhere.
    let folder = std::fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
    let mut command = workspace.cargo(&["test", "--workspace", "--test=specs"]);
    command
        .args(["--locked", "--", "--include-ignored", "--nocapture"])
        .env("CAVANSITE_SPECS", folder);
    Ok(command)
}
