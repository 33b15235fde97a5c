//! `cavansite-bench growth`: a large store beside a small one, under the same requests.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use cavansite_core::model::UserId;
use clap::Args;
use hyper::StatusCode;

use crate::client;
use crate::fill::Filling;
use crate::load::{self, Lane, page_path};
use crate::outcome::Outcome;
use crate::pages::{body_size, next_of};
use crate::plan::{Plan, Running, Subject};
use crate::setup::{self, CHAT_VERSION, Sender};
use crate::statistics::Runs;

/// Options of `cargo xtask bench growth`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) plan: Plan,
    /// Messages in the long thread
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: usize,
    /// Threads
    #[arg(long, default_value_t = 100_000)]
    pub(crate) threads: usize,
    /// Identities that do nothing
    #[arg(long, default_value_t = 100_000)]
    pub(crate) users: u32,
}

/// The small store has so many threads, and one with so many messages, its first two aside.
const SMALL_THREADS: usize = 10;
const SMALL_MESSAGES: usize = 12;
const SMALL_USERS: u32 = 10;
/// Items on the pages that are compared.
const PAGE: usize = 10;
/// Bytes of a message's content.
const CONTENT_BYTES: usize = 150;
/// What the large one may take of the small one: in the length of a thread and in idle users.
const LENGTH_MAX: f64 = 1.2;
/// In the number of threads.
const THREADS_MAX: f64 = 1.3;
/// Sends to a thread that was sent to before.
const RANDOM_SENDS: &str = "send to random threads";
/// Starts of each.
const STARTS: usize = 5;

/// A filled store.
struct Store {
    folder: PathBuf,
    /// Sends to the long thread.
    long: Arc<Sender>,
    /// The same user, in all other threads.
    all: Arc<Sender>,
    /// Somebody who is in a few of them.
    few: Sender,
    /// Of pages while the long thread is walked through.
    walk: usize,
}

impl Store {
    async fn make(
        plan: &Plan,
        name: &str,
        (messages, threads, users): (usize, usize, u32),
        walk: usize,
    ) -> anyhow::Result<Self> {
        let folder = plan.fresh_folder(name)?;
        let server = plan.serve(&folder, &[]).await?;
        let mut made = setup::users(&server.target, &server.server.ready, 2).await?;
        server.stop().await?;
        let (few, all) = made.pop().zip(made.pop()).context("two users")?;
        let user = |sender: &Sender| UserId::parse(&sender.id).context("a user's id");
        let (few_id, all_id) = (user(&few)?, user(&all)?);
        let mut filling = Filling::open(&folder)?;
        filling.identities(users).await?;
        let long = filling.threads(1, std::slice::from_ref(&all_id)).await?;
        filling.messages(&long, messages, CONTENT_BYTES).await?;
        let both = [all_id.clone(), few_id];
        let mut own = filling.threads(SMALL_THREADS, &both).await?;
        let other = UserId::new(uuid::Uuid::from_u128(1), uuid::Uuid::from_u128(0));
        let rest = threads - SMALL_THREADS;
        own.extend(filling.threads(rest, &[all_id, other]).await?);
        filling.close().await;
        let sender = |threads: &[crate::fill::OwnThread]| Sender {
            threads: threads.iter().map(|(_, id)| id.to_string()).collect(),
            ..all.clone()
        };
        Ok(Self {
            long: Arc::new(sender(&long)),
            all: Arc::new(sender(&own)),
            few,
            folder,
            walk,
        })
    }

    fn list(sender: &Sender) -> Lane {
        get(
            sender,
            format!("/chat/threads?api-version={CHAT_VERSION}&maxPageSize={PAGE}"),
        )
    }

    /// A page near the beginning of the long thread, by links followed to its end.
    async fn oldest(&self, server: &Running) -> anyhow::Result<Lane> {
        let mut connection = server.target.connect().await?;
        let mut links = vec![page_path(&self.long.threads[0], self.walk)];
        while let Some(link) = links.last() {
            let request = client::get(&server.target.host(), link, &self.long.authorization)?;
            let answer = connection.expect(request, StatusCode::OK).await?;
            match next_of(server, &answer)? {
                Some(next) => links.push(next),
                None => break,
            }
        }
        let at = links.len().checked_sub(3).context("a thread too short")?;
        let (own, compared) = (
            format!("maxPageSize={}", self.walk),
            format!("maxPageSize={PAGE}"),
        );
        anyhow::ensure!(links[at].contains(&own), "a link without its page's size");
        Ok(get(&self.long, links[at].replace(&own, &compared)))
    }
}

fn get(sender: &Sender, path: String) -> Lane {
    Lane::Get {
        authorization: sender.authorization.clone(),
        paths: Arc::new(vec![path]),
    }
}

