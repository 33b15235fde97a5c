//! `cavansite-bench send`: stored sends, beside the floors, in alternating runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::client::Target;
use crate::floors::Appended;
use crate::load::{self, Lane, Measured};
use crate::server::{self, Server};
use crate::setup;
use crate::statistics::{Runs, percentile};

/// Options of `cargo xtask bench send`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The server to measure
    #[arg(long)]
    binary: PathBuf,
    /// Where the data directory is made: a real disk, not memory
    #[arg(long)]
    dir: PathBuf,
    /// Connections in a closed loop
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=200))]
    connections: u16,
    /// Threads that are sent to
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1000])]
    threads: Vec<usize>,
    /// Seconds of each measured run
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds of load before each measurement
    #[arg(long, default_value_t = 2.0)]
    warm_up: f64,
    /// Alternating runs; medians are shown
    #[arg(long, default_value_t = 5)]
    runs: u64,
    /// The core of the servers
    #[arg(long, default_value_t = 0)]
    server_core: usize,
    /// The core of the load
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

impl Options {
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }

    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// Figures of one kind of server.
#[derive(Debug, Default)]
struct Figures {
    cpu_micros: Runs,
    per_second: Runs,
    p50_ms: Runs,
    p99_ms: Runs,
    p999_ms: Runs,
    written_bytes: Runs,
    server_busy: Runs,
    load_busy: Runs,
}

impl Figures {
    fn add(&mut self, measured: &Measured) {
        let millis = |per_mille| f64::from(percentile(&measured.latencies, per_mille)) / 1e3;
        self.cpu_micros
            .add(measured.cpu_seconds * 1e6 / measured.requests);
        self.per_second.add(measured.requests / measured.seconds);
        self.p50_ms.add(millis(500));
        self.p99_ms.add(millis(990));
        self.p999_ms.add(millis(999));
        self.written_bytes
            .add(measured.written_bytes / measured.requests);
        self.server_busy
            .add(100.0 * measured.cpu_seconds / measured.seconds);
        self.load_busy.add(100.0 * measured.load_busy);
    }

    fn print(&self, name: &str) {
        println!("{name}");
        println!("  CPU µs each        {}", self.cpu_micros.show(1));
        println!("  per second         {}", self.per_second.show(0));
        println!("  p50 ms             {}", self.p50_ms.show(2));
        println!("  p99 ms             {}", self.p99_ms.show(2));
        println!("  p99.9 ms           {}", self.p999_ms.show(2));
        println!("  bytes written each {}", self.written_bytes.show(0));
        println!("  server's core %    {}", self.server_busy.show(0));
        println!("  load's core %      {}", self.load_busy.show(0));
    }
}

/// Figures of the append floor.
#[derive(Debug, Default)]
struct AppendFigures {
    cpu_micros: Runs,
    per_second: Runs,
    per_sync: Runs,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let core = server::pin_self(options.load_core).then_some(options.server_core);
    if core.is_none() {
        println!("taskset does not work here: server and load share the cores");
    }
    println!(
        "{} connections (HTTP/1.1, keep-alive, TLS), bodies of {} bytes, {} alternating runs of \
         {} s after {} s of load, in {}; median (min..max)",
        options.connections,
        load::BODY_BYTES,
        options.runs,
        options.seconds,
        options.warm_up,
        options.dir.display(),
    );
    for &threads in &options.threads {
        println!("\n== {threads} threads ==");
        Box::pin(measure(options, core, threads)).await?;
    }
    Ok(())
}

