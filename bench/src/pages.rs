//! `cavansite-bench pages`: first pages, polls, older pages and lists of threads, each beside the
//! same body sent from memory over TLS; `cavansite-bench mixed`: a day of everything.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use cavansite_core::model::UserId;
use hyper::StatusCode;
use serde::Deserialize;

use crate::client;
use crate::fill::Filling;
use crate::load::{Lane, page_path};
use crate::outcome::Outcome;
use crate::plan::{Plan, Running, Subject};
use crate::setup::{self, CHAT_VERSION, Sender};
use crate::statistics::Runs;

/// Threads whose messages lie between each other's.
const THREADS: usize = 1000;
/// Messages on a page.
const PAGE: usize = 100;
/// Threads that are polled.
const POLLED: usize = 64;
/// What a first page may take of the body from memory.
const FIRST_MAX: f64 = 2.0;
/// What an older page may take of it, and µs for each row.
const OLDER_MAX: f64 = 2.5;
const OLDER_PER_ROW_MICROS: f64 = 1.0;
/// The setting that bounds what is in memory of threads.
const CACHE: &str = "CAVANSITE_LIMITS_THREAD_CACHE_BYTES_MAX";

/// A store of interleaved threads, with links into it.
struct Interleaved {
    folder: std::path::PathBuf,
    reader: Sender,
    /// Links to second pages.
    older: Arc<Vec<String>>,
    content_bytes: usize,
    database_bytes: u64,
}

impl Interleaved {
    async fn make(plan: &Plan, content_bytes: usize, per_thread: usize) -> anyhow::Result<Self> {
        let folder = plan.fresh_folder("pages")?;
        let server = plan.serve(&folder, &[]).await?;
        let mut users = setup::users(&server.target, &server.server.ready, 1).await?;
        let mut reader = users.pop().context("one user")?;
        server.stop().await?;
        let user = UserId::parse(&reader.id).context("the user's id")?;
        let mut filling = Filling::open(&folder)?;
        let threads = filling.threads(THREADS, &[user]).await?;
        filling
            .messages(&threads, per_thread, content_bytes)
            .await?;
        filling.close().await;
        reader.threads = threads.iter().map(|(_, id)| id.to_string()).collect();
        let database_bytes = file_bytes(&folder)?;

        let server = plan.serve(&folder, &[]).await?;
        let mut older = Vec::with_capacity(THREADS);
        let mut connection = server.target.connect().await?;
        for thread in &reader.threads {
            let path = page_path(thread, PAGE);
            let request = client::get(&server.target.host(), &path, &reader.authorization)?;
            let answer = connection.expect(request, StatusCode::OK).await?;
            older.push(next_of(&server, &answer)?.context("a second page")?);
        }
        drop(connection);
        server.stop().await?;
        Ok(Self {
            folder,
            reader,
            older: Arc::new(older),
            content_bytes,
            database_bytes,
        })
    }

    fn get(&self, paths: Vec<String>) -> Lane {
        get(&self.reader, Arc::new(paths))
    }

    fn first_pages(&self, threads: usize) -> Lane {
        let threads = self.reader.threads.iter().take(threads);
        self.get(threads.map(|thread| page_path(thread, PAGE)).collect())
    }

    fn older_pages(&self) -> Lane {
        get(&self.reader, Arc::clone(&self.older))
    }
}

fn get(reader: &Sender, paths: Arc<Vec<String>>) -> Lane {
    Lane::Get {
        authorization: reader.authorization.clone(),
        paths,
    }
}

/// All kinds of pages.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Vec<Outcome>> {
    let floor = plan.floor().await?;
    let mut outcomes = Vec::new();
    for (content_bytes, per_thread) in [(1024, 202), (150, 402)] {
        let store = Interleaved::make(plan, content_bytes, per_thread).await?;
        if content_bytes == 1024 {
            outcomes.extend(newest(plan, &floor, &store).await?);
            outcomes.push(lists(plan, &floor, &store).await?);
        }
        outcomes.extend(older(plan, &floor, &store).await?);
        std::fs::remove_dir_all(&store.folder)?;
    }
    Ok(outcomes)
}

async fn newest(plan: &Plan, floor: &Running, store: &Interleaved) -> anyhow::Result<Vec<Outcome>> {
    let server = plan.serve(&store.folder, &[]).await?;
    let lane = store.first_pages(POLLED);
    let name = format!("poll of a first page of {PAGE} × {} B", store.content_bytes);
    let poll = beside_body(plan, floor, &server, &name, &lane, (FIRST_MAX, 0.0)).await?;
    server.stop().await?;
    // So little is kept that each first page is read anew.
    let server = plan
        .serve(&store.folder, &[(CACHE, "100000".to_owned())])
        .await?;
    let lane = store.first_pages(THREADS);
    let name = format!(
        "first page of {PAGE} × {} B, not in memory",
        store.content_bytes
    );
    let first = beside_body(plan, floor, &server, &name, &lane, (FIRST_MAX, 0.0)).await?;
    server.stop().await?;
    Ok(vec![first, poll])
}

