//! What a program takes on that depends on the client: crates, and the time of a first build.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::statistics::Runs;

/// Measures; the build once, since it takes as long as all runs of another measurement.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Vec<Outcome>> {
    let all = crates(&[])?;
    let without = crates(&["--no-default-features"])?;
    let mut counted = Outcome::of(
        "crates that the client brings along",
        "crates",
        once(all.len())?,
    );
    counted.notes = format!("{} without the feature realtime", without.len());
    let target = plan.fresh_folder("client-build")?;
    let begin = Instant::now();
    let status = cargo()?
        .args(["build", "--release", "--locked", "--quiet"])
        .args(["--package=cavansite-client", "--target-dir"])
        .arg(std::path::absolute(&target)?)
        .status()?;
    let mut seconds = Runs::default();
    seconds.add(begin.elapsed().as_secs_f64());
    anyhow::ensure!(status.success(), "the client does not build");
    std::fs::remove_dir_all(target)?;
    let work = "release build of the client, nothing built before";
    Ok(vec![counted, Outcome::of(work, "s", seconds)])
}

fn once(count: usize) -> anyhow::Result<Runs> {
    let mut runs = Runs::default();
    runs.add(f64::from(u32::try_from(count)?));
    Ok(runs)
}

/// The crates in the client's build, itself aside.
fn crates(features: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let output = cargo()?
        .args(["tree", "--locked", "--package=cavansite-client"])
        .args(["--edges=normal,build", "--prefix=none", "--format={p}"])
        .args(features)
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "cargo tree: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let listed = String::from_utf8(output.stdout).context("cargo tree")?;
    Ok(listed
        .lines()
        .map(|line| line.trim_end_matches(" (*)").to_owned())
        .filter(|line| !line.is_empty() && !line.starts_with("cavansite-client "))
        .collect())
}

/// cargo in the workspace, on every core, as a developer has it. This process is kept on one.
fn cargo() -> anyhow::Result<Command> {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let mut command = Command::new("taskset");
    command
        .args(["-c", online.trim(), "cargo"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    Ok(command)
}
