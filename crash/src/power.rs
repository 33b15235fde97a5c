//! Power cuts: runs are recorded below the server, write by write and sync by sync; from a
//! recording come the disks after cuts at many instants, and from each of them a server is started
//! and checked for what was acknowledged before that instant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;

use crate::Bench;
use crate::disk::Recording;
use crate::history::{End, History};
use crate::http::Connection;
use crate::load::{Until, World};
use crate::report::Report;
use crate::server::{Server, Site, Started};
use crate::verify::verify;

/// Images that one recording gives.
const IMAGES_PER_RECORDING: usize = 25;
/// Times that the server runs in one recording.
const RUNS_MAX: usize = 4;
/// How long a sync takes at the least, so that answers and syncs lie apart.
const SYNC_US: &str = "1500";
const LOAD: Until = Until {
    ops: 400,
    time: Duration::from_secs(10),
};

/// Options of `power`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many images to start from
    #[arg(long, default_value_t = 50)]
    pub(crate) images: usize,
}

/// Checks so many images; tells whether nothing was wrong.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let mut report = Report::new("power cuts", bench.seed);
    let recordings = cut(bench, options.images, &[], &mut report).await?;
    let images = options.images;
    Ok(report.close(&format!("{images} images of {recordings} recordings")))
}

/// Makes recordings of a server with these further variables, and checks images of them. Returns
/// how many recordings there were.
pub(crate) async fn cut(
    bench: &Bench,
    images: usize,
    environment: &[(&'static str, &str)],
    report: &mut Report,
) -> anyhow::Result<usize> {
    let mut rng = bench.rng();
    let (mut number, mut recordings) = (0, 0);
    while number < images {
        let folder = bench.dir.join(format!("recording-{recordings}"));
        let site = Site::new(&bench.binary, &folder)?;
        let recorded = record(bench, &site, environment, &mut rng)
            .await
            .with_context(|| format!("recording {recordings}"))?;
        if !report.quiet {
            report.add(
                &format!("recording {recordings}"),
                &site.data(),
                &recorded.faults,
            );
        }
        recordings += 1;
        for _ in 0..IMAGES_PER_RECORDING.min(images - number) {
            let position = recorded.any_position(&mut rng);
            let image = bench.dir.join(format!("image-{number}"));
            let faults = recorded
                .check_image(bench, position, &image, &mut rng, report)
                .await?;
            report.add(&format!("image {number}"), &image, &faults);
            // What broke a promise is left to be looked at.
            if faults.is_empty() || report.quiet {
                std::fs::remove_dir_all(&image)?;
            }
            number += 1;
        }
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(recordings)
}

/// A recorded run, or several of one directory.
pub(crate) struct Recorded {
    pub(crate) world: World,
    pub(crate) recording: Recording,
    /// The certificate of the server's CA, which clients were told to trust.
    authority: Vec<u8>,
    /// Positions at which a restarted server had shown all it had: that must stay.
    shown_at: Vec<u64>,
    /// What was found wrong while it ran.
    faults: Vec<String>,
}

async fn record(
    bench: &Bench,
    site: &Site,
    environment: &[(&'static str, &str)],
    rng: &mut Rng,
) -> anyhow::Result<Recorded> {
    std::fs::File::create(site.record())?;
    let start = async || {
        let mut variables = bench.record(site);
        variables.push(("POWERCUT_DELAY_US", SYNC_US.into()));
        variables.extend(
            environment
                .iter()
                .map(|(name, value)| (*name, value.into())),
        );
        match site.start(variables).await? {
            Started::Running(server) => Ok(server),
            Started::Ended(ended) => anyhow::bail!("it does not start: {}", ended.last_line()),
        }
    };
    let mut server = start().await?;
    let history = History::recorded(&site.record())?;
    let world = World::new(site, history).await?;
    let Some(world) = world else {
        anyhow::bail!("the users could not be made");
    };
    let (mut faults, mut shown_at) = (Vec::new(), Vec::new());
    for _ in 1..rng.usize(2..=RUNS_MAX) {
        world.load(server.address, rng, LOAD).await;
        end(server, &world, rng).await?;
        Recording::read(&site.record())?.check_complete(&site.disk())?;
        server = start().await?;
        let mut history = world.history.take();
        let verdict = verify(server.address, &world.users, &mut history, rng).await?;
        shown_at.push(verdict.shown_at);
        world.history.replace(history);
        world.relearn(verdict.threads);
        faults.extend(verdict.faults);
    }
    world.load(server.address, rng, LOAD).await;
    end(server, &world, rng).await?;
    faults.append(&mut world.faults.borrow_mut());
    Ok(Recorded {
        shown_at,
        faults,
        ..Recorded::new(world, site)?
    })
}

/// Ends a run: in the midst of things, after them, or as it should be.
async fn end(server: Server, world: &World, rng: &mut Rng) -> anyhow::Result<()> {
    match rng.u8(..3) {
        0 => {
            let instant = Duration::from_millis(rng.u64(..50));
            let address = server.address;
            let kill = async {
                tokio::time::sleep(instant).await;
                server.kill()
            };
            let (killed, ()) = tokio::join!(kill, world.load(address, rng, LOAD));
            killed
        }
        1 => server.kill(),
        _ => {
            let code = server.stop().await?;
            anyhow::ensure!(code == Some(0), "it ended with {code:?} when asked to stop");
            Ok(())
        }
    }
}

impl Recorded {
    /// Of a run that ended already.
    pub(crate) fn new(world: World, site: &Site) -> anyhow::Result<Self> {
        let recording = Recording::read(&site.record())?;
        recording.check_complete(&site.disk())?;
        Ok(Self {
            world,
            recording,
            authority: std::fs::read(authority(site))?,
            shown_at: Vec::new(),
            faults: Vec::new(),
        })
    }

    /// Cuts come just after an answer, just after a restart, or anywhere.
    fn any_position(&self, rng: &mut Rng) -> u64 {
        if let (0..2, Some(position)) = (rng.u8(..10), rng.choice(&self.shown_at)) {
            return *position;
        }
        let history = self.world.history.borrow();
        let answered = history.ops.iter().filter_map(|op| match &op.ended {
            Some((moment, End::Done(_))) if op.action.is_write() => Some(moment.position),
            _ => None,
        });
        let answered = rng.choice(answered.collect::<Vec<_>>());
        match answered {
            Some(position) if rng.bool() => position,
            _ => self.recording.any_position(rng),
        }
    }

    /// Makes the disk after a cut at that position, starts a server from it and checks it.
    pub(crate) async fn check_image(
        &self,
        bench: &Bench,
        position: u64,
        folder: &Path,
        rng: &mut Rng,
        report: &mut Report,
    ) -> anyhow::Result<Vec<String>> {
        let site = Site::new(&bench.binary, folder)?;
        self.recording.cut(position, rng).write(&site.disk())?;
        let server = match site.start(std::iter::empty::<(&str, &str)>()).await? {
            Started::Running(server) => server,
            Started::Ended(ended) => {
                return Ok(vec![format!("it does not start: {}", ended.last_line())]);
            }
        };
        let users = &self.world.users;
        let known = self.world.users_known(position);
        let mut faults = if known < users.len() {
            let mut faults = Vec::new();
            for user in &users[..known] {
                let mut connection = Connection::open(server.address, &user.token).await?;
                let status = connection.get("/chat/threads").await?.status;
                if status != 200 {
                    faults.push(format!("a user that was made is answered with {status}"));
                }
            }
            report.acknowledged += known;
            faults
        } else {
            let mut history = self.world.history.borrow().until(position);
            let verdict = verify(server.address, users, &mut history, rng).await?;
            report.acknowledged += verdict.acknowledged;
            verdict.faults
        };
        server.kill()?;
        if known > 0 && std::fs::read(authority(&site))? != self.authority {
            faults.push("it has another CA than clients were told to trust".to_owned());
        }
        Ok(faults)
    }
}

/// Where a server keeps the certificate of its CA.
fn authority(site: &Site) -> PathBuf {
    site.data().join("tls/ca.pem")
}
