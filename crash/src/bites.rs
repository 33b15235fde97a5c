//! The proof that the harness bites: a server that does not sync, one that answers before it syncs,
//! and one that takes a failed commit for a good one, all of the `fault-injection` feature, must be
//! found to lose what they acknowledged, and the same server without a fault must not.

use crate::Bench;
use crate::failures;
use crate::power;
use crate::report::Report;

/// The faults that power cuts find, by their name in `FAULT_INJECTION`.
const FAULTS: [(&str, &str); 2] = [
    ("unsynced", "synchronous=OFF"),
    ("answer-first", "the answer before the sync"),
];

/// Failing disks, beside one of each sync at the start, for the fault that they find.
const FAILURES: usize = 6;

/// Options of `bites`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many images of each kind
    #[arg(long, default_value_t = 25)]
    pub(crate) images: usize,
}

/// Tells whether each fault was found, and none where there is none.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let images = options.images;
    let mut sound = true;
    for (fault, name) in FAULTS {
        let mut report = Report::new("bites", bench.seed);
        report.quiet = true;
        power::cut(bench, images, &[("FAULT_INJECTION", fault)], &mut report).await?;
        println!(
            "bites: {name}: {} of {images} images show losses",
            report.bad
        );
        sound &= report.bad > 0;
    }
    let mut report = Report::new("bites", bench.seed);
    report.quiet = true;
    let fault = [("FAULT_INJECTION", "failed-as-done")];
    let sums = failures::attack(bench, FAILURES, &fault, &mut report).await?;
    println!(
        "bites: a failed commit is taken for a good one: {} of {} failures show losses",
        report.bad, sums.failures
    );
    sound &= report.bad > 0;
    let mut report = Report::new("bites", bench.seed);
    power::cut(bench, images, &[], &mut report).await?;
    println!(
        "bites: no fault: {} of {images} images show losses",
        report.bad
    );
    Ok(sound && report.bad == 0)
}
