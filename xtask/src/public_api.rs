//! `cargo xtask public-api`: what the client promises to programs, item by item, in a file that
//! changes with it, so that a change is seen and meant.
//!
//! The list is made from rustdoc's JSON, which rustdoc writes on a stable toolchain only when it is
//! told that instability is no matter; `xtask/rustdoc-json` tells it.

use anyhow::Context as _;
use clap::Args;

use crate::workspace::Workspace;

/// The list, from the root.
const LIST: &str = "crates/cavansite-client/public-api.txt";

/// Options of `cargo xtask public-api`.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Take what there is as promised from now on
    #[arg(long)]
    write: bool,
}

/// Whether the list is that of the crate; prints what is not.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    let status = workspace
        .cargo(&["rustdoc", "--package=cavansite-client", "--lib", "--locked"])
        .args(["--", "-Z", "unstable-options", "--output-format=json"])
        .env("RUSTDOC", workspace.root().join("xtask/rustdoc-json"))
        .env_remove("RUSTDOCFLAGS")
        .status()?;
    anyhow::ensure!(status.success(), "rustdoc failed");
    let json = workspace.target().join("doc/cavansite_client.json");
    // What every type has, and what derives and the compiler write, would double the list.
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    let found = format!("{api}\n");
    let path = workspace.root().join(LIST);
    if options.write {
        std::fs::write(&path, &found)?;
    }
    let listed = std::fs::read_to_string(&path).context(LIST)?;
    for change in changes(&listed, &found) {
        println!("{change}");
    }
    if listed != found {
        println!("{LIST} is not what the crate has: cargo xtask public-api --write");
    }
    Ok(listed == found)
}

/// Lines that are in one of two lists only, marked as in a diff.
fn changes(listed: &str, found: &str) -> Vec<String> {
    let missing = |from: &str, of: &str, mark: char| {
        let lines: std::collections::BTreeSet<&str> = of.lines().collect();
        let missing = from.lines().filter(|line| !lines.contains(line));
        missing
            .map(|line| format!("{mark}{line}"))
            .collect::<Vec<_>>()
    };
    let mut changes = missing(listed, found, '-');
    changes.extend(missing(found, listed, '+'));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_that_came_and_one_that_went_are_changes() {
        let listed = "pub fn a()\npub fn b()\n";
        assert_eq!(changes(listed, listed), [""; 0]);
        let found = "pub fn a()\npub fn b(u8)\n";
        assert_eq!(changes(listed, found), ["-pub fn b()", "+pub fn b(u8)"]);
    }
}
