//! `cavansite-bench fanout`: one thread of many participants, each with a connection that is pushed
//! to, beside the same bytes written to as many TLS connections.

use std::time::Duration;

use clap::Args;

use crate::opening;
use crate::outcome::Outcome;
use crate::plan::{Plan, Running};
use crate::receiver::Way;
use crate::rig::{Fanned, Feed, Load, Rig};
use crate::setup::{self, Sender};

/// Options of `cargo xtask bench fanout`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Participants of the thread
    #[arg(long, value_delimiter = ',', default_values_t = [100, 250])]
    pub(crate) participants: Vec<usize>,
    /// Messages per second at the fixed rate
    #[arg(long, default_value_t = 10.0)]
    pub(crate) rate: f64,
    /// Messages on their way at the same time: the next is sent when all have got one. The largest
    /// number is to saturate the server; with one at a time there is never a backlog to be written
    /// in one go, and the server waits for its clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub(crate) windows: Vec<usize>,
    /// Only this way of pushing
    #[arg(long)]
    pub(crate) only: Option<Kind>,
}

/// A way of pushing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    Sockets,
    Streams,
}

impl Options {
    /// What the report has.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            participants: vec![100, 250],
            rate: 10.0,
            windows: vec![1, 4, 16],
            only: None,
        }
    }
}

impl Options {
    /// Connections over which messages are sent.
    fn senders(&self) -> usize {
        self.windows.iter().copied().fold(SENDERS, usize::max)
    }
}

impl Kind {
    fn way(self) -> Way {
        match self {
            Self::Sockets => Way::Websocket,
            Self::Streams => Way::EventStream,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sockets => "websockets",
            Self::Streams => "event streams",
        }
    }

    /// CPU of a delivery where the server is saturated, in TLS frames.
    fn target(self) -> f64 {
        match self {
            Self::Sockets => 2.0,
            Self::Streams => 1.3,
        }
    }
}

/// Milliseconds within which 99 of 100 messages should have come to all at half load.
const P99_MS_MAX: f64 = 10.0;
/// Connections over which messages are sent at a rate.
const SENDERS: usize = 8;
/// How long a message may take to come to all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures each number of participants in each way.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let kinds = [Kind::Sockets, Kind::Streams];
    for kind in kinds
        .into_iter()
        .filter(|kind| options.only.is_none_or(|only| only == *kind))
    {
        for &participants in &options.participants {
            outcomes.extend(Box::pin(measure(options, kind, participants)).await?);
        }
    }
    Ok(outcomes)
}

async fn measure(
    options: &Options,
    kind: Kind,
    participants: usize,
) -> anyhow::Result<Vec<Outcome>> {
    let plan = &options.plan;
    let folder = plan.fresh_folder("fanout")?;
    let server = plan.serve(&folder, &[]).await?;
    let mut users = setup::users(&server.target, &server.server.ready, participants).await?;
    setup::thread_of(&server.target, &mut users).await?;
    let mut pushed = server_rig(&server, kind.way(), &users, options).await?;
    let bytes = pushed.frame_bytes().await?;
    let bytes_argument = bytes.to_string();
    let floor = plan
        .start_floor(&["fan", "--frame-bytes", &bytes_argument])
        .await?;
    let mut written = floor_rig(&floor, participants, bytes, options).await?;

    let mut both = Both {
        plan,
        written: &mut written,
        pushed: &mut pushed,
    };
    let fixed = both.alternate(Load::PerSecond(options.rate)).await?;
    let mut saturated = Vec::new();
    for &window in &options.windows {
        saturated.push((window, both.alternate(Load::Window(window)).await?));
    }
    let rates = saturated
        .iter()
        .map(|(_, compared)| compared.pushed.messages.median());
    let half = rates.fold(1.0, f64::max) / 2.0;
    let halved = both.alternate(Load::PerSecond(half)).await?;
    drop((written, pushed));
    server.stop().await?;
    std::fs::remove_dir_all(folder)?;

    let name = format!("a delivery to 1 of {participants} {}", kind.name());
    let mut outcomes = vec![fixed.outcome(&format!("{name}, {} messages/s", options.rate), bytes)];
    for (window, compared) in saturated {
        let outcome = |work: &str| compared.outcome(&format!("{name}, {work}"), bytes);
        outcomes.push(if Some(&window) == options.windows.iter().max() {
            let saturated = outcome(&format!("saturated, {window} messages at a time"));
            saturated.at_most_times(kind.target(), 0.0)
        } else {
            outcome(&format!("{window} at a time"))
        });
    }
    let work = format!("{name}, half of the saturated rate");
    outcomes.push(halved.outcome(&work, bytes));
    let p99 = Outcome::of(
        format!("{work}: send to last delivery, p99"),
        "ms",
        halved.pushed.p99_ms.clone(),
    );
    let p99 = p99.beside("TLS frames", &halved.written.p99_ms);
    outcomes.push(p99.at_most(P99_MS_MAX));
    Ok(outcomes)
}

/// The floor and the server, in turn.
struct Both<'a> {
    plan: &'a Plan,
    written: &'a mut Rig,
    pushed: &'a mut Rig,
}

/// What came of both.
struct Compared {
    written: Fanned,
    pushed: Fanned,
}

impl Both<'_> {
    async fn alternate(&mut self, load: Load) -> anyhow::Result<Compared> {
        let mut compared = Compared {
            written: Fanned::default(),
            pushed: Fanned::default(),
        };
        let warm_up = Duration::from_secs_f64(self.plan.warm_up);
        let duration = Duration::from_secs_f64(self.plan.seconds);
        for _ in 0..self.plan.runs {
            let written = self.written.load(load, warm_up, duration).await?;
            compared.written.add(&written);
            let pushed = self.pushed.load(load, warm_up, duration).await?;
            compared.pushed.add(&pushed);
        }
        Ok(compared)
    }
}

impl Compared {
    fn outcome(&self, name: &str, bytes: usize) -> Outcome {
        let cpu = self.pushed.cpu_micros.clone();
        let floor = format!("a TLS frame of {bytes} bytes");
        let mut outcome = Outcome::of(name, "CPU µs", cpu).beside(floor, &self.written.cpu_micros);
        outcome.notes = format!(
            "{}; the floor: {}",
            self.pushed.notes(),
            self.written.notes()
        );
        outcome
    }
}

async fn server_rig(
    server: &Running,
    way: Way,
    users: &[Sender],
    options: &Options,
) -> anyhow::Result<Rig> {
    let mut http = server.target.connect().await?;
    let mut receivers = Vec::with_capacity(users.len());
    for (number, user) in users.iter().enumerate() {
        receivers.push(opening::open(way, &server.target, &mut http, user, number).await?);
    }
    let mut feeds = Vec::new();
    for user in users.iter().cycle().take(options.senders()) {
        feeds.push(Feed::of_user(&server.target, user).await?);
    }
    Ok(Rig::new(
        server.server.pid(),
        receivers,
        feeds,
        None,
        PATIENCE,
    ))
}

async fn floor_rig(
    floor: &Running,
    receivers: usize,
    bytes: usize,
    options: &Options,
) -> anyhow::Result<Rig> {
    let mut opened = Vec::with_capacity(receivers);
    for _ in 0..receivers {
        opened.push(opening::floor(&floor.target).await?);
    }
    let mut feeds = Vec::new();
    for _ in 0..options.senders() {
        feeds.push(Feed::of_floor(&floor.target).await?);
    }
    Ok(Rig::new(
        floor.server.pid(),
        opened,
        feeds,
        Some(bytes),
        PATIENCE,
    ))
}
