//! The proof that the harness bites: a server that does not sync, and one that answers before it
//! syncs, both of the `fault-injection` feature, must be found to lose what they acknowledged, and
//! the same server without a fault must not.

use crate::Bench;
use crate::power;
use crate::report::Report;

/// The faults, by their name in `FAULT_INJECTION`.
const FAULTS: [(&str, &str); 2] = [
    ("unsynced", "synchronous=OFF"),
    ("answer-first", "the answer before the sync"),
];

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
    power::cut(bench, images, &[], &mut report).await?;
    println!(
        "bites: no fault: {} of {images} images show losses",
        report.bad
    );
    Ok(sound && report.bad == 0)
}
