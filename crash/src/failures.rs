//! Failing disks: writes and syncs of the server fail (no space, I/O error), once, a few times or
//! from then on. It must refuse what it cannot keep, go on when the disk does, and hold what it
//! acknowledged: after a restart, and on the disk that a power cut would have left.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;

use crate::Bench;
use crate::disk::Recording;
use crate::history::{End, History};
use crate::load::{Until, World};
use crate::power::Recorded;
use crate::report::Report;
use crate::server::{Ended, Server, Site, Started};
use crate::verify::verify;

const EIO: u8 = 5;
const ENOSPC: u8 = 28;
/// The first writes belong to the start of the server, and some more to its first users.
const WRITES_AT_START: u64 = 60;
const WRITES_MAX: u64 = 300;
/// The syncs of the start and of the first users, each of which fails once in every run.
const SYNCS_AT_START: u64 = 14;
const SYNCS_MAX: u64 = 100;
/// Disks after a power cut that are made of each failure: a name is lost in every other one.
const IMAGES: usize = 4;
const LOAD: Until = Until {
    ops: 250,
    time: Duration::from_secs(5),
};
/// Enough to see whether writes are taken again.
const AFTERWARDS: Until = Until {
    ops: 40,
    time: Duration::from_secs(5),
};

/// Options of `failures`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many failures, beside one of each sync at the start
    #[arg(long, default_value_t = 20)]
    pub(crate) count: usize,
}

/// A failure to come, as the preloaded library takes it.
struct Failure {
    on_sync: bool,
    from: u64,
    error: u8,
    /// 0: from then on all.
    count: u64,
}

impl Failure {
    fn any(rng: &mut Rng) -> Self {
        let on_sync = rng.bool();
        let (at_start, max) = if on_sync {
            (SYNCS_AT_START, SYNCS_MAX)
        } else {
            (WRITES_AT_START, WRITES_MAX)
        };
        Self {
            on_sync,
            from: match rng.u8(..5) {
                0 => rng.u64(1..=at_start),
                _ => rng.u64(at_start..max),
            },
            error: if on_sync || rng.bool() { EIO } else { ENOSPC },
            count: match rng.u8(..4) {
                0 | 1 => 1,
                2 => rng.u64(2..6),
                _ => 0,
            },
        }
    }

    /// Of one sync, once: most of them are made once, and cannot be made good by a later one.
    fn of_sync(number: u64) -> Self {
        Self {
            on_sync: true,
            from: number,
            error: EIO,
            count: 1,
        }
    }

    fn variable(&self) -> String {
        let kind = if self.on_sync { "sync" } else { "write" };
        format!("{kind}:{}:{}:{}", self.from, self.error, self.count)
    }
}

/// What the failures came to.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) failures: usize,
    refused_starts: usize,
    refused_writes: usize,
}

/// Lets so many disks fail; tells whether nothing was wrong.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let mut report = Report::new("failing disks", bench.seed);
    let sums = attack(bench, options.count, &[], &mut report).await?;
    Ok(report.close(&format!(
        "{} failures, {} starts and {} writes refused",
        sums.failures, sums.refused_starts, sums.refused_writes
    )))
}

