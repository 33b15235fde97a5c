//! What a measurement comes to, beside its floor and its target.

use crate::plan::Figures;
use crate::statistics::Runs;

/// One line of the report.
pub(crate) struct Outcome {
    /// What was asked of the server.
    pub(crate) work: String,
    /// The unit of `measured`, `base` and `allowed`.
    pub(crate) unit: &'static str,
    /// What it took.
    pub(crate) measured: Runs,
    /// What it is compared with.
    pub(crate) base: Option<(String, Runs)>,
    pub(crate) target: Option<Target>,
    pub(crate) notes: String,
}

/// A target, in words and as the most that it allows in each run.
pub(crate) struct Target {
    pub(crate) words: String,
    pub(crate) allowed: Runs,
}

impl Outcome {
    /// CPU of a request.
    pub(crate) fn cpu(work: impl Into<String>, figures: &Figures) -> Self {
        Self {
            work: work.into(),
            unit: "CPU µs",
            measured: figures.cpu_micros.clone(),
            base: None,
            target: None,
            notes: figures.notes(),
        }
    }

    /// A figure that is no CPU time.
    pub(crate) fn of(work: impl Into<String>, unit: &'static str, measured: Runs) -> Self {
        Self {
            work: work.into(),
            unit,
            measured,
            base: None,
            target: None,
            notes: String::new(),
        }
    }

    /// Beside this.
    pub(crate) fn beside(mut self, name: impl Into<String>, base: &Runs) -> Self {
        self.base = Some((name.into(), base.clone()));
        self
    }

    /// At most so many times what it stands beside, and so much more.
    pub(crate) fn at_most_times(mut self, times: f64, more: f64) -> Self {
        if let Some((_, base)) = &self.base {
            let times_in_words = format!("≤ {} ×", (times * 100.0).round() / 100.0);
            let words = if more > 0.0 {
                format!("{times_in_words} + {more} {}", self.unit)
            } else {
                times_in_words
            };
            let allowed = base.map(|base| times * base + more);
            self.target = Some(Target { words, allowed });
        }
        self
    }

    /// At most so much.
    pub(crate) fn at_most(mut self, most: f64) -> Self {
        self.target = Some(Target {
            words: format!("≤ {most} {}", self.unit),
            allowed: self.measured.map(|_| most),
        });
        self
    }

    /// How much of what the target allows was taken.
    pub(crate) fn share(&self) -> Option<Runs> {
        let target = self.target.as_ref()?;
        Some(self.measured.ratio(&target.allowed))
    }

    /// Whether the median of the runs holds the target.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(self.share()?.median() <= 1.0)
    }

    /// A row of a Markdown table with the heads of [`HEAD`].
    pub(crate) fn row(&self) -> String {
        let measured = format!("{} {}", self.measured.show(1), self.unit);
        let (base, ratio) = self.base.as_ref().map_or_else(
            || ("–".to_owned(), "–".to_owned()),
            |(name, base)| {
                let ratio = self.measured.ratio(base);
                (format!("{name} {}", base.show(1)), ratio.show(2))
            },
        );
        let target = self.target.as_ref().map_or("–", |target| &target.words);
        let met = match self.is_met() {
            None => "",
            Some(true) => "met",
            Some(false) => "**not met**",
        };
        format!(
            "| {} | {measured} | {base} | {ratio} | {target} | {met} |",
            self.work
        )
    }

    /// The same for the console.
    #[expect(clippy::print_stdout, reason = "what this tool is for")]
    pub(crate) fn print(&self) {
        println!("{}", self.row());
        if !self.notes.is_empty() {
            println!("    {}", self.notes);
        }
    }
}

/// The head of a table of outcomes.
pub(crate) const HEAD: &str = "| Work | Measured | Beside | Ratio | Target | |\n\
     | --- | --- | --- | --- | --- | --- |\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: [f64; 3]) -> Runs {
        let mut runs = Runs::default();
        for value in values {
            runs.add(value);
        }
        runs
    }

    #[test]
    fn a_target_is_held_run_by_run_and_judged_by_the_median() {
        let outcome = |measured| {
            Outcome::of("x", "µs", runs(measured))
                .beside("floor", &runs([10.0, 20.0, 10.0]))
                .at_most_times(2.0, 5.0)
        };
        assert_eq!(outcome([25.0, 45.0, 99.0]).is_met(), Some(true));
        assert_eq!(outcome([26.0, 45.0, 99.0]).is_met(), Some(false));
        assert_eq!(Outcome::of("x", "µs", runs([1.0; 3])).is_met(), None);
    }
}
