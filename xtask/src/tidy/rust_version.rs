//! One Rust version: in Cargo.toml, in the README, and on CI.

use std::process::Command;

use anyhow::Context as _;

use super::graph::Graph;
use super::tree::Tree;

/// What `rustc --version` says here.
pub(super) fn toolchain() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.context("rustc --version")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Places that name another version than the workspace; the toolchain is given on CI only,
/// because a developer may well have a newer one.
pub(super) fn disagreements(graph: &Graph, tree: &Tree, toolchain: Option<&str>) -> Vec<String> {
    let mut faults = Vec::new();
    let Some(version) = graph
        .members()
        .find_map(|member| member.rust_version.as_deref())
    else {
        return vec!["no crate declares a rust-version".to_owned()];
    };
    for member in graph.members() {
        if member.rust_version.as_deref() != Some(version) {
            faults.push(format!("{} does not declare {version}", member.name));
        }
    }
    let release = version.strip_suffix(".0").unwrap_or(version);
    if !tree
        .text("README.md")
        .is_some_and(|text| text.contains(&format!("Rust {release}")))
    {
        faults.push(format!("README.md does not say: Rust {release}"));
    }
    if let Some(found) = toolchain
        && !found.starts_with(&format!("rustc {release}."))
    {
        faults.push(format!("CI runs {found}; Cargo.toml says {version}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::member;
    use super::*;

    fn graph() -> Graph {
        Graph {
            packages: vec![member("cavansite", &[], &[]), member("xtask", &[], &[])],
        }
    }

    #[test]
    fn a_crate_a_readme_or_a_toolchain_of_another_version_is_a_fault() {
        let tree = Tree::of(&[("README.md", "Needs Rust 1.95 and a C compiler.")]);
        assert_eq!(
            disagreements(&graph(), &tree, Some("rustc 1.95.0 (abc)")),
            [""; 0]
        );

        let faults = disagreements(&graph(), &tree, Some("rustc 1.96.1 (abc)"));
        assert_eq!(faults, ["CI runs rustc 1.96.1 (abc); Cargo.toml says 1.95"]);

        let old = Tree::of(&[("README.md", "Needs Rust 1.85.")]);
        assert_eq!(
            disagreements(&graph(), &old, None),
            ["README.md does not say: Rust 1.95"]
        );

        let mut graph = graph();
        graph.packages[1].rust_version = None;
        assert_eq!(
            disagreements(&graph, &tree, None),
            ["xtask does not declare 1.95"]
        );
    }
}
