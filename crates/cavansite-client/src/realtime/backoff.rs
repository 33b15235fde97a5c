//! Pauses between attempts: doubled each time up to a bound, and never quite the same, so that the
//! clients of a server that comes back do not come all at once.

use std::time::Duration;

use super::limits::BACKOFF_JITTER_PERCENT;

/// The pauses of one kind of attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    number: u32,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            number: 0,
        }
    }

    /// The pause before the next attempt.
    pub(super) fn next(&mut self) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(self.number));
        self.number = self.number.saturating_add(1);
        let percent = fastrand::u32(100 - BACKOFF_JITTER_PERCENT..=100 + BACKOFF_JITTER_PERCENT);
        doubled.min(self.longest) * percent / 100
    }

    /// After a success, pauses are short again.
    pub(super) fn reset(&mut self) {
        self.number = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ_by_a_fifth() {
        for _ in 0..200 {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(50));
            for nominal in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 50.0, 50.0] {
                let pause = backoff.next().as_secs_f64();
                assert!((nominal * 0.8..=nominal * 1.2).contains(&pause), "{pause}");
            }
            backoff.reset();
            assert!(backoff.next() <= Duration::from_millis(1200));
        }
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX / 200);
        backoff.number = u32::MAX - 1;
        let _ = (backoff.next(), backoff.next());
        assert_eq!(backoff.number, u32::MAX);
    }
}
