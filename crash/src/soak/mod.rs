//! The soak: users talk for as long as one likes, over websockets and event streams that are cut,
//! slow, replaced and refused, with a server that is killed and stopped; a model then says who had
//! to be told what, and who must not.
//!
//! It goes in rounds. Each has threads of its own; at its end everybody but the server comes to
//! rest, the threads are read back, and what each device was told is compared with them (`verify`).
//! In the first quarter of the time the server is killed every few seconds. Afterwards one process
//! lives to the end, and its resident memory is watched.

mod acts;
mod bites;
mod device;
mod event;
mod ledger;
mod memory;
mod stream;
mod verify;
mod websocket;
mod world;

use std::cell::RefCell;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use fastrand::Rng;
use futures_util::future::join_all;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep, sleep_until};

use crate::Bench;
use crate::report::Report;
use crate::server::{Server, Site, Started};
use acts::{ACTORS, Actor};
use device::{Device, Kind, Temper};
use ledger::Ledger;
use memory::Samples;
use verify::{Findings, verify};
use world::{Thread, World, count};

pub(crate) use bites::{Options as BitesOptions, run as run_bites};

/// Users; one more is in no thread.
const USERS: usize = 24;
/// The server's settings. Bounds are small, so that they are reached: caches fill in the warm-up,
/// and clients that are slow for seconds have more waiting for them than is kept.
const SETTINGS: [(&str, &str); 10] = [
    ("CAVANSITE_REALTIME_RESUME_WINDOW_MS", "60000"),
    ("CAVANSITE_REALTIME_KEPT_BYTES_MAX", "131072"),
    ("CAVANSITE_REALTIME_UNANSWERED_BYTES_MAX", "32768"),
    ("CAVANSITE_REALTIME_KEPT_BYTES_OF_ALL_MAX", "4194304"),
    ("CAVANSITE_LIMITS_THREAD_CACHE_BYTES_MAX", "4194304"),
    ("CAVANSITE_LIMITS_PAGE_CACHE_BYTES_MAX", "262144"),
    ("CAVANSITE_LIMITS_TOKEN_MINUTES_MIN", "1"),
    ("CAVANSITE_LIMITS_TOKEN_MINUTES_DEFAULT", "1"),
    ("CAVANSITE_LIMITS_SEND_REPEAT_WINDOW_MS", "10000"),
    ("CAVANSITE_LIMITS_SEND_REPEATS_PER_THREAD_MAX", "1000"),
];
/// Rounds whose threads are looked at again: so long may the server tell of them.
const ROUNDS_KEPT: usize = 3;
/// How often the server's memory is read.
const SAMPLE: Duration = Duration::from_millis(500);
/// Resident memory may grow by so many percent after the warm-up.
const GROWTH_PERCENT_MAX: f64 = 5.0;
/// In less than this, in seconds, what grows is warm-up: memory is reported alone.
const MEMORY_SECONDS_MIN: u64 = 900;

/// Options of `soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long, in seconds
    #[arg(long, default_value_t = 1200)]
    seconds: u64,
}

/// How a soak goes.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// How long the server is killed every few seconds.
    kills: Duration,
    /// How long it lives afterwards.
    steady: Duration,
    round: Duration,
    /// How long what is owed may take after a round.
    patience: Duration,
    is_quiet: bool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    rounds: usize,
    owed: usize,
    again: usize,
    faults: Vec<String>,
    /// KiB after the warm-up and at the end.
    memory: Option<(u32, u32)>,
}

