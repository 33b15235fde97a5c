//! What the documents promise: paths that exist, tests that exist, a header in every module.

use super::tree::Tree;

/// Documents whose paths are checked.
const WITH_PATHS: [&str; 3] = ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"];

/// A path in a document begins with one of these.
const FOLDERS: [&str; 7] = [
    "crates/",
    "docs/",
    "xtask/",
    "bench/",
    "crash/",
    "conformance/",
    ".ci/",
];

/// The table of rules: `| rule | source | test |`.
const BEHAVIOUR: &str = "docs/behaviour.md";

/// The tables of promises: `| promise | attacked by |`.
const GUARANTEES: &str = "docs/guarantees.md";

/// What may stand in the place of a test.
const ATTACK: &str = "cargo xtask crash ";

/// Modules that do not open with what they are for.
pub(super) fn headless_modules(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| format!("{path} does not open with //!"))
        .collect()
}

/// Paths that the documents name and nobody made.
pub(super) fn missing_paths(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for document in WITH_PATHS {
        let Some(text) = tree.text(document) else {
            faults.push(format!("{document} is missing"));
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            for path in paths(line).iter().filter(|path| !tree.contains(path)) {
                faults.push(format!(
                    "{document}:{number} names {path}, which does not exist"
                ));
            }
        }
    }
    faults
}

/// The paths in a line. A path ends at a placeholder (`<engine>`) or a star, where its folder
/// counts; `{a,b}` stands for both.
fn paths(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        for (at, _) in line.match_indices(folder) {
            let before = line[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)) {
                continue;
            }
            let mut depth = 0_usize;
            let rest = &line[at..];
            let end = rest.find(|c: char| {
                match c {
                    '{' => depth += 1,
                    '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let part_of_a_path = c.is_ascii_alphanumeric() || "_-./{}".contains(c);
                !(part_of_a_path || c == ',' && depth > 0)
            });
            let (path, rest) = rest.split_at(end.unwrap_or(rest.len()));
            let path = if rest.starts_with(['<', '*']) {
                path.rsplit_once('/').map_or(path, |(folder, _)| folder)
            } else {
                path.trim_end_matches('.')
            };
            expand(path, &mut found);
        }
    }
    found
}

/// Writes out `{a,b}`.
fn expand(path: &str, found: &mut Vec<String>) {
    let braces = path
        .split_once('{')
        .and_then(|(head, rest)| Some((head, rest.split_once('}')?)));
    match braces {
        Some((head, (choices, tail))) => {
            for choice in choices.split(',') {
                expand(&format!("{head}{choice}{tail}"), found);
            }
        }
        None => found.push(path.to_owned()),
    }
}

/// Rows of the tables of rules and promises whose test does not exist. Nothing while there is no
/// such table.
pub(super) fn missing_tests(tree: &Tree) -> Vec<String> {
    let mut faults = missing_proofs(tree, BEHAVIOUR, 3);
    faults.extend(missing_proofs(tree, GUARANTEES, 2));
    faults
}

/// Rows of a document's tables, of that many cells, whose last cell names no test or command that
/// there is.
fn missing_proofs(tree: &Tree, document: &str, columns: usize) -> Vec<String> {
    let Some(text) = tree.text(document) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let Some(row) = line.trim().strip_prefix('|') else {
            continue;
        };
        let row = row.trim_end_matches('|');
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (Some(rule), Some(proof), true) = (cells.first(), cells.last(), cells.len() == columns)
        else {
            faults.push(format!("{document}:{number} does not have {columns} cells"));
            continue;
        };
        if proof.starts_with("--") || ["Test", "Attacked by"].contains(proof) {
            continue;
        }
        let mut names = proof.split('`').skip(1).step_by(2).peekable();
        if names.peek().is_none() {
            faults.push(format!("{document}:{number} names no test for: {rule}"));
        }
        for name in names.filter(|name| !is_test(tree, name)) {
            faults.push(format!(
                "{document}:{number} names {name}, which no file defines"
            ));
        }
    }
    faults
}