/// Small and large, in turn.
pub(crate) async fn run(options: &Options) -> anyhow::Result<Vec<Outcome>> {
    let plan = &options.plan;
    let size = (SMALL_MESSAGES, SMALL_THREADS, SMALL_USERS);
    let small = Store::make(plan, "small", size, 4).await?;
    let size = (options.messages, options.threads, options.users);
    let large = Store::make(plan, "large", size, 200).await?;
    let mut outcomes = starts(plan, &small, &large).await?;

    let small_server = plan.serve(&small.folder, &[]).await?;
    let large_server = plan.serve(&large.folder, &[]).await?;
    let oldest = [
        small.oldest(&small_server).await?,
        large.oldest(&large_server).await?,
    ];
    outcomes.push(first_list(&small, &small_server, &large, &large_server).await?);
    let lanes = |of: fn(&Store) -> Lane| [of(&small), of(&large)];
    let newest = |store: &Store| get(&store.long, page_path(&store.long.threads[0], PAGE));
    // The pages come first: those of the small store then show what they show in the large one.
    for (name, [few, many], times) in [
        ("page of 10, newest end", lanes(newest), LENGTH_MAX),
        ("page of 10, oldest end", oldest, LENGTH_MAX),
        (
            "10 of a user's 10 threads",
            lanes(|store| Store::list(&store.few)),
            THREADS_MAX,
        ),
        (
            "10 of all threads there are",
            lanes(|store| Store::list(&store.all)),
            THREADS_MAX,
        ),
        (
            "send to the long thread",
            lanes(|store| Lane::Send(Arc::clone(&store.long))),
            LENGTH_MAX,
        ),
        (
            RANDOM_SENDS,
            lanes(|store| Lane::Send(Arc::clone(&store.all))),
            THREADS_MAX,
        ),
    ] {
        if name == RANDOM_SENDS {
            // A thread that nobody has sent to since the start is read before its first send: what
            // that takes is a row of its own.
            outcomes.push(first_sends(plan, &large, &large_server).await?);
        }
        let subjects = [
            Subject::closed(&small_server, plan.lanes(&few)),
            Subject::closed(&large_server, plan.lanes(&many)),
        ];
        let figures = plan.alternate(&subjects).await?;
        outcomes.push(
            Outcome::cpu(format!("large store: {name}"), &figures[1])
                .beside("small store", &figures[0].cpu_micros)
                .at_most_times(times, 0.0),
        );
    }
    outcomes.push(memory("after all that", &small_server, &large_server)?);
    small_server.stop().await?;
    large_server.stop().await?;
    std::fs::remove_dir_all(small.folder)?;
    std::fs::remove_dir_all(large.folder)?;
    Ok(outcomes)
}

/// How long the first list of all threads takes, which reads the order.
async fn first_list(
    small: &Store,
    small_server: &Running,
    large: &Store,
    large_server: &Running,
) -> anyhow::Result<Outcome> {
    let mut millis = [Runs::default(), Runs::default()];
    for ((store, server), millis) in [(small, small_server), (large, large_server)]
        .into_iter()
        .zip(&mut millis)
    {
        let begin = Instant::now();
        body_size(server, &Store::list(&store.all)).await?;
        millis.add(begin.elapsed().as_secs_f64() * 1e3);
    }
    let [few, many] = millis;
    let name = "large store: the first list of all threads after a start";
    Ok(Outcome::of(name, "ms", many).beside("small store", &few))
}

/// What the first send to each thread after a start takes.
async fn first_sends(plan: &Plan, store: &Store, server: &Running) -> anyhow::Result<Outcome> {
    let before = server.server.usage()?;
    load::send_to_each(&server.target, &store.all, plan.connections.into()).await?;
    let seconds = server.server.usage()?.cpu_seconds - before.cpu_seconds;
    let mut micros = Runs::default();
    #[expect(clippy::cast_precision_loss, reason = "a count of threads")]
    micros.add(seconds * 1e6 / store.all.threads.len() as f64);
    Ok(Outcome::of(
        "large store: the first send to each thread after a start",
        "CPU µs",
        micros,
    ))
}

/// How long each takes to open, and its memory then.
async fn starts(plan: &Plan, small: &Store, large: &Store) -> anyhow::Result<Vec<Outcome>> {
    let mut millis = [Runs::default(), Runs::default()];
    for _ in 0..STARTS {
        for (store, millis) in [small, large].into_iter().zip(&mut millis) {
            let begin = Instant::now();
            let server = plan.serve(&store.folder, &[]).await?;
            millis.add(begin.elapsed().as_secs_f64() * 1e3);
            server.stop().await?;
        }
    }
    let [few, many] = millis;
    let opening = Outcome::of("large store: exec to ready", "ms", many)
        .beside("small store", &few)
        .at_most_times(LENGTH_MAX, 0.0);
    let small = plan.serve(&small.folder, &[]).await?;
    let large = plan.serve(&large.folder, &[]).await?;
    let memory = memory("at the start", &small, &large)?.at_most_times(LENGTH_MAX, 0.0);
    small.stop().await?;
    large.stop().await?;
    Ok(vec![opening, memory])
}

fn memory(when: &str, small: &Running, large: &Running) -> anyhow::Result<Outcome> {
    let resident = |server: &Running| -> anyhow::Result<Runs> {
        let mut runs = Runs::default();
        runs.add(server.server.memory()?.resident / (1024.0 * 1024.0));
        Ok(runs)
    };
    Ok(Outcome::of(
        format!("large store: resident memory {when}"),
        "MiB",
        resident(large)?,
    )
    .beside("small store", &resident(small)?))
}
