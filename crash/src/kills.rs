//! Kills: the server dies by SIGKILL while clients run, at random instants and at marked points
//! around the commit, is started again and checked.

use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;

use crate::Bench;
use crate::history::History;
use crate::load::{Until, World};
use crate::report::Report;
use crate::server::{Server, Site, Started};
use crate::verify::verify;

/// Kills after which a new directory is begun, so that a check stays short.
const KILLS_PER_DIRECTORY: usize = 25;
/// The latest instant of a random kill after the clients began.
const INSTANT_MAX_MS: u64 = 120;
/// How long clients run when the marked point does not come.
const LOAD: Until = Until {
    ops: usize::MAX,
    time: Duration::from_millis(400),
};
/// Where the preloaded library kills, and up to which passing of the point.
const POINTS: [(&str, u64); 5] = [
    ("before-write", 150),
    ("torn-write", 150),
    ("after-write", 60),
    ("after-sync", 60),
    ("after-answer", 400),
];

/// Options of `kills`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many kills
    #[arg(long, default_value_t = 50)]
    pub(crate) count: usize,
}

/// Kills so many times; tells whether nothing was wrong.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let mut rng = bench.rng();
    let mut report = Report::new("kills", bench.seed);
    let (mut kills, mut marked, mut directories) = (0, 0, 0);
    while kills < options.count {
        let folder = bench.dir.join(format!("kills-{directories}"));
        let mut directory = Directory {
            site: Site::new(&bench.binary, &folder)?,
            world: None,
            bench,
            rng: rng.fork(),
            report: &mut report,
        };
        directories += 1;
        let mut sound = true;
        for _ in 0..KILLS_PER_DIRECTORY.min(options.count - kills) {
            let (was_marked, is_sound) = directory.kill_and_check(kills).await?;
            kills += 1;
            marked += usize::from(was_marked);
            sound = is_sound;
            if !sound {
                break;
            }
        }
        // What broke a promise is left to be looked at.
        if sound {
            std::fs::remove_dir_all(&folder)?;
        }
    }
    Ok(report.close(&format!("{kills} kills, {marked} of them at marked points")))
}

/// A data directory that lives through several kills.
struct Directory<'a> {
    site: Site,
    /// `None` until its users could be made.
    world: Option<World>,
    bench: &'a Bench,
    rng: Rng,
    report: &'a mut Report,
}

impl Directory<'_> {
    /// Runs, kills, starts again, checks. Tells whether it died at a marked point, and whether all
    /// was well.
    async fn kill_and_check(&mut self, number: usize) -> anyhow::Result<(bool, bool)> {
        let point = self.rng.bool().then(|| {
            let (point, passings_max) = POINTS[self.rng.usize(..POINTS.len())];
            format!("{point}:{}", self.rng.u64(1..=passings_max))
        });
        let was_marked = self.run_and_kill(point.as_deref()).await?;
        let server = match self.site.start(std::iter::empty::<(&str, &str)>()).await? {
            Started::Running(server) => server,
            Started::Ended(ended) => {
                let fault = format!("it does not start again: {}", ended.last_line());
                self.report
                    .add(&format!("kill {number}"), &self.site.data(), &[fault]);
                return Ok((was_marked, false));
            }
        };
        let mut faults = Vec::new();
        if let Some(world) = &self.world {
            faults.append(&mut world.faults.borrow_mut());
            let mut history = world.history.take();
            let verdict = verify(server.address, &world.users, &mut history, &mut self.rng).await?;
            world.history.replace(history);
            world.relearn(verdict.threads);
            self.report.acknowledged += verdict.acknowledged;
            faults.extend(verdict.faults);
        }
        server.kill()?;
        let case = format!("kill {number} ({})", point.as_deref().unwrap_or("random"));
        self.report.add(&case, &self.site.data(), &faults);
        Ok((was_marked, faults.is_empty()))
    }

    /// Lets clients run until the server is dead. Tells whether it died at a marked point.
    async fn run_and_kill(&mut self, point: Option<&str>) -> anyhow::Result<bool> {
        let mut environment = Vec::new();
        if let Some(point) = point {
            environment = self.bench.preload(&self.site);
            environment.push(("POWERCUT_KILL", point.into()));
        }
        let mut server = match self.site.start(environment).await? {
            Started::Running(server) => server,
            // The point came at the start.
            Started::Ended(ended) if ended.code.is_none() => return Ok(true),
            Started::Ended(ended) => anyhow::bail!("it does not start: {}", ended.last_line()),
        };
        if self.world.is_none() {
            self.world = World::new(&self.site, History::default()).await?;
        }
        if let Some(world) = &self.world {
            let address = server.address;
            let mut rng = self.rng.fork();
            let load = world.load(address, &mut rng, LOAD);
            if point.is_some() {
                load.await;
                let died = !server.runs()?;
                server.kill()?;
                return Ok(died);
            }
            let instant = Duration::from_millis(self.rng.u64(..INSTANT_MAX_MS));
            let (killed, ()) = tokio::join!(kill_after(server, instant), load);
            killed?;
            return Ok(false);
        }
        anyhow::ensure!(point.is_some(), "the users could not be made");
        server.end().await.context("the users could not be made")?;
        Ok(true)
    }
}

async fn kill_after(server: Server, instant: Duration) -> anyhow::Result<()> {
    tokio::time::sleep(instant).await;
    server.kill()
}
