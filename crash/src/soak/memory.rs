//! The resident memory of the server, from /proc.

use anyhow::Context as _;
use tokio::time::Instant;

/// What was read, in KiB, with when.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<(Instant, u32)>);

impl Samples {
    /// Reads it once.
    pub(super) fn take(&mut self, pid: u32) -> anyhow::Result<()> {
        self.0.push((Instant::now(), resident_kib(pid)?));
        Ok(())
    }

    /// The medians of the first and of the last third of what was read from that time on: a third
    /// has several rounds, of which each ends with another amount waiting for slow clients.
    pub(super) fn ends(&self, from: Instant) -> Option<(u32, u32)> {
        let read: Vec<u32> = self
            .0
            .iter()
            .filter(|(at, _)| *at >= from)
            .map(|(_, kib)| *kib)
            .collect();
        let third = read.len().div_ceil(3);
        Some((
            median(read.get(..third)?)?,
            median(read.get(read.len() - third..)?)?,
        ))
    }
}

fn median(values: &[u32]) -> Option<u32> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// The resident memory of a process, in KiB.
pub(super) fn resident_kib(pid: u32) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no VmRSS")?.parse()?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_ends_are_medians_of_what_came_after_the_warm_up() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let samples = (0..30).map(|second| (at(second.into()), 100 + second));
        let samples = Samples(samples.collect());
        assert_eq!(samples.ends(at(0)), Some((105, 125)));
        assert_eq!(samples.ends(at(10)), Some((113, 126)));
        assert_eq!(samples.ends(at(40)), None);
    }
}
