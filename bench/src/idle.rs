//! `cavansite-bench idle`: many websockets on which nothing happens, what they take, whether all of
//! them live, and how long a message takes to those of one thread among them.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::opening;
use crate::outcome::Outcome;
use crate::plan::{Plan, Running};
use crate::receiver::{Came, Receiver, Way};
use crate::rig::Feed;
use crate::server;
use crate::setup::{self, Sender};
use crate::statistics::Runs;
use crate::tally::Tally;

/// Options of `cargo xtask bench idle`.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Websockets that are held, each of a user of its own
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=25_000))]
    pub(crate) sockets: u32,
    /// Participants of the thread among them
    #[arg(long, default_value_t = 250)]
    pub(crate) participants: usize,
    /// Heartbeats that each has to answer
    #[arg(long, default_value_t = 3)]
    pub(crate) heartbeats: u32,
}

impl Options {
    /// What the report has.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            sockets: 10_000,
            participants: 250,
            heartbeats: 3,
        }
    }
}

/// Kibibytes of the server that a websocket may take.
const RESIDENT_KIB_MAX: f64 = 16.0;
/// After so long without a sign of life the server asks for one.
const SILENCE: Duration = Duration::from_secs(8);
/// How long the server is looked at while nothing happens.
const REST: Duration = Duration::from_secs(3);
/// How long all of them may take to answer, or a message to come.
const PATIENCE: Duration = Duration::from_mins(1);
/// Websockets that are being opened at the same time.
const OPENERS: usize = 4;
/// Messages to the thread, one at a time.
const MESSAGES: usize = 21;
/// Connections of the server beside the websockets.
const SPARE: u32 = 64;

/// What the websockets have in common.
struct Held {
    /// Heartbeats that each has answered.
    heartbeats: Vec<AtomicU32>,
    acknowledged: AtomicUsize,
    tally: Tally,
    failure: Mutex<Option<anyhow::Error>>,
    /// How often all were told to ping.
    pings: watch::Sender<u32>,
}

/// Measures.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let Options { plan, sockets, .. } = options;
    let count = usize::try_from(*sockets)?;
    raise_open_files(*sockets + SPARE)?;
    let folder = plan.fresh_folder("idle")?;
    let settings = [
        (
            "CAVANSITE_HTTP_CONNECTIONS_MAX",
            (sockets + SPARE).to_string(),
        ),
        (
            "CAVANSITE_REALTIME_SILENCE_MS",
            SILENCE.as_millis().to_string(),
        ),
    ];
    let server = plan.serve(&folder, &settings).await?;
    say(&format!("making {count} users"));
    let users = setup::users(&server.target, &server.server.ready, count).await?;
    let participants = options.participants.clamp(1, count);
    // Spread among all, so that their websockets lie far from each other.
    let step = count / participants;
    let mut thread: Vec<_> = users
        .iter()
        .step_by(step)
        .take(participants)
        .cloned()
        .collect();
    setup::thread_of(&server.target, &mut thread).await?;

    let held = Arc::new(Held {
        heartbeats: (0..count).map(|_| AtomicU32::new(0)).collect(),
        acknowledged: AtomicUsize::new(0),
        tally: Tally::new(participants),
        failure: Mutex::default(),
        pings: watch::Sender::new(0),
    });
    let before = server.server.memory()?.resident;
    let place = |number: usize| {
        (number.is_multiple_of(step) && number / step < participants).then_some(number / step)
    };
    let mut sockets = open_all(&server, users, &held, place).await?;
    let mut outcomes = at_rest(options, &server, &held, before).await?;
    outcomes.push(message(&server, &thread, &held).await?);
    held.ping_all(count).await?;
    say("all answered once more");
    held.is_well()?;
    sockets.abort_all();
    while sockets.join_next().await.is_some() {}
    server.stop().await?;
    std::fs::remove_dir_all(folder)?;
    Ok(outcomes)
}

