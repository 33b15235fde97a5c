//! Medians and spreads.

/// A figure measured in several runs, in their order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    /// Adds the figure of one run.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle value; of an even number of runs the lower of the two. 0 without a run.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len().saturating_sub(1) / 2;
        sorted.get(middle).copied().unwrap_or_default()
    }

    /// Run by run, what comes of this figure and another.
    pub(crate) fn with(&self, other: &Self, of: impl Fn(f64, f64) -> f64) -> Self {
        let pairs = self.0.iter().zip(&other.0);
        Self(pairs.map(|(own, other)| of(*own, *other)).collect())
    }

    /// Run by run, what comes of this figure.
    pub(crate) fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        Self(self.0.iter().map(|value| of(*value)).collect())
    }

    /// Run by run, how many times another figure this one is.
    pub(crate) fn ratio(&self, other: &Self) -> Self {
        self.with(other, |own, other| own / other)
    }

    /// `median (min..max)` with this many digits.
    pub(crate) fn show(&self, digits: usize) -> String {
        let sorted = self.sorted();
        let min = sorted.first().copied().unwrap_or_default();
        let max = sorted.last().copied().unwrap_or_default();
        let median = self.median();
        format!("{median:.digits$} ({min:.digits$}..{max:.digits$})")
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// The value below which this share of the sorted values lies (nearest rank).
pub(crate) fn percentile(sorted: &[u32], per_mille: usize) -> u32 {
    let rank = (sorted.len() * per_mille).div_ceil(1000);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Runs {
        let mut runs = Runs::default();
        for value in values {
            runs.add(*value);
        }
        runs
    }

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let sorted: Vec<u32> = (1..=1000).collect();
        assert_eq!(percentile(&sorted, 500), 500);
        assert_eq!(percentile(&sorted, 999), 999);
        assert_eq!(percentile(&sorted, 1000), 1000);
        assert_eq!(percentile(&[7], 990), 7);
        assert_eq!(percentile(&[], 990), 0);
    }

    #[test]
    fn runs_are_shown_by_median_and_spread() {
        assert_eq!(runs(&[3.0, 1.0, 2.0]).show(1), "2.0 (1.0..3.0)");
    }

    #[test]
    fn a_ratio_is_of_the_figures_of_one_run() {
        let ratio = runs(&[3.0, 1.0, 8.0]).ratio(&runs(&[1.0, 2.0, 2.0]));
        assert_eq!(ratio.show(1), "3.0 (0.5..4.0)");
    }
}
