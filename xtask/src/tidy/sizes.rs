//! Sizes that a reader can take in: lines per file and function, columns per line, outside
//! tests. Exceptions stand in `exceptions.toml` with a reason; one that is not needed any more
//! is a fault too.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use anyhow::Context as _;
use serde::Deserialize;
use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::tree::{Tree, has_extension};

/// Lines in a file.
const FILE_LINES_MAX: usize = 600;
/// Lines in a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Characters in a line.
const COLUMNS_MAX: usize = 100;

/// The contents of `exceptions.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exceptions {
    #[serde(default)]
    exception: Vec<Exception>,
}

/// One place that may be larger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    /// From the root.
    path: String,
    /// `file`, `columns`, or the name of a function.
    what: String,
    reason: String,
}

/// A place over its bound.
#[derive(Debug)]
struct Excess {
    path: String,
    what: String,
    text: String,
}

/// Everything over its bound that has no exception.
pub(super) fn oversized(tree: &Tree, exceptions: &Exceptions) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !is_test(path)) {
        if has_extension(path, "rs") {
            let parsed = syn::parse_file(text).with_context(|| path.to_owned())?;
            let mut measure = Measure::default();
            measure.visit_file(&parsed);
            measure.report(path, text, &mut found);
        } else if has_extension(path, "py") {
            Measure::default().report(path, text, &mut found);
        }
    }
    let mut used = BTreeSet::new();
    let mut faults = Vec::new();
    for excess in found {
        let place = exceptions.exception.iter().position(|exception| {
            exception.path == excess.path
                && exception.what == excess.what
                && !exception.reason.trim().is_empty()
        });
        match place {
            Some(at) => _ = used.insert(at),
            None => faults.push(excess.text),
        }
    }
    for (at, exception) in exceptions.exception.iter().enumerate() {
        if !used.contains(&at) {
            faults.push(format!(
                "{}: the exception for {} is not needed or has no reason",
                exception.path, exception.what
            ));
        }
    }
    Ok(faults)
}

/// Files that hold nothing but tests.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// What is measured while walking through a file.
#[derive(Debug, Default)]
struct Measure {
    /// Lines of `#[cfg(test)]` items.
    tests: Vec<RangeInclusive<usize>>,
    /// Name, first line and number of lines.
    functions: Vec<(String, usize, usize)>,
}

impl Measure {
    fn function(&mut self, signature: &syn::Signature, end: proc_macro2::Span) {
        let first = signature.span().start().line;
        let lines = end.end().line + 1 - first;
        self.functions
            .push((signature.ident.to_string(), first, lines));
    }

    fn report(&self, path: &str, text: &str, found: &mut Vec<Excess>) {
        let mut add = |what: &str, text: String| {
            found.push(Excess {
                path: path.to_owned(),
                what: what.to_owned(),
                text: format!("{path}{text}"),
            });
        };
        let outside = |line: &usize| !self.tests.iter().any(|range| range.contains(line));
        let lines = (1..).zip(text.lines());
        let lines: Vec<_> = lines.filter(|(number, _)| outside(number)).collect();
        if lines.len() > FILE_LINES_MAX {
            add(
                "file",
                format!(": {} lines, {FILE_LINES_MAX} at most", lines.len()),
            );
        }
        for (number, line) in lines {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX {
                add(
                    "columns",
                    format!(":{number}: {columns} columns, {COLUMNS_MAX} at most"),
                );
            }
        }
        for (name, first, lines) in &self.functions {
            if *lines > FUNCTION_LINES_MAX && outside(first) {
                add(
                    name,
                    format!(":{first}: {name} has {lines} lines, {FUNCTION_LINES_MAX} at most"),
                );
            }
        }
    }
}

impl<'ast> Visit<'ast> for Measure {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.attrs.iter().any(is_cfg_test) {
            let span = module.span();
            self.tests.push(span.start().line..=span.end().line);
        }
        syn::visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block.span());
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Path>()
            .is_ok_and(|path| path.is_ident("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, exceptions: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/x/src/a.rs", text)]);
        oversized(&tree, &toml::from_str(exceptions).unwrap()).unwrap()
    }

    fn function(lines: usize) -> String {
        format!(
            "impl X {{\n    fn long() {{\n{}    }}\n}}\n",
            "        ();\n".repeat(lines - 2)
        )
    }

    #[test]
    fn a_file_over_its_lines_is_a_fault() {
        assert_eq!(faults(&"//\n".repeat(FILE_LINES_MAX), ""), [""; 0]);
        let faults = faults(&"//\n".repeat(FILE_LINES_MAX + 1), "");
        assert_eq!(faults, ["crates/x/src/a.rs: 601 lines, 600 at most"]);
    }

    #[test]
    fn a_function_over_its_lines_is_a_fault_also_in_an_impl() {
        assert_eq!(faults(&function(FUNCTION_LINES_MAX), ""), [""; 0]);
        let faults = faults(&function(FUNCTION_LINES_MAX + 1), "");
        assert_eq!(
            faults,
            ["crates/x/src/a.rs:2: long has 71 lines, 70 at most"]
        );
    }

    #[test]
    fn a_line_over_its_columns_is_a_fault_in_characters() {
        let line = |columns| format!("// {}", "é".repeat(columns - 3));
        assert_eq!(faults(&line(COLUMNS_MAX), ""), [""; 0]);
        let faults = faults(&line(COLUMNS_MAX + 1), "");
        assert_eq!(faults, ["crates/x/src/a.rs:1: 101 columns, 100 at most"]);
    }

    #[test]
    fn tests_may_be_of_any_size() {
        let long = function(FUNCTION_LINES_MAX + 1);
        let text = format!(
            "#[cfg(test)]\nmod tests {{\n{long}{}}}\n",
            "//\n".repeat(700)
        );
        assert_eq!(faults(&text, ""), [""; 0]);
        let tree = Tree::of(&[("crates/x/tests/it/a.rs", &*long)]);
        assert_eq!(oversized(&tree, &Exceptions::default()).unwrap(), [""; 0]);
    }

    #[test]
    fn an_exception_holds_for_its_place_and_is_a_fault_when_it_is_not_needed() {
        let exception = "[[exception]]\npath = \"crates/x/src/a.rs\"\nwhat = \"long\"\n\
                         reason = \"a table\"\n";
        assert_eq!(
            faults(&function(FUNCTION_LINES_MAX + 1), exception),
            [""; 0]
        );
        assert_eq!(faults(&function(FUNCTION_LINES_MAX), exception).len(), 1);
    }
}