/// Opens a websocket for each user; `place`: which of the thread's participants it is.
async fn open_all(
    server: &Running,
    users: Vec<Sender>,
    held: &Arc<Held>,
    place: impl Fn(usize) -> Option<usize>,
) -> anyhow::Result<JoinSet<()>> {
    let count = users.len();
    let users: Vec<_> = users.into_iter().enumerate().collect();
    let mut openers = JoinSet::new();
    let opened = Arc::new(AtomicUsize::new(0));
    let (ready, mut receivers) = tokio::sync::mpsc::channel(OPENERS);
    for own in users.chunks(count.div_ceil(OPENERS)) {
        let (own, target, ready) = (own.to_vec(), server.target.clone(), ready.clone());
        let opened = Arc::clone(&opened);
        openers.spawn(async move {
            let mut http = target.connect().await?;
            for (number, user) in own {
                let way = Way::Websocket;
                let socket = opening::open(way, &target, &mut http, &user, number).await?;
                if (opened.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(1000) {
                    say(&format!(
                        "{} of {count} are open",
                        opened.load(Ordering::Relaxed)
                    ));
                }
                ready.send((number, socket)).await?;
            }
            anyhow::Ok(())
        });
    }
    drop(ready);
    let mut sockets = JoinSet::new();
    while let Some((number, socket)) = receivers.recv().await {
        let (held, place) = (Arc::clone(held), place(number));
        let pings = held.pings.subscribe();
        sockets.spawn(async move {
            if let Err(error) = held.hold(socket, pings, number, place).await {
                held.fail(error.context(format!("websocket {number}")));
            }
        });
    }
    while let Some(opener) = openers.join_next().await {
        opener??;
    }
    ensure!(sockets.len() == count, "{} are open", sockets.len());
    Ok(sockets)
}

/// What they take while nothing happens, and with the server's heartbeats.
async fn at_rest(
    options: &Options,
    server: &Running,
    held: &Held,
    before: f64,
) -> anyhow::Result<Vec<Outcome>> {
    let pid = server.server.pid();
    let count = f64::from(options.sockets);
    held.ping_all(held.heartbeats.len()).await?;
    say("all answered; at rest");
    held.count_heartbeats_anew();
    let (begin, times) = (Instant::now(), server::thread_times(pid)?);
    sleep(REST).await;
    let rest = server::thread_times(pid)?.since(&times) * 1e6 / begin.elapsed().as_secs_f64();
    let answered = held.answered();
    ensure!(
        answered == 0,
        "{answered} heartbeats came while nothing was to happen"
    );

    let times = server::thread_times(pid)?;
    let begin = Instant::now();
    while held.least() < options.heartbeats {
        held.is_well()?;
        let limit = SILENCE * (options.heartbeats + 1) + PATIENCE;
        ensure!(
            begin.elapsed() < limit,
            "a websocket was not asked for a sign of life"
        );
        sleep(Duration::from_millis(100)).await;
    }
    let heartbeats = held.answered();
    let beat = server::thread_times(pid)?.since(&times) * 1e6 / f64::from(heartbeats);
    say(&format!("all answered {} heartbeats", held.least()));
    let memory = server.server.memory()?;
    let each = (memory.resident - before) / count / 1024.0;

    let name = format!("{} idle websockets over TLS", options.sockets);
    let mut each = Outcome::of(format!("{name}: resident memory of each"), "KiB", one(each))
        .at_most(RESIDENT_KIB_MAX);
    each.notes = format!(
        "the server had {:.1} MiB before and {:.1} MiB with them; all answered {} heartbeats",
        before / 1024.0 / 1024.0,
        memory.resident / 1024.0 / 1024.0,
        options.heartbeats,
    );
    let work = format!("{name}: CPU of the server at rest");
    let mut resting = Outcome::of(work, "µs/s", one(rest));
    resting.notes = format!(
        "nobody says anything; the timer of each rings once in {} s, the silence that is set here",
        SILENCE.as_secs()
    );
    Ok(vec![
        each,
        resting,
        Outcome::of(
            format!("{name}: a heartbeat, asked and answered"),
            "CPU µs",
            one(beat),
        ),
    ])
}

/// Messages to the thread, one at a time.
async fn message(server: &Running, thread: &[Sender], held: &Held) -> anyhow::Result<Outcome> {
    let sender = thread.first().context("a thread of nobody")?;
    let mut feed = Feed::of_user(&server.target, sender).await?;
    let begin = Instant::now();
    for _ in 0..MESSAGES {
        let (number, all_got) = held.tally.send(Instant::now());
        feed.send(number).await?;
        let got = timeout(PATIENCE, all_got).await;
        held.is_well()?;
        got.context("a message did not come to all")??;
        sleep(Duration::from_millis(100)).await;
    }
    held.tally.check()?;
    let mut millis = Runs::default();
    for micros in held.tally.latencies(begin, Instant::now())? {
        millis.add(f64::from(micros) / 1e3);
    }
    let of = held.heartbeats.len();
    Ok(Outcome::of(
        format!(
            "a message to {} of {of} websockets: send to last delivery",
            thread.len()
        ),
        "ms",
        millis,
    ))
}

impl Held {
    /// Keeps one to its end.
    async fn hold(
        &self,
        mut socket: Receiver,
        mut pings: watch::Receiver<u32>,
        number: usize,
        place: Option<usize>,
    ) -> anyhow::Result<()> {
        let mut note = |came| self.note(came, number, place);
        loop {
            tokio::select! {
                stepped = socket.step(&mut note) => stepped?,
                told = pings.changed() => {
                    told?;
                    socket.ask("{\"name\":\"ping\"}").await?;
                }
            }
        }
    }

    fn note(&self, came: Came, number: usize, place: Option<usize>) -> anyhow::Result<()> {
        match came {
            Came::Heartbeat => {
                self.heartbeats[number].fetch_add(1, Ordering::Relaxed);
            }
            Came::Acknowledged => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Came::Message {
                number: message,
                bytes,
            } => {
                let place = place.context("a message came to somebody else")?;
                self.tally.got(place, message, bytes)?;
            }
            Came::Other => {}
        }
        Ok(())
    }

    /// Each pings, and all are answered.
    async fn ping_all(&self, count: usize) -> anyhow::Result<()> {
        self.acknowledged.store(0, Ordering::Relaxed);
        self.pings.send_modify(|pings| *pings += 1);
        let begin = Instant::now();
        while self.acknowledged.load(Ordering::Relaxed) < count {
            self.is_well()?;
            ensure!(begin.elapsed() < PATIENCE, "a ping was not answered");
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn count_heartbeats_anew(&self) {
        let heartbeats = self.heartbeats.iter();
        heartbeats.for_each(|heartbeats| heartbeats.store(0, Ordering::Relaxed));
    }

    /// The fewest heartbeats that one has answered.
    fn least(&self) -> u32 {
        let answered = self.heartbeats.iter();
        let answered = answered.map(|heartbeats| heartbeats.load(Ordering::Relaxed));
        answered.min().unwrap_or_default()
    }

    /// The heartbeats that all have answered.
    fn answered(&self) -> u32 {
        let answered = self.heartbeats.iter();
        answered
            .map(|heartbeats| heartbeats.load(Ordering::Relaxed))
            .sum()
    }

    fn fail(&self, error: anyhow::Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    fn is_well(&self) -> anyhow::Result<()> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take().map_or(Ok(()), Err)
    }
}

fn one(value: f64) -> Runs {
    let mut runs = Runs::default();
    runs.add(value);
    runs
}

fn say(words: &str) {
    eprintln!("idle: {words}");
}

/// Has this process, and the servers that it starts, hold so many connections.
fn raise_open_files(connections: u32) -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let most = limit.current.unwrap_or(u64::MAX);
    let needed = u64::from(connections) + 100;
    ensure!(
        needed <= most,
        "{needed} open files are needed, and the system allows {most} (ulimit -Hn)"
    );
    Ok(())
}
