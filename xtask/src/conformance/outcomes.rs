//! Outcomes of checks, their comparison with what is expected, and the matrix made from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Whether a statement held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Pass,
    Fail,
}

/// One line of a script's results.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    section: String,
    check: String,
    #[serde(rename = "outcome")]
    pub(super) verdict: Verdict,
    #[serde(default)]
    detail: String,
}

/// One check in one run of one suite; a line of expected.jsonl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) suite: String,
    pub(super) run: String,
    pub(super) section: String,
    pub(super) check: String,
    #[serde(rename = "outcome")]
    pub(super) verdict: Verdict,
    /// Why it failed, for the reader of a difference; not a part of what is expected.
    #[serde(skip)]
    pub(super) detail: String,
}

impl Outcome {
    /// Names the suite and the run that a line comes from.
    pub(super) fn of(suite: &str, run: &str, line: &Line) -> Self {
        Self {
            suite: suite.to_owned(),
            run: run.to_owned(),
            section: line.section.clone(),
            check: line.check.clone(),
            verdict: line.verdict,
            detail: line.detail.clone(),
        }
    }

    fn key(&self) -> (&str, &str, &str, &str) {
        (&self.suite, &self.run, &self.section, &self.check)
    }
}

/// Reads JSON lines.
pub(super) fn read<T: for<'de> Deserialize<'de>>(text: &str) -> anyhow::Result<Vec<T>> {
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect()
}

/// Writes JSON lines.
pub(super) fn write(outcomes: &[Outcome]) -> anyhow::Result<String> {
    let mut text = String::new();
    for outcome in outcomes {
        text += &serde_json::to_string(outcome)?;
        text.push('\n');
    }
    Ok(text)
}

/// What is expected from now on: of the suites that ran what was found, of the others what was
/// expected of them before, in the order of the suites.
pub(super) fn take(
    expected: Vec<Outcome>,
    found: &[Outcome],
    ran: &BTreeSet<&str>,
    suites: &[&str],
) -> Vec<Outcome> {
    let kept = expected
        .into_iter()
        .filter(|outcome| !ran.contains(outcome.suite.as_str()));
    let mut all: Vec<Outcome> = kept.chain(found.iter().cloned()).collect();
    all.retain(|outcome| suites.contains(&outcome.suite.as_str()));
    // Stable: within a suite the order is that of its checks.
    all.sort_by_key(|outcome| suites.iter().position(|suite| *suite == outcome.suite));
    all
}

/// How what was found differs from what is expected, of the suites that ran: new passes, new
/// failures, checks that are missing, unknown or there twice.
pub(super) fn differences(
    expected: &[Outcome],
    found: &[Outcome],
    ran: &BTreeSet<&str>,
) -> Vec<String> {
    let mut open: BTreeMap<_, _> = expected
        .iter()
        .filter(|outcome| ran.contains(outcome.suite.as_str()))
        .map(|outcome| (outcome.key(), outcome.verdict))
        .collect();
    let mut different = Vec::new();
    for outcome in found {
        let text = match (open.remove(&outcome.key()), outcome.verdict) {
            (None, _) => "is not expected, or ran twice",
            (Some(Verdict::Pass), Verdict::Fail) => "fails and did not before",
            (Some(Verdict::Fail), Verdict::Pass) => "passes and did not before",
            _ => continue,
        };
        let mut text = describe(outcome.key(), text);
        if !outcome.detail.is_empty() {
            text = format!("{text}: {}", outcome.detail);
        }
        different.push(text);
    }
    different.extend(open.keys().map(|&key| describe(key, "did not run")));
    different
}

fn describe((suite, run, section, check): (&str, &str, &str, &str), text: &str) -> String {
    format!("{suite}, {run}: {section}: {check}: {text}")
}

