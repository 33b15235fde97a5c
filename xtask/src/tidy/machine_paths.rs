//! No file may name a folder of the machine it was written on.

use super::tree::Tree;

/// Folders of one machine, and what lies beside the checkout. Put together from pieces, so that
/// this file does not name them either.
const FORBIDDEN: [&str; 5] = [
    concat!("/", "work"),
    concat!("/", "tmp/"),
    concat!("/", "root"),
    concat!("/", "home/"),
    concat!("..", "/shared"),
];

/// The script that CI starts may look around on its machine.
const EXEMPT: &str = ".ci/run";

/// Lines that name one of them.
pub(super) fn found(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| *path != EXEMPT) {
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(name) = FORBIDDEN.iter().find(|name| names(line, name)) {
                faults.push(format!("{path}:{number} names {name}"));
            }
        }
    }
    faults
}

/// Whether the line has the path as a path of its own: neither the tail of a longer path or a
/// URL, nor the head of a longer name.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        let joined = |c: char| c.is_ascii_alphanumeric() || "_-.~".contains(c);
        !before.is_some_and(joined) && (path.ends_with('/') || !after.is_some_and(joined))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_machine_is_a_fault() {
        for path in FORBIDDEN {
            let text = format!("first\nlet data = \"{path}/x\";\n");
            let faults = found(&Tree::of(&[("docs/a.md", &text)]));
            assert_eq!(faults, [format!("docs/a.md:2 names {path}")]);
        }
    }

    #[test]
    fn longer_names_and_the_ci_script_are_none() {
        let (word, lone) = (concat!("/", "work"), concat!("/", "root"));
        let text = format!("see {word}space, frame{word} and crates{lone}");
        assert_eq!(found(&Tree::of(&[("docs/a.md", &text)])), [""; 0]);
        let text = format!("cd {word}");
        assert_eq!(found(&Tree::of(&[(EXEMPT, &text)])), [""; 0]);
    }
}