async fn lists(plan: &Plan, floor: &Running, store: &Interleaved) -> anyhow::Result<Outcome> {
    let server = plan.serve(&store.folder, &[]).await?;
    let path = format!("/chat/threads?api-version={CHAT_VERSION}&maxPageSize={PAGE}");
    let lane = store.get(vec![path]);
    let name = format!("{PAGE} of a user's {THREADS} threads");
    let outcome = beside_body(plan, floor, &server, &name, &lane, (0.0, 0.0)).await?;
    server.stop().await?;
    Ok(outcome)
}

async fn older(plan: &Plan, floor: &Running, store: &Interleaved) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let quarter = store.database_bytes / 4;
    for (cache, settings) in [
        ("store in cache", vec![]),
        ("store 4 × its caches", vec![(CACHE, quarter.to_string())]),
    ] {
        let server = plan.serve(&store.folder, &settings).await?;
        let lane = store.older_pages();
        let name = format!(
            "older page of {PAGE} × {} B, {THREADS} interleaved threads, {cache}",
            store.content_bytes
        );
        #[expect(clippy::cast_precision_loss, reason = "a page's size")]
        let rows = OLDER_PER_ROW_MICROS * PAGE as f64;
        let mut outcome =
            beside_body(plan, floor, &server, &name, &lane, (OLDER_MAX, rows)).await?;
        let mebibytes = store.database_bytes / (1024 * 1024);
        outcome.notes = format!("{}; database of {mebibytes} MiB", outcome.notes);
        outcomes.push(outcome);
        server.stop().await?;
    }
    Ok(outcomes)
}

/// A kind of page beside a body of its size from memory. `target`: so many times that, and so many
/// µs more; 0 for none.
pub(crate) async fn beside_body(
    plan: &Plan,
    floor: &Running,
    server: &Running,
    name: &str,
    lane: &Lane,
    target: (f64, f64),
) -> anyhow::Result<Outcome> {
    let size = body_size(server, lane).await?;
    let body = Lane::Get {
        authorization: String::from("none"),
        paths: Arc::new(vec![format!("/{size}")]),
    };
    let subjects = [
        Subject::closed(floor, plan.lanes(&body)),
        Subject::closed(server, plan.lanes(lane)),
    ];
    let figures = plan.alternate(&subjects).await?;
    let floor: &Runs = &figures[0].cpu_micros;
    let outcome =
        Outcome::cpu(name, &figures[1]).beside(format!("{size} bytes from memory over TLS"), floor);
    let (times, more) = target;
    Ok(if times > 0.0 {
        outcome.at_most_times(times, more)
    } else {
        outcome
    })
}

/// The size of the first answer of a lane.
pub(crate) async fn body_size(server: &Running, lane: &Lane) -> anyhow::Result<usize> {
    let Lane::Get {
        authorization,
        paths,
    } = lane
    else {
        anyhow::bail!("a page is asked for with GET");
    };
    let request = client::get(&server.target.host(), &paths[0], authorization)?;
    let mut connection = server.target.connect().await?;
    Ok(connection.expect(request, StatusCode::OK).await?.len())
}

/// The link to the next page, without the server's address.
pub(crate) fn next_of(server: &Running, answer: &[u8]) -> anyhow::Result<Option<String>> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        next_link: Option<String>,
    }
    let page: Page = serde_json::from_slice(answer)?;
    let base = format!("https://{}", server.target.host());
    let path = |link: String| link.strip_prefix(&base).map(str::to_owned);
    page.next_link
        .map(|link| path(link).context("a link elsewhere"))
        .transpose()
}

fn file_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder.join("data"))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Polls, sends, receipts and typing in 1,000 threads.
pub(crate) async fn mixed(plan: &Plan) -> anyhow::Result<Vec<Outcome>> {
    let folder = plan.fresh_folder("mixed")?;
    let server = plan.serve(&folder, &[]).await?;
    let users = usize::from(plan.connections);
    let senders = setup::senders(&server.target, &server.server.ready, users, THREADS).await?;
    let lanes = senders.into_iter().map(Arc::new).map(Lane::Mixed).collect();
    let figures = plan.alternate(&[Subject::closed(&server, lanes)]).await?;
    let closed = server.stop().await?;
    std::fs::remove_dir_all(folder)?;
    let mut outcome = Outcome::cpu(
        format!("mixed day, {THREADS} threads: 20 polls, 2 sends, a receipt, typing"),
        &figures[0],
    );
    let polls = figures[0].polls;
    outcome.notes = format!(
        "{}; {:.2} % of {polls} polls touched no SQLite",
        outcome.notes,
        100.0 * (1.0 - closed.reads / polls),
    );
    Ok(vec![outcome])
}