/// Lets so many disks fail, and one at each of the first syncs, of a server with these further
/// variables.
pub(crate) async fn attack(
    bench: &Bench,
    count: usize,
    environment: &[(&'static str, &str)],
    report: &mut Report,
) -> anyhow::Result<Sums> {
    let mut rng = bench.rng();
    let mut sums = Sums::default();
    let mut failures: Vec<Failure> = (1..=SYNCS_AT_START).map(Failure::of_sync).collect();
    failures.extend((0..count).map(|_| Failure::any(&mut rng)));
    for (number, failure) in failures.iter().enumerate() {
        let site = Site::new(&bench.binary, &bench.dir.join(format!("failure-{number}")))?;
        let case = format!("failure {number} ({})", failure.variable());
        let mut variables = bench.record(&site);
        let environment = environment.iter();
        variables.extend(environment.map(|(name, value)| (*name, value.into())));
        let faults = fail(
            bench, &site, failure, variables, &mut rng, report, &mut sums,
        )
        .await
        .with_context(|| case.clone())?;
        report.add(&case, &site.data(), &faults);
        if faults.is_empty() || report.quiet {
            std::fs::remove_dir_all(site.folder())?;
        }
    }
    sums.failures = failures.len();
    Ok(sums)
}

async fn fail(
    bench: &Bench,
    site: &Site,
    failure: &Failure,
    variables: Vec<(&'static str, OsString)>,
    rng: &mut Rng,
    report: &mut Report,
    sums: &mut Sums,
) -> anyhow::Result<Vec<String>> {
    std::fs::File::create(site.record())?;
    let mut failing = variables.clone();
    failing.push(("POWERCUT_FAIL", failure.variable().into()));
    let mut faults = Vec::new();
    let mut started = site.start(failing).await?;
    let mut failure_is_over = failure.count > 0;
    if let Started::Ended(ended) = &started {
        sums.refused_starts += 1;
        failure_is_over = true;
        faults.extend(unclear(ended));
        // The disk works again. What the refused start left is not all synced.
        started = site.start(variables).await?;
    }
    let mut server = match started {
        Started::Running(server) => server,
        Started::Ended(ended) => {
            faults.push(not_again(&ended));
            return Ok(faults);
        }
    };
    let history = History::recorded(&site.record())?;
    let Some(world) = World::new(site, history).await? else {
        sums.refused_writes += 1;
        if !server.runs()? {
            faults.push(DIED.to_owned());
        } else if failure_is_over {
            faults.push(TAKES_NONE.to_owned());
        }
        end(server, rng).await?;
        faults.extend(panicked(&site.log()?));
        Recording::read(&site.record())?.check_complete(&site.disk())?;
        faults.extend(restart(site, None, rng, report).await?);
        return Ok(faults);
    };
    let (server, refused) = load(&world, server, failure_is_over, rng, &mut faults).await?;
    sums.refused_writes += refused;
    let log = site.log()?;
    end(server, rng).await?;
    faults.extend(panicked(&log));
    let recorded = Recorded::new(world, site)?;
    for number in 0..IMAGES {
        let position = if rng.bool() {
            u64::MAX
        } else {
            recorded.recording.any_position(rng)
        };
        let image = site.folder().join(format!("image-{number}"));
        let of_image = recorded
            .check_image(bench, position, &image, rng, report)
            .await?;
        let of_image = of_image.into_iter();
        faults.extend(of_image.map(|fault| format!("after a power cut: {fault}")));
    }
    faults.extend(restart(site, Some(recorded.world), rng, report).await?);
    Ok(faults)
}

/// Runs clients into the failure and beyond. Returns how many operations were refused.
async fn load(
    world: &World,
    mut server: Server,
    failure_is_over: bool,
    rng: &mut Rng,
    faults: &mut Vec<String>,
) -> anyhow::Result<(Server, usize)> {
    world.load(server.address, rng, LOAD).await;
    let before = world.history.borrow().ops.len();
    world.load(server.address, rng, AFTERWARDS).await;
    if !server.runs()? {
        faults.push(DIED.to_owned());
    }
    faults.append(&mut world.faults.borrow_mut());
    let history = world.history.borrow();
    let refused = history
        .ops
        .iter()
        .filter(|op| matches!(op.ended, Some((_, End::Refused))));
    let refused = refused.count();
    let mut afterwards = history.ops[before..]
        .iter()
        .filter(|op| op.action.is_write());
    let takes = afterwards.any(|op| matches!(op.ended, Some((_, End::Done(_)))));
    if failure_is_over && !takes {
        faults.push(TAKES_NONE.to_owned());
    }
    Ok((server, refused))
}

async fn end(server: Server, rng: &mut Rng) -> anyhow::Result<()> {
    if rng.bool() {
        return server.kill();
    }
    server.stop().await.map(drop)
}

/// Starts it on a disk that works and checks it.
async fn restart(
    site: &Site,
    world: Option<World>,
    rng: &mut Rng,
    report: &mut Report,
) -> anyhow::Result<Vec<String>> {
    let server = match site.start(std::iter::empty::<(&str, &str)>()).await? {
        Started::Running(server) => server,
        Started::Ended(ended) => return Ok(vec![not_again(&ended)]),
    };
    let Some(world) = world else {
        server.kill()?;
        return Ok(Vec::new());
    };
    let mut history = world.history.take();
    let verdict = verify(server.address, &world.users, &mut history, rng).await?;
    server.kill()?;
    report.acknowledged += verdict.acknowledged;
    Ok(verdict.faults)
}

const DIED: &str = "it has died";
const TAKES_NONE: &str = "it takes no writes though the disk works again";

fn panicked(log: &str) -> Option<String> {
    log.contains("panicked").then(|| "it panicked".to_owned())
}

fn not_again(ended: &Ended) -> String {
    format!("it does not start again: {}", ended.last_line())
}

/// What is wrong with the way in which it refused to start.
pub(crate) fn unclear(ended: &Ended) -> Option<String> {
    let last = ended.last_line();
    let is_clear = ended.code == Some(1)
        && last.starts_with("cavansite: ")
        && last.contains(": check ")
        && !ended.log.contains("panicked");
    (!is_clear).then(|| format!("it ended with {:?} and the line {last:?}", ended.code))
}
