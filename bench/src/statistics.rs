//! Medians and spreads.

/// A figure measured in several runs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    /// Adds the figure of one run.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle value; of an even number of runs the lower of the two. 0 without a run.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len().saturating_sub(1) / 2;
        self.0.get(middle).copied().unwrap_or_default()
    }

    /// `median (min..max)` with this many digits.
    pub(crate) fn show(&self, digits: usize) -> String {
        let min = self.0.first().copied().unwrap_or_default();
        let max = self.0.last().copied().unwrap_or_default();
        let median = self.median();
        format!("{median:.digits$} ({min:.digits$}..{max:.digits$})")
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
        let mut runs = Runs::default();
        for value in [3.0, 1.0, 2.0] {
            runs.add(value);
        }
        assert_eq!(runs.show(1), "2.0 (1.0..3.0)");
    }
}
