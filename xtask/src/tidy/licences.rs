//! Licences and banned crates, as deny.toml lists them for cargo-deny.

use anyhow::Context as _;
use serde::Deserialize;

use super::graph::Graph;

/// The part of deny.toml that is checked here.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    licenses: Licences,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// A further licence, for one crate.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Debug, Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Packages whose licence cannot be satisfied with the allowed ones.
pub(super) fn refused(graph: &Graph, policy: &Policy) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for package in &graph.packages {
        let Some(licence) = &package.licence else {
            faults.push(format!("{} declares no licence", package.name));
            continue;
        };
        // Lax: older crates write `MIT/Apache-2.0`.
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .with_context(|| format!("{}: licence {licence:?}", package.name))?;
        let fits = expression.evaluate(|asked| {
            let asked = asked.to_string();
            let of_this = |exception: &&Exception| exception.name == package.name;
            let mut exceptions = policy.licenses.exceptions.iter().filter(of_this);
            policy.licenses.allow.contains(&asked)
                || exceptions.any(|exception| exception.allow.contains(&asked))
        });
        if !fits {
            faults.push(format!("{} is under {licence}", package.name));
        }
    }
    Ok(faults)
}

/// Banned crates in the graph of what is shipped.
pub(super) fn banned(graph: &Graph, policy: &Policy) -> Vec<String> {
    let members: Vec<&str> = graph.members().map(|member| &*member.name).collect();
    let reach = graph.reach(&members);
    policy
        .bans
        .deny
        .iter()
        .filter_map(|banned| Some(format!("{}: {}", reach.get(&*banned.name)?, banned.reason)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::graph::tests::{member, outside};
    use super::*;

    fn policy() -> Policy {
        toml::from_str(
            r#"
            [licenses]
            allow = ["MIT", "Apache-2.0"]
            exceptions = [{ crate = "css", allow = ["MPL-2.0"] }]
            [bans]
            deny = [{ crate = "ring", reason = "a second crypto provider" }]
            "#,
        )
        .unwrap()
    }

    fn graph(licence: &str, name: &str) -> Graph {
        Graph {
            packages: vec![
                member("cavansite", &["tls"], &[1]),
                outside("tls", "MIT/Apache-2.0", &[2]),
                outside(name, licence, &[]),
            ],
        }
    }

    #[test]
    fn a_licence_off_the_list_is_a_fault_and_a_choice_that_is_on_it_is_not() {
        let refused = |licence| refused(&graph(licence, "other"), &policy()).unwrap();
        assert_eq!(refused("GPL-3.0-only OR MIT"), [""; 0]);
        assert_eq!(refused("GPL-3.0-only"), ["other is under GPL-3.0-only"]);
        assert_eq!(
            refused("MIT AND MPL-2.0"),
            ["other is under MIT AND MPL-2.0"]
        );
    }

    #[test]
    fn a_licence_that_one_crate_may_have_is_a_fault_in_another() {
        let refused = |name| refused(&graph("MPL-2.0", name), &policy()).unwrap();
        assert_eq!(refused("css"), [""; 0]);
        assert_eq!(refused("other"), ["other is under MPL-2.0"]);
    }

    #[test]
    fn a_package_without_a_licence_is_a_fault() {
        let mut graph = graph("MIT", "other");
        graph.packages[2].licence = None;
        assert_eq!(
            refused(&graph, &policy()).unwrap(),
            ["other declares no licence"]
        );
    }

    #[test]
    fn a_banned_crate_is_a_fault_however_it_came_in() {
        let faults = banned(&graph("MIT", "ring"), &policy());
        assert_eq!(faults, ["cavansite → tls → ring: a second crypto provider"]);
        assert_eq!(banned(&graph("MIT", "other"), &policy()), [""; 0]);
    }
}