/// Soaks for so long; tells whether nothing was wrong.
pub(crate) async fn run(bench: &Bench, options: &Options) -> anyhow::Result<bool> {
    let all = Duration::from_secs(options.seconds);
    let plan = Plan {
        kills: all / 4,
        steady: all * 3 / 4,
        round: (all / 6).clamp(Duration::from_secs(5), Duration::from_secs(40)),
        patience: Duration::from_mins(4),
        is_quiet: false,
    };
    let folder = bench.dir.join("soak");
    let mut report = Report::new("soak", bench.seed);
    let (mut outcome, world) = soak(bench, &folder, plan, &[]).await?;
    if outcome.faults.is_empty() {
        outcome.faults = left_out(&world, options.seconds);
    }
    let memory = grown(&mut outcome, options.seconds >= MEMORY_SECONDS_MIN);
    println!("soak: {}", happened(&world));
    let counts = &world.counts;
    report.acknowledged = counts.acknowledged.get();
    report.add("the run", &folder, &outcome.faults);
    if outcome.faults.is_empty() {
        std::fs::remove_dir_all(&folder)?;
    } else {
        let list = outcome.faults.join("\n");
        std::fs::write(folder.join("faults.txt"), list)?;
    }
    Ok(report.close(&format!(
        "{} rounds, {} kills, {} stops; {} events told, {} of them owed, {} again; {memory}",
        outcome.rounds,
        counts.kills.get(),
        counts.stops.get(),
        counts.told.get(),
        outcome.owed,
        outcome.again,
    )))
}

/// How often what happened, for people.
fn happened(world: &World) -> String {
    let counts = named(world).into_iter();
    let counts: Vec<String> = counts
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    counts.join(", ")
}