/// One number of threads: echo, append and sends in turn.
async fn measure(options: &Options, core: Option<usize>, threads: usize) -> anyhow::Result<()> {
    let folder = fresh_folder(&options.dir, "echo")?;
    let this = std::env::current_exe()?;
    let mut command = server::pinned(&this, core);
    command.args(["floor", "echo"]);
    let echo = Server::start(command, &folder).await?;
    let echo_target = Target::new(&echo.ready.endpoint, &echo.ready.ca_file)?;
    let echo_lanes = vec![Lane::Echo; usize::from(options.connections)];

    let folder = fresh_folder(&options.dir, "serve")?;
    let server = Server::start(serve(options, core, &folder), &folder).await?;
    let target = Target::new(&server.ready.endpoint, &server.ready.ca_file)?;
    let lanes = lanes(options, &server, &target, threads).await?;

    let (warm_up, duration) = (options.warm_up(), options.duration());
    let (mut echoes, mut sends) = (Figures::default(), Figures::default());
    let mut appends = AppendFigures::default();
    for run in 0..options.runs {
        let measured = load::run(&echo, &echo_target, &echo_lanes, run, warm_up, duration);
        echoes.add(&measured.await?);
        append(options, core, &mut appends)?;
        let measured = load::run(&server, &target, &lanes, run, warm_up, duration);
        sends.add(&measured.await?);
    }
    drop(echo);
    server.stop().await?;
    let per_sync = writes_per_sync(&folder)?;

    echoes.print("floor: TLS echo");
    println!("floor: durable append");
    println!("  CPU µs each        {}", appends.cpu_micros.show(1));
    println!("  per second         {}", appends.per_second.show(0));
    println!("  records per sync   {}", appends.per_sync.show(1));
    sends.print("stored send");
    let floor = echoes.cpu_micros.median() + appends.cpu_micros.median();
    println!(
        "  CPU / floors       {:.2}",
        sends.cpu_micros.median() / floor
    );
    let share = 100.0 * sends.per_second.median() * floor / 1e6;
    println!("  of the floors' throughput on one core {share:.0} %");
    println!("  messages per sync  {per_sync:.1} (of the whole run, setting up included)");
    Ok(())
}

fn serve(options: &Options, core: Option<usize>, folder: &Path) -> Command {
    let mut command = server::pinned(&options.binary, core);
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log",
            "json",
            "--data",
        ])
        .arg(folder.join("data"));
    command
}

async fn lanes(
    options: &Options,
    server: &Server,
    target: &Target,
    threads: usize,
) -> anyhow::Result<Vec<Lane>> {
    let users = usize::from(options.connections);
    let senders = setup::senders(target, &server.ready, users, threads).await?;
    Ok(senders.into_iter().map(Lane::Send).collect())
}

fn append(
    options: &Options,
    core: Option<usize>,
    figures: &mut AppendFigures,
) -> anyhow::Result<()> {
    let folder = fresh_folder(&options.dir, "append")?;
    let output = server::pinned(&std::env::current_exe()?, core)
        .args(["floor", "append", "--file"])
        .arg(folder.join("records"))
        .args(["--writers", &options.connections.to_string()])
        .args(["--warm-up", &options.warm_up.to_string()])
        .args(["--seconds", &options.seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "the append floor failed");
    let appended: Appended = serde_json::from_slice(&output.stdout)?;
    #[expect(clippy::cast_precision_loss, reason = "figures to be shown")]
    let (records, syncs) = (appended.records as f64, appended.syncs as f64);
    figures.cpu_micros.add(appended.cpu_seconds * 1e6 / records);
    figures.per_second.add(records / appended.seconds);
    figures.per_sync.add(records / syncs);
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// How many writes shared a sync, as the server says when it has stopped.
fn writes_per_sync(folder: &Path) -> anyhow::Result<f64> {
    let log = std::fs::read_to_string(folder.join("server.log"))?;
    let lines = log
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<Closed>(line).ok());
    let closed = lines
        .take(3)
        .next()
        .context("the server did not say what it wrote")?;
    Ok(closed.writes / closed.groups)
}

/// The line that a server logs last.
#[derive(serde::Deserialize)]
struct Closed {
    writes: f64,
    groups: f64,
}

/// An empty folder below the given one.
fn fresh_folder(dir: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = dir.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}
