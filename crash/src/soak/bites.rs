//! The proof that the soak bites: a server of the feature `fault-injection` that drops, duplicates,
//! leaks or reorders one event in many must be found out, each by what it does, and the same server
//! without a fault must not.

use std::time::{Duration, Instant};

use super::{Plan, soak};
use crate::Bench;
use crate::report::brief;

/// The faults, by their name in `FAULT_INJECTION`, and what finding each of them says.
const FAULTS: [(&str, &str); 4] = [
    ("drop-event", "was not told"),
    ("duplicate-event", "is of a message that no list shows"),
    ("leak-event", "was told to somebody who may not know it"),
    ("reorder-events", "came after version"),
];

/// Options of `soak-bites`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each fault is looked for, and none in a server without any, in seconds
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

/// Tells whether each fault was found, and none where there is none.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let plan = Plan {
        kills: Duration::ZERO,
        steady: Duration::from_secs(options.seconds),
        round: Duration::from_secs(5),
        patience: Duration::from_secs(15),
        is_quiet: true,
    };
    let folder = bench.dir.join("soak-bites");
    let mut sound = true;
    for (fault, says) in FAULTS {
        let begin = Instant::now();
        let (outcome, _) = soak(bench, &folder, plan, &[("FAULT_INJECTION", fault)]).await?;
        let found = outcome.faults.iter().find(|found| found.contains(says));
        let seconds = begin.elapsed().as_secs_f64();
        match found {
            Some(found) => println!("soak-bites: {fault}: found in {seconds:.0} s: {found}"),
            None => println!(
                "soak-bites: {fault}: not found in {seconds:.0} s, but {}",
                brief(&outcome.faults)
            ),
        }
        sound &= found.is_some();
    }
    let (outcome, _) = soak(bench, &folder, plan, &[]).await?;
    let rounds = outcome.rounds;
    println!(
        "soak-bites: no fault: {} found in {rounds} rounds, {} events owed, seed {}",
        outcome.faults.len(),
        outcome.owed,
        bench.seed
    );
    if outcome.faults.is_empty() {
        std::fs::remove_dir_all(&folder)?;
    } else {
        println!("  {}", brief(&outcome.faults));
    }
    Ok(sound && outcome.faults.is_empty())
}