/// What is to happen in a soak, and how often it did.
fn named(world: &World) -> [(&'static str, usize); 11] {
    let counts = &world.counts;
    [
        ("joins", &counts.joins),
        ("leaves", &counts.leaves),
        ("kills", &counts.kills),
        ("stalls", &counts.stalls),
        ("cuts", &counts.cuts),
        ("new identities", &counts.new_identities),
        ("replaced connections", &counts.replaced),
        ("overflows of websockets", &counts.overflows),
        ("overflows of streams", &counts.caught_up),
        ("graceful stops", &counts.stops),
        ("tokens that ended", &counts.tokens_ended),
    ]
    .map(|(name, count)| (name, count.get()))
}

/// What became of the memory, for people; a fault if it grew by too much and `must_hold`.
fn grown(outcome: &mut Outcome, must_hold: bool) -> String {
    let Some((first, last)) = outcome.memory else {
        if must_hold {
            outcome.faults.push("no memory was read".to_owned());
        }
        return "no memory was read".to_owned();
    };
    let percent = (f64::from(last) / f64::from(first) - 1.0) * 100.0;
    let memory = format!("resident memory {first} to {last} KiB ({percent:+.1} %)");
    if percent >= GROWTH_PERCENT_MAX && must_hold {
        outcome.faults.push(format!("after the warm-up, {memory}"));
    }
    memory
}

/// What should have happened in a run of that length and did not: the last ones need more time.
fn left_out(world: &World, seconds: u64) -> Vec<String> {
    let all = named(world);
    let expected = if seconds < 120 {
        all.len() - 4
    } else {
        all.len()
    };
    let missed = all[..expected].iter().filter(|(_, count)| *count == 0);
    missed
        .map(|(name, _)| format!("there were no {name}: the run shows less than it should"))
        .collect()
}

/// Soaks by a plan, with further variables for the server; stops at the first fault.
async fn soak(
    bench: &Bench,
    folder: &Path,
    plan: Plan,
    variables: &[(&'static str, &str)],
) -> anyhow::Result<(Outcome, Rc<World>)> {
    let mut rng = bench.rng();
    let site = Site::new(&bench.binary, folder)?.listening_at(free_address(&mut rng)?);
    let settings = SETTINGS.iter().chain(variables);
    let settings = settings.map(|(name, value)| (*name, (*value).into()));
    let mut running = Running::start(site.clone(), settings.collect()).await?;
    let address = running.server()?.address;
    let world = Rc::new(World::new(site, address, USERS + 1).await?);
    let soak = Box::pin(async {
        for device in devices(&world, &mut rng) {
            spawn_local(device::live(Rc::clone(&world), device, rng.fork()));
        }
        let outcome = rounds(&world, &mut running, plan, &mut rng).await;
        world.is_over.set(true);
        outcome
    });
    let outcome = LocalSet::new().run_until(soak).await?;
    Ok((outcome, world))
}

/// A port that no client gets as its own: one that connects to itself there would keep the server
/// from coming back.
fn free_address(rng: &mut Rng) -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, rng.u16(20_000..30_000)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}

/// The devices of all users: a websocket each, for some a second one, for some a stream.
fn devices(world: &World, rng: &mut Rng) -> Vec<Rc<Device>> {
    let tempers = [
        Temper::Steady,
        Temper::Flaky,
        Temper::Slow,
        Temper::Restless,
    ];
    // The tempers of websockets in turn, so that none is missing.
    let mut websockets = rng.usize(..4);
    let mut add = |user: usize, kind| {
        let epid = format!("e{}", world.number());
        let temper = match kind {
            Kind::Websocket => {
                websockets += 1;
                tempers[websockets % tempers.len()]
            }
            Kind::Stream => tempers[rng.usize(..3)],
        };
        let device = Rc::new(Device::new(user, kind, temper, epid));
        world.devices.borrow_mut().push(Rc::clone(&device));
        device
    };
    let mut devices = Vec::new();
    for user in 0..=USERS {
        devices.push(add(user, Kind::Websocket));
        if user % 3 == 0 {
            devices.push(add(user, Kind::Websocket));
        }
        if user % 2 == 0 {
            devices.push(add(user, Kind::Stream));
        }
    }
    devices
}

/// The rounds, to the end of the plan or to the first fault.
async fn rounds(
    world: &Rc<World>,
    running: &mut Running,
    plan: Plan,
    rng: &mut Rng,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut actor = Actor::new(world, rng.fork());
    let mut settled = Vec::new();
    let samples = Rc::new(RefCell::new(Samples::default()));
    let begin = Instant::now();
    let mut steady_since = None;
    while begin.elapsed() < plan.kills + plan.steady && outcome.faults.is_empty() {
        let is_steady = begin.elapsed() >= plan.kills;
        if is_steady && steady_since.is_none() {
            steady_since = Some(Instant::now());
            watch(world, running.server()?.pid(), &samples);
        }
        outcome.rounds += 1;
        actor.make_threads(outcome.rounds).await?;
        connected(world, plan.patience).await?;
        world.is_quiet.set(false);
        let end = Instant::now() + plan.round;
        let (mut of_kills, mut of_load) = (rng.fork(), rng.fork());
        let kills = async {
            if is_steady {
                return Ok(());
            }
            running.attack(world, &mut of_kills, end).await
        };
        let (attacked, ()) = tokio::join!(kills, load(world, &mut of_load, end));
        attacked?;
        world.is_quiet.set(true);
        if !running.server()?.runs()? {
            outcome.faults.push("the server ended by itself".to_owned());
            break;
        }
        settle(world, &mut actor, &mut settled, plan.patience, &mut outcome).await?;
        if !plan.is_quiet {
            println!(
                "soak: {:.0} s, round {}: {} requests acknowledged, {} events told, {} KiB",
                begin.elapsed().as_secs_f64(),
                outcome.rounds,
                world.counts.acknowledged.get(),
                world.counts.told.get(),
                memory::resident_kib(running.server()?.pid())?,
            );
        }
    }
    // The first third is warm-up: the resume window has passed several times, and five connections
    // to the database have filled their caches.
    outcome.memory = steady_since.and_then(|at| samples.borrow().ends(at + plan.steady / 3));
    Ok(outcome)
}

/// Reads the memory of that process from now on.
fn watch(world: &Rc<World>, pid: u32, samples: &Rc<RefCell<Samples>>) {
    let (world, samples) = (Rc::clone(world), Rc::clone(samples));
    spawn_local(async move {
        // An error means that the process has ended.
        while !world.is_over.get() && samples.borrow_mut().take(pid).is_ok() {
            sleep(SAMPLE).await;
        }
    });
}

/// Waits until all devices are connected.
async fn connected(world: &World, patience: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while !are_connected(world) {
        anyhow::ensure!(Instant::now() < end, "not all devices could connect");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

fn are_connected(world: &World) -> bool {
    let devices = world.devices.borrow();
    let mut present = devices.iter().filter(|device| !device.has_stopped.get());
    present.all(|device| device.is_connected.get())
}

/// Users act, and one thread is flooded in the middle of it.
async fn load(world: &World, rng: &mut Rng, end: Instant) {
    let mut actors: Vec<_> = (0..ACTORS).map(|_| Actor::new(world, rng.fork())).collect();
    let mut flooder = Actor::new(world, rng.fork());
    let left = end.saturating_duration_since(Instant::now());
    let flood = async {
        sleep(left / 2).await;
        flooder.flood(end).await;
    };
    let acts = actors.iter_mut().map(|actor| actor.act_until(end));
    tokio::join!(flood, join_all(acts));
}

/// Reads the threads of the round back and waits until everybody was told what they are owed.
async fn settle(
    world: &World,
    actor: &mut Actor<'_>,
    settled: &mut Vec<(Rc<Thread>, Ledger)>,
    patience: Duration,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    forget(world, settled, outcome.rounds);
    let threads = world.threads.borrow().clone();
    for thread in threads {
        let ledger = Ledger::read(actor, &thread, &world.names).await?;
        settled.push((thread, ledger));
    }
    let end = Instant::now() + patience;
    loop {
        let (mut new, mut old) = (Findings::default(), Findings::default());
        let devices = world.devices.borrow().clone();
        for (thread, ledger) in &*settled {
            let is_new = thread.round == outcome.rounds;
            let findings = if is_new { &mut new } else { &mut old };
            verify(&devices, thread, ledger, findings);
            findings.wrong.extend(ledger.faults.iter().cloned());
        }
        outcome.faults.append(&mut world.faults.borrow_mut());
        let all_told = new.missing.is_empty() && old.missing.is_empty();
        if (all_told && are_connected(world)) || Instant::now() > end {
            outcome.owed += new.owed;
            outcome.again += new.again;
            for findings in [new, old] {
                outcome.faults.extend(findings.missing);
                outcome.faults.extend(findings.wrong);
            }
            return Ok(());
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Forgets the threads of which nobody is told any more.
fn forget(world: &World, settled: &mut Vec<(Rc<Thread>, Ledger)>, round: usize) {
    let is_over = |thread: &Thread| thread.round + ROUNDS_KEPT <= round;
    let devices = world.devices.borrow();
    for (thread, _) in settled.iter().filter(|(thread, _)| is_over(thread)) {
        for device in &*devices {
            device.told.borrow_mut().remove(&thread.number);
        }
    }
    settled.retain(|(thread, _)| !is_over(thread));
}

/// The server, which comes back on the same data and the same port.
#[derive(Debug)]
struct Running {
    site: Site,
    settings: Vec<(&'static str, OsString)>,
    server: Option<Server>,
}

impl Running {
    async fn start(site: Site, settings: Vec<(&'static str, OsString)>) -> anyhow::Result<Self> {
        let mut running = Self {
            site,
            settings,
            server: None,
        };
        running.come_back().await?;
        Ok(running)
    }

    fn server(&mut self) -> anyhow::Result<&mut Server> {
        self.server.as_mut().context("the server is away")
    }

    async fn come_back(&mut self) -> anyhow::Result<()> {
        let settings = self.settings.iter().map(|(name, value)| (name, value));
        match self.site.start(settings).await? {
            Started::Running(server) => self.server = Some(server),
            Started::Ended(ended) => bail!("the server does not start: {}", ended.last_line()),
        }
        Ok(())
    }

    /// Kills or stops it every few seconds until that time; it runs afterwards.
    async fn attack(&mut self, world: &World, rng: &mut Rng, end: Instant) -> anyhow::Result<()> {
        loop {
            let next = Instant::now() + Duration::from_millis(rng.u64(1_500..7_000));
            if next > end {
                sleep_until(end).await;
                return Ok(());
            }
            sleep_until(next).await;
            let Some(server) = self.server.take() else {
                bail!("the server is away");
            };
            // The first time, and three times in four: each comes in short runs too.
            if world.counts.kills.get() <= 3 * world.counts.stops.get() {
                count(&world.counts.kills);
                server.kill()?;
            } else {
                count(&world.counts.stops);
                let code = server.stop().await?;
                if code != Some(0) {
                    world.fault(format!("a graceful stop ended with {code:?}"));
                }
            }
            sleep(Duration::from_millis(rng.u64(..1_000))).await;
            self.come_back().await?;
        }
    }
}