/// docs/compatibility.md.
pub(super) fn matrix(outcomes: &[Outcome], titles: &[(&str, &str)]) -> String {
    let text = String::from(
        "# Compatibility\n\n\
         Official SDKs, unmodified, against the release build of Cavansite over HTTPS, configured\n\
         by nothing but what `cavansite env` exports. Each row is one statement that was checked.\n\
         The runs: **dev** is `cavansite dev`; **serve** is `cavansite serve --data`, killed with\n\
         SIGKILL and started again in the middle of the conversation.\n\n\
         Made by `cargo xtask conformance --write` from what it found; `cargo xtask conformance`\n\
         runs everything again and fails when an outcome differs, for better or worse. Where\n\
         there is no browser, or no Java, it leaves out what needs one, which `--all` takes for\n\
         a failure.\n\n\
         The official tests that fail are those of what Cavansite has no part of: those with\n\
         `token_credential` or `managed_identity` in their name take a token of Microsoft Entra\n\
         for the access key, and those with `teams_user` exchange a token of a Microsoft Teams\n\
         user. Besides, `test_create_chat_thread_w_no_participants` of December 2023 wants `None`\n\
         where that release itself always makes a list; the next release corrected the test.\n\
         Test files that talk to mocks alone are run of chat 1.0.0b3 and 1.3.0 only.\n",
    );
    let mut totals =
        String::from("\n| Suite | Run | Passed | Failed |\n| --- | --- | --- | --- |\n");
    let mut tables = String::new();
    for (suite, title) in titles {
        let of_suite: Vec<_> = outcomes.iter().filter(|o| o.suite == *suite).collect();
        let mut runs: Vec<&str> = Vec::new();
        let mut rows: Vec<(&str, &str)> = Vec::new();
        for outcome in &of_suite {
            if !runs.contains(&outcome.run.as_str()) {
                runs.push(&outcome.run);
            }
            let row = (outcome.section.as_str(), outcome.check.as_str());
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        for run in &runs {
            let count = |verdict| {
                let of_run = of_suite.iter().filter(|o| o.run == *run);
                of_run.filter(|o| o.verdict == verdict).count()
            };
            let (passed, failed) = (count(Verdict::Pass), count(Verdict::Fail));
            let _ = writeln!(totals, "| {title} | {run} | {passed} | {failed} |");
        }
        let _ = write!(
            tables,
            "\n## {title}\n\n| Part | Statement | {} |\n",
            runs.join(" | ")
        );
        let _ = writeln!(tables, "| --- | --- |{}", " --- |".repeat(runs.len()));
        let mut last = "";
        for (section, check) in rows {
            let part = if section == last { "" } else { section };
            last = section;
            let _ = write!(tables, "| {part} | {check} |");
            for run in &runs {
                let found = of_suite
                    .iter()
                    .find(|o| o.run == *run && o.section == section && o.check == check);
                let _ = match found.map(|o| o.verdict) {
                    Some(Verdict::Pass) => write!(tables, " pass |"),
                    Some(Verdict::Fail) => write!(tables, " **fail** |"),
                    None => write!(tables, " – |"),
                };
            }
            tables.push('\n');
        }
    }
    text + &totals + &tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(check: &str, verdict: Verdict) -> Outcome {
        Outcome {
            suite: "quickstart".to_owned(),
            run: "dev".to_owned(),
            section: "Send".to_owned(),
            check: check.to_owned(),
            verdict,
            detail: String::new(),
        }
    }

    fn differences_of(found: &[Outcome]) -> Vec<String> {
        let expected = [outcome("a", Verdict::Pass), outcome("b", Verdict::Fail)];
        differences(&expected, found, &BTreeSet::from(["quickstart"]))
    }

    #[test]
    fn what_is_as_expected_is_no_difference() {
        let found = [outcome("a", Verdict::Pass), outcome("b", Verdict::Fail)];
        assert_eq!(differences_of(&found), [""; 0]);
    }

    #[test]
    fn a_new_failure_and_a_new_pass_are_both_differences() {
        let mut found = [outcome("a", Verdict::Fail), outcome("b", Verdict::Pass)];
        found[0].detail = "404".to_owned();
        let found = differences_of(&found);
        assert_eq!(
            found[0],
            "quickstart, dev: Send: a: fails and did not before: 404"
        );
        assert_eq!(
            found[1],
            "quickstart, dev: Send: b: passes and did not before"
        );
    }

    #[test]
    fn a_check_that_is_missing_unknown_or_doubled_is_a_difference() {
        let found = differences_of(&[outcome("a", Verdict::Pass)]);
        assert_eq!(found, ["quickstart, dev: Send: b: did not run"]);
        let all = ["a", "a", "c"].map(|check| outcome(check, Verdict::Pass));
        assert_eq!(differences_of(&all).len(), 3);
    }

    #[test]
    fn a_suite_that_could_not_run_is_no_difference() {
        let expected = [outcome("a", Verdict::Pass)];
        assert_eq!(differences(&expected, &[], &BTreeSet::new()), [""; 0]);
    }

    #[test]
    fn taking_what_was_found_keeps_what_is_expected_of_other_suites() {
        let of = |suite: &str, check: &str| Outcome {
            suite: suite.to_owned(),
            ..outcome(check, Verdict::Pass)
        };
        let expected = vec![of("a", "old"), of("gone", "x"), of("b", "kept")];
        let found = [of("a", "second"), of("a", "first")];
        let taken = take(expected, &found, &BTreeSet::from(["a"]), &["b", "a"]);
        assert_eq!(
            taken,
            [of("b", "kept"), of("a", "second"), of("a", "first")]
        );
    }

    #[test]
    fn the_matrix_shows_a_failure_of_one_run() {
        let mut other = outcome("a", Verdict::Fail);
        other.run = "serve".to_owned();
        let text = matrix(
            &[outcome("a", Verdict::Pass), other],
            &[("quickstart", "Q")],
        );
        assert!(text.contains("| Q | dev | 1 | 0 |"), "{text}");
        assert!(
            text.contains("| Part | Statement | dev | serve |"),
            "{text}"
        );
        assert!(text.contains("| Send | a | pass | **fail** |"), "{text}");
    }
}