/// Whether a Rust file defines a function of this name (its module path is for the reader), or the
/// crash harness has a suite of that name; `soak-bites` is `soak/bites`.
fn is_test(tree: &Tree, name: &str) -> bool {
    if let Some(suite) = name.strip_prefix(ATTACK) {
        let module = format!("crash/src/{}", suite.replace('-', "/"));
        let files = [format!("{module}.rs"), format!("{module}/mod.rs")];
        return files.iter().any(|file| tree.contains(file));
    }
    let name = name.rsplit("::").next().unwrap_or(name);
    let definition = format!("fn {name}(");
    tree.rust().any(|(_, text)| text.contains(&definition))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(readme: &str, behaviour: &str) -> Tree {
        Tree::of(&[
            ("ARCHITECTURE.md", ""),
            ("CONTRIBUTING.md", ""),
            ("README.md", readme),
            ("docs/behaviour.md", behaviour),
            (
                "crates/x/src/a.rs",
                "//! A\n#[test]\nfn a_fact_holds() {}\n",
            ),
            ("crates/x/src/b.rs", "use std;\n"),
        ])
    }

    #[test]
    fn a_module_without_a_header_is_a_fault() {
        let faults = headless_modules(&tree("", ""));
        assert_eq!(faults, ["crates/x/src/b.rs does not open with //!"]);
    }

    #[test]
    fn a_path_that_does_not_exist_is_a_fault() {
        let good = "See `crates/x/src/{a,b}.rs`, crates/x, (docs/behaviour.md) and \
                    crates/<name>/src; crates/x/src/*.rs, other-crates/y, https://h/crates/y.";
        assert_eq!(missing_paths(&tree(good, "")), [""; 0]);
        let faults = missing_paths(&tree("a\nSee crates/x/src/{a,c}.rs.", ""));
        assert_eq!(
            faults,
            ["README.md:2 names crates/x/src/c.rs, which does not exist"]
        );
    }

    #[test]
    fn a_document_that_is_gone_is_a_fault() {
        let faults = missing_paths(&Tree::of(&[("README.md", ""), ("CONTRIBUTING.md", "")]));
        assert_eq!(faults, ["ARCHITECTURE.md is missing"]);
    }

    #[test]
    fn a_promise_without_an_attack_that_exists_is_a_fault() {
        let faults = |attack: &str| {
            let table = format!("| Promise | Attacked by |\n| --- | --- |\n| p | {attack} |\n");
            missing_tests(&Tree::of(&[
                ("docs/guarantees.md", &table),
                ("crash/src/kills.rs", "//! K\n"),
                ("crash/src/soak/mod.rs", "//! S\n"),
                ("crash/src/soak/bites.rs", "//! B\n"),
            ]))
        };
        for suite in ["kills", "soak", "soak-bites"] {
            assert_eq!(faults(&format!("`cargo xtask crash {suite}`")), [""; 0]);
        }
        assert_eq!(
            faults("`cargo xtask crash storms`"),
            ["docs/guarantees.md:3 names cargo xtask crash storms, which no file defines"]
        );
        assert_eq!(
            faults("hope"),
            ["docs/guarantees.md:3 names no test for: p"]
        );
    }

    #[test]
    fn a_rule_without_a_test_that_exists_is_a_fault() {
        let table = |test: &str| {
            format!(
                "# Rules\n\n| Rule | Source | Test |\n| --- | --- | --- |\n| r | s | {test} |\n"
            )
        };
        assert_eq!(
            missing_tests(&tree("", &table("`it::a_fact_holds`"))),
            [""; 0]
        );
        let faults = missing_tests(&tree("", &table("`it::a_fact`")));
        assert_eq!(
            faults,
            ["docs/behaviour.md:5 names it::a_fact, which no file defines"]
        );
        let faults = missing_tests(&tree("", &table("by hand")));
        assert_eq!(faults, ["docs/behaviour.md:5 names no test for: r"]);
        assert_eq!(
            missing_tests(&tree("", "| r | `a_fact_holds` |\n")).len(),
            1
        );
    }
}
