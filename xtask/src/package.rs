//! `cargo xtask package`: what would be published.

use std::path::Path;

use clap::Args;

use crate::workspace::Workspace;

/// What every published crate has beside its code.
const NEEDED: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Options of `cargo xtask package`.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Build each package from its own files alone, as `cargo publish --dry-run` does; asks the
    /// registry
    #[arg(long)]
    verify: bool,
}

/// Whether each crate that is published can be packed and has what it needs; prints what is wrong.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<bool> {
    let mut faults = Vec::new();
    for package in workspace.metadata().workspace_packages() {
        // `publish = false` is an empty list of registries.
        if package.publish.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let output = workspace
            .cargo(&[
                "package",
                "--list",
                "--allow-dirty",
                "--locked",
                "--package",
            ])
            .arg(package.name.as_str())
            .output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            faults.push(format!("{} cannot be packed: {}", package.name, why.trim()));
            continue;
        }
        let files = String::from_utf8_lossy(&output.stdout);
        println!("{}: {} files", package.name, files.lines().count());
        faults.extend(missing(&package.name, &files));
    }
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() && options.verify {
        let status = workspace
            .cargo(&["publish", "--dry-run", "--workspace", "--locked"])
            .status()?;
        return Ok(status.success());
    }
    Ok(faults.is_empty())
}

/// What a package lacks of what it needs.
fn missing(name: &str, files: &str) -> Vec<String> {
    let needed = NEEDED.iter().filter(|needed| {
        let mut files = files.lines().map(Path::new);
        !files.any(|file| file == Path::new(needed))
    });
    needed
        .map(|needed| format!("{name} has no {needed}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_without_its_licences_or_its_front_page_is_at_fault() {
        let files = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        assert_eq!(missing("a", files), [""; 0]);
        let files = "Cargo.toml\nLICENSE-MIT\nsrc/README.md\n";
        let expected = ["a has no LICENSE-APACHE", "a has no README.md"];
        assert_eq!(missing("a", files), expected);
    }
}
