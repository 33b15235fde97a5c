//! The packages of the build as the dependency rules need them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, Metadata};

/// A package and what it asks for.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// Its name, as in its Cargo.toml.
    pub(super) name: String,
    /// Its licence expression.
    pub(super) licence: Option<String>,
    /// Whether it belongs to the workspace.
    pub(super) member: bool,
    /// The minimum Rust version that it declares.
    pub(super) rust_version: Option<String>,
    /// Names that its Cargo.toml asks for, of any kind.
    pub(super) declared: BTreeSet<String>,
    /// Names that its Cargo.toml asks for outside its tests.
    pub(super) built_with: BTreeSet<String>,
    /// Packages that are built into it or run to build it, as resolved (indices).
    pub(super) edges: Vec<usize>,
}

/// All packages of the workspace's lock file that the resolution uses.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
}

impl Graph {
    /// Reads cargo's description. `built` lists what `cargo tree` finds in the build: the
    /// description also has edges to optional crates that no feature turns on.
    pub(super) fn of(metadata: &Metadata, built: &BTreeSet<String>) -> anyhow::Result<Self> {
        let resolve = metadata.resolve.as_ref().context("no resolved graph")?;
        let index: BTreeMap<_, _> = metadata
            .packages
            .iter()
            .enumerate()
            .map(|(at, package)| (&package.id, at))
            .collect();
        let mut packages: Vec<Package> = metadata
            .packages
            .iter()
            .map(|package| {
                let names = |tests: bool| {
                    package
                        .dependencies
                        .iter()
                        .filter(|asked| tests || asked.kind != DependencyKind::Development)
                        .map(|asked| asked.name.clone())
                        .collect()
                };
                Package {
                    name: package.name.to_string(),
                    licence: package.license.clone(),
                    member: metadata.workspace_members.contains(&package.id),
                    rust_version: package.rust_version.as_ref().map(ToString::to_string),
                    declared: names(true),
                    built_with: names(false),
                    edges: Vec::new(),
                }
            })
            .collect();
        for node in &resolve.nodes {
            let Some(&from) = index.get(&node.id) else {
                continue;
            };
            for dependency in &node.deps {
                let shipped = dependency
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind != DependencyKind::Development);
                if let Some(&to) = index.get(&dependency.pkg)
                    && shipped
                    && built.contains(&packages[to].name)
                {
                    packages[from].edges.push(to);
                }
            }
        }
        Ok(Self { packages })
    }

    /// The packages of the workspace.
    pub(super) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.member)
    }

    /// Whether a name is a package of the workspace.
    pub(super) fn is_member(&self, name: &str) -> bool {
        self.members().any(|member| member.name == name)
    }

    /// The named packages and everything that is built into them, with one way there each:
    /// `cavansite → rustls → ring`.
    pub(super) fn reach(&self, from: &[&str]) -> BTreeMap<&str, String> {
        let mut ways = BTreeMap::new();
        let mut waiting: Vec<(usize, String)> = self
            .packages
            .iter()
            .enumerate()
            .filter(|(_, package)| from.contains(&package.name.as_str()))
            .map(|(at, package)| (at, package.name.clone()))
            .collect();
        let mut seen = BTreeSet::new();
        while let Some((at, way)) = waiting.pop() {
            if !seen.insert(at) {
                continue;
            }
            for &next in &self.packages[at].edges {
                waiting.push((next, format!("{way} → {}", self.packages[next].name)));
            }
            ways.insert(self.packages[at].name.as_str(), way);
        }
        ways
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Graph, Package};

    /// A package of the workspace that is built with `edges`.
    pub(in crate::tidy) fn member(name: &str, declared: &[&str], edges: &[usize]) -> Package {
        Package {
            member: true,
            rust_version: Some("1.95".to_owned()),
            declared: declared.iter().map(|&name| name.to_owned()).collect(),
            built_with: declared.iter().map(|&name| name.to_owned()).collect(),
            ..outside(name, "MIT", edges)
        }
    }

    /// A package from elsewhere.
    pub(in crate::tidy) fn outside(name: &str, licence: &str, edges: &[usize]) -> Package {
        Package {
            name: name.to_owned(),
            licence: Some(licence.to_owned()),
            edges: edges.to_vec(),
            ..Package::default()
        }
    }

    #[test]
    fn what_is_built_into_a_package_is_found_through_others() {
        let graph = Graph {
            packages: vec![
                member("cavansite", &["tls"], &[1]),
                outside("tls", "MIT", &[2]),
                outside("ring", "ISC", &[]),
                outside("unused", "MIT", &[2]),
            ],
        };
        let reach = graph.reach(&["cavansite"]);
        assert_eq!(reach["ring"], "cavansite → tls → ring");
        assert!(!reach.contains_key("unused"));
    }
}
