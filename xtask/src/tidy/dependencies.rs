//! Who may depend on whom: every direct dependency is in `allowed.toml` with its reason, and
//! some crates may be used in one place only.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::graph::Graph;

/// The contents of `allowed.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Allowed {
    /// Workspace crate → workspace crates that it may use.
    inside: BTreeMap<String, Vec<String>>,
    /// Workspace crate → outside crate → why it is used there.
    outside: BTreeMap<String, BTreeMap<String, String>>,
    /// Crates that only one of the shipped crates may use directly.
    only: Vec<Only>,
    /// Crates that must not even be built into another.
    never: Vec<Never>,
}

/// Of the crates under `crates/`, only `within` may name `crates`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Only {
    crates: Vec<String>,
    within: String,
    why: String,
}

/// Nothing in the graph of `within` may be one of `crates`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Never {
    crates: Vec<String>,
    within: String,
    why: String,
}

/// The prefix of the crates that are the product; `xtask` and these are tools.
fn is_shipped(name: &str) -> bool {
    name.starts_with("cavansite") && !["cavansite-bench", "cavansite-crash"].contains(&name)
}

/// Dependencies that are not in the list, and entries of the list that nobody needs.
pub(super) fn undeclared(graph: &Graph, allowed: &Allowed) -> Vec<String> {
    let mut faults = Vec::new();
    for member in graph.members() {
        let inside = allowed.inside.get(&member.name);
        let outside = allowed.outside.get(&member.name);
        for asked in &member.declared {
            let listed = if graph.is_member(asked) {
                inside.is_some_and(|names| names.contains(asked))
            } else {
                outside.is_some_and(|names| names.contains_key(asked))
            };
            if !listed {
                faults.push(format!(
                    "{} uses {asked}, which allowed.toml does not give it",
                    member.name
                ));
            }
        }
        let reasons = outside.into_iter().flatten();
        for (name, _) in reasons.clone().filter(|(_, why)| why.trim().is_empty()) {
            faults.push(format!("{}: no reason is given for {name}", member.name));
        }
        for (name, _) in reasons.filter(|(name, _)| !member.declared.contains(*name)) {
            faults.push(format!(
                "{} no longer uses {name}; take it out of allowed.toml",
                member.name
            ));
        }
    }
    faults
}

/// Crates in a place where they must not be.
pub(super) fn misplaced(graph: &Graph, allowed: &Allowed) -> Vec<String> {
    let mut faults = Vec::new();
    for Only {
        crates,
        within,
        why,
    } in &allowed.only
    {
        let others = graph
            .members()
            .filter(|member| is_shipped(&member.name) && member.name != *within);
        for member in others {
            for name in crates
                .iter()
                .filter(|&name| member.built_with.contains(name))
            {
                faults.push(format!("{} uses {name}: {why}", member.name));
            }
        }
    }
    for Never {
        crates,
        within,
        why,
    } in &allowed.never
    {
        let reach = graph.reach(&[within.as_str()]);
        for way in crates.iter().filter_map(|name| reach.get(name.as_str())) {
            faults.push(format!("{way}: {why}"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{member, outside};
    use super::*;

    fn allowed() -> Allowed {
        toml::from_str(
            r#"
            [inside]
            cavansite = ["cavansite-core"]
            [outside.cavansite]
            axum = "routes"
            [outside.cavansite-core]
            rusqlite = "SQL"
            [[only]]
            crates = ["axum"]
            within = "cavansite"
            why = "HTTP stays in the server"
            [[never]]
            crates = ["tokio"]
            within = "cavansite-core"
            why = "no runtime"
            "#,
        )
        .unwrap()
    }

    fn graph(server: &[&str], core: &[&str]) -> Graph {
        Graph {
            packages: vec![
                member("cavansite", server, &[1]),
                member("cavansite-core", core, &[2]),
                outside("rusqlite", "MIT", &[]),
                outside("tokio", "MIT", &[]),
            ],
        }
    }

    #[test]
    fn a_graph_that_keeps_to_the_list_has_no_fault() {
        let graph = graph(&["axum", "cavansite-core"], &["rusqlite"]);
        assert_eq!(undeclared(&graph, &allowed()), [""; 0]);
        assert_eq!(misplaced(&graph, &allowed()), [""; 0]);
    }

    #[test]
    fn a_dependency_that_is_not_listed_is_a_fault() {
        let graph = graph(&["axum", "cavansite-core", "rand"], &["rusqlite"]);
        let faults = undeclared(&graph, &allowed());
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("cavansite uses rand"), "{faults:?}");
    }

    #[test]
    fn a_workspace_crate_in_the_wrong_direction_is_a_fault() {
        let graph = graph(&["axum", "cavansite-core"], &["rusqlite", "cavansite"]);
        let faults = undeclared(&graph, &allowed());
        assert!(
            faults[0].contains("cavansite-core uses cavansite"),
            "{faults:?}"
        );
    }

    #[test]
    fn an_entry_that_nobody_needs_and_an_empty_reason_are_faults() {
        let mut allowed = allowed();
        let core = allowed.outside.get_mut("cavansite-core").unwrap();
        core.insert("old".to_owned(), String::new());
        let faults = undeclared(&graph(&["axum"], &["rusqlite"]), &allowed);
        assert!(
            faults
                .iter()
                .any(|fault| fault.contains("no longer uses old"))
        );
        assert!(faults.iter().any(|fault| fault.contains("no reason")));
    }

    #[test]
    fn a_crate_outside_its_place_is_a_fault() {
        let faults = misplaced(&graph(&["axum"], &["axum"]), &allowed());
        assert_eq!(
            faults,
            ["cavansite-core uses axum: HTTP stays in the server"]
        );
    }

    #[test]
    fn a_runtime_that_comes_in_through_another_crate_is_a_fault() {
        let mut graph = graph(&["axum"], &["rusqlite"]);
        graph.packages[2].edges.push(3);
        let faults = misplaced(&graph, &allowed());
        assert_eq!(faults, ["cavansite-core → rusqlite → tokio: no runtime"]);
    }
}
