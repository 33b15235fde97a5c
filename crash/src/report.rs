//! What a suite has done and found, in a line, and more only where something is wrong.

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::time::Instant;

/// Cases that are printed of a suite, and faults of one case; the rest is counted.
const CASES_SHOWN: usize = 5;
const FAULTS_SHOWN: usize = 5;

/// Characters that are shown of a value.
const BRIEF: usize = 300;

/// The beginning of a value, for people.
pub(crate) fn brief(value: &impl Debug) -> String {
    let mut text = format!("{value:?}");
    if let Some((end, _)) = text.char_indices().nth(BRIEF) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The sums of a suite.
#[derive(Debug)]
pub(crate) struct Report {
    suite: &'static str,
    begin: Instant,
    seed: u64,
    /// Acknowledged writes that were looked for.
    pub(crate) acknowledged: usize,
    /// Cases in which something was wrong.
    pub(crate) bad: usize,
    /// Of a suite that looks for faults that were planted: print none.
    pub(crate) quiet: bool,
}

impl Report {
    /// Nothing done yet.
    pub(crate) fn new(suite: &'static str, seed: u64) -> Self {
        Self {
            suite,
            begin: Instant::now(),
            seed,
            acknowledged: 0,
            bad: 0,
            quiet: false,
        }
    }

    /// Counts a case; prints what was wrong with it, and where it lies.
    pub(crate) fn add(&mut self, case: &str, place: &Path, faults: &[String]) {
        if faults.is_empty() {
            return;
        }
        self.bad += 1;
        if self.quiet || self.bad > CASES_SHOWN {
            return;
        }
        let mut text = format!("{} {case}, in {}:\n", self.suite, place.display());
        for fault in faults.iter().take(FAULTS_SHOWN) {
            let _ = writeln!(text, "  {fault}");
        }
        if faults.len() > FAULTS_SHOWN {
            let _ = writeln!(text, "  and {} more", faults.len() - FAULTS_SHOWN);
        }
        print!("{text}");
    }

    /// The suite's line; tells whether all was well.
    pub(crate) fn close(&self, cases: &str) -> bool {
        println!(
            "{}: {cases}; {} acknowledged writes looked for; {} with faults; {:.1} s, seed {}",
            self.suite,
            self.acknowledged,
            self.bad,
            self.begin.elapsed().as_secs_f64(),
            self.seed
        );
        self.bad == 0
    }
}
