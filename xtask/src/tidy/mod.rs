//! The project's own rules, checked from `cargo metadata` and the files alone.
//!
//! Each rule is a function from what it looks at to a list of faults, so that its tests can
//! plant a fault without touching the tree. What is allowed stands in three files:
//! `allowed.toml` (dependencies, each with its reason), `exceptions.toml` (sizes) and the
//! repository's deny.toml (licences and banned crates, shared with cargo-deny).

use std::collections::BTreeSet;

use anyhow::Context as _;

use crate::ci::Outcome;
use crate::workspace::Workspace;

mod dependencies;
mod documents;
mod graph;
mod licences;
mod machine_paths;
mod rust_version;
mod sizes;
mod tree;

/// What the rules found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rules: usize,
    broken: usize,
}

impl Report {
    /// Prints the faults of one rule and counts it.
    fn add(&mut self, rule: &str, faults: &[String]) {
        self.rules += 1;
        self.broken += usize::from(!faults.is_empty());
        for fault in faults {
            println!("{rule}: {fault}");
        }
    }

    /// Each rule is one check.
    pub(crate) fn into_outcome(self) -> Outcome {
        Outcome {
            passed: self.rules - self.broken,
            failed: self.broken,
            ..Outcome::default()
        }
    }
}

/// `cargo xtask tidy`; `false` when a rule is broken.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let report = check(workspace, false)?;
    println!("{} rules, {} broken", report.rules, report.broken);
    Ok(report.broken == 0)
}

/// Applies every rule and prints the faults. On CI the toolchain itself is checked as well.
pub(crate) fn check(workspace: &Workspace, on_ci: bool) -> anyhow::Result<Report> {
    let tree = tree::Tree::read(workspace.root())?;
    let graph = graph::Graph::of(workspace.metadata(), &built(workspace)?)?;
    let allowed: dependencies::Allowed =
        toml::from_str(include_str!("allowed.toml")).context("allowed.toml")?;
    let exceptions: sizes::Exceptions =
        toml::from_str(include_str!("exceptions.toml")).context("exceptions.toml")?;
    let deny = tree.text("deny.toml").context("deny.toml is missing")?;
    let policy: licences::Policy = toml::from_str(deny).context("deny.toml")?;

    let mut report = Report::default();
    report.add("dependencies", &dependencies::undeclared(&graph, &allowed));
    report.add("placement", &dependencies::misplaced(&graph, &allowed));
    report.add("licences", &licences::refused(&graph, &policy)?);
    report.add("banned", &licences::banned(&graph, &policy));
    report.add("sizes", &sizes::oversized(&tree, &exceptions)?);
    report.add("module headers", &documents::headless_modules(&tree));
    report.add("documents", &documents::missing_paths(&tree));
    report.add("behaviour", &documents::missing_tests(&tree));
    report.add("machine paths", &machine_paths::found(&tree));
    let toolchain = if on_ci {
        Some(rust_version::toolchain()?)
    } else {
        None
    };
    let versions = rust_version::disagreements(&graph, &tree, toolchain.as_deref());
    report.add("rust version", &versions);
    Ok(report)
}

/// The names of all packages in the build, on any platform, tests aside.
fn built(workspace: &Workspace) -> anyhow::Result<BTreeSet<String>> {
    let arguments = [
        "tree",
        "--workspace",
        "--locked",
        "--target=all",
        "--edges=normal,build",
        "--prefix=none",
        "--format={p}",
    ];
    let output = workspace.cargo(&arguments).output()?;
    anyhow::ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect())
}
