//! What a send costs the store: CPU, latency, group size and bytes written.
//!
//! `cargo bench -p cavansite-core --bench append -- DIRECTORY [threads=1000] [tasks=64]
//! [bytes=1024] [seconds=10] [workers=1]`, with a directory on the disk that is to be measured.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a program for the console that ends where it fails"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cavansite_core::clock::SystemClock;
use cavansite_core::limits::Limits;
use cavansite_core::model::{
    Metadata, NewMessage, NewParticipant, NewThread, Priority, SendFingerprint, TextFormat,
    ThreadId, Timestamp, UserId,
};
use cavansite_core::store::sqlite::{Durability, SqliteOptions, SqliteStore};
use cavansite_core::store::{MessagePage, MessageStore, ThreadStore};
use uuid::Uuid;

struct Load {
    directory: String,
    threads: u32,
    tasks: u32,
    bytes: usize,
    seconds: u64,
    workers: usize,
}

impl Load {
    fn from_arguments() -> Option<Self> {
        let mut directory = None;
        let mut values = HashMap::new();
        for argument in std::env::args().skip(1) {
            match argument.split_once('=') {
                Some((name, value)) => {
                    values.insert(name.to_owned(), value.parse::<u32>().ok()?);
                }
                None if argument.starts_with("--") => {}
                None => directory = Some(argument),
            }
        }
        let value = |name: &str, default| values.get(name).copied().unwrap_or(default);
        Some(Self {
            directory: directory?,
            threads: value("threads", 1000),
            tasks: value("tasks", 64),
            bytes: value("bytes", 1024) as usize,
            seconds: value("seconds", 10).into(),
            workers: value("workers", 1) as usize,
        })
    }
}

fn main() {
    let Some(load) = Load::from_arguments() else {
        println!("give a directory on the disk that is to be measured; see the file's first lines");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(load.workers)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(load));
}

fn user(task: u32) -> UserId {
    UserId::new(Uuid::from_u128(1), Uuid::from_u128(task.into()))
}

fn thread_id(number: u32) -> ThreadId {
    // Spread, as random ids are.
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    ThreadId::from_bytes(spread.to_be_bytes())
}

fn open(directory: &Path) -> Arc<SqliteStore> {
    let options = SqliteOptions {
        directory: directory.to_owned(),
        durability: Durability::Synced,
        limits: Limits::default(),
        clock: Arc::new(SystemClock),
    };
    let started = Instant::now();
    let store = SqliteStore::open(options).unwrap();
    println!("open: {:.2} ms", millis(started.elapsed()));
    Arc::new(store)
}

async fn run(load: Load) {
    let directory = tempfile::TempDir::new_in(&load.directory).unwrap();
    println!("resident at start: {} KiB", resident());
    let store = open(directory.path());
    println!("resident after open: {} KiB", resident());
    make_threads(&store, &load).await;
    let before = Usage::now(&store);
    let started = Instant::now();
    let latencies = send(&store, &load).await;
    let elapsed = started.elapsed();
    let used = Usage::now(&store).since(&before);
    report(&latencies, elapsed, &used);
    read(&store, &load).await;
    println!("resident after load: {} KiB", resident());
    let started = Instant::now();
    store.close().await;
    println!("close: {:.1} ms", millis(started.elapsed()));
    drop(store);
    open(directory.path());
}

async fn make_threads(store: &Arc<SqliteStore>, load: &Load) {
    let participants: Vec<_> = (0..load.tasks)
        .map(|task| NewParticipant {
            user: user(task),
            display_name: None,
            share_history_time: Timestamp::EPOCH,
            metadata: Metadata::new(),
        })
        .collect();
    // All are in few threads; in many, the first ones, so that the load's memory is not people.
    let people = if load.threads <= 1000 { 64 } else { 2 };
    let mut waiting = Vec::new();
    for number in 0..load.threads {
        let first = (number % load.tasks) as usize;
        let mut members: Vec<_> = participants.iter().take(people).cloned().collect();
        if first >= members.len() {
            members.push(participants[first].clone());
        }
        let new = NewThread {
            id: thread_id(number),
            topic: "load".to_owned(),
            creator: user(0),
            participants: members,
            metadata: Metadata::new(),
            retention: None,
        };
        let store = Arc::clone(store);
        waiting.push(tokio::spawn(async move {
            store.create_thread(new).await.unwrap()
        }));
        if waiting.len() == 256 {
            for task in waiting.drain(..) {
                task.await.unwrap();
            }
        }
    }
    for task in waiting {
        task.await.unwrap();
    }
}

async fn send(store: &Arc<SqliteStore>, load: &Load) -> Vec<Duration> {
    let stop = Arc::new(AtomicBool::new(false));
    let body: Arc<str> = "x".repeat(load.bytes).into();
    let tasks: Vec<_> = (0..load.tasks)
        .map(|task| {
            let (store, stop, body) = (Arc::clone(store), Arc::clone(&stop), Arc::clone(&body));
            let (threads, tasks) = (load.threads, load.tasks);
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut random = u64::from(task) * 2 + 1;
                let caller = user(task);
                while !stop.load(Relaxed) {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let pick = u32::try_from(random >> 33).unwrap() % threads;
                    // A thread that this task is in.
                    let thread = if threads <= 1000 {
                        pick
                    } else {
                        (pick / tasks * tasks + task) % threads
                    };
                    let message = NewMessage {
                        sender_display_name: String::new(),
                        format: TextFormat::Text,
                        content: body.to_string(),
                        priority: Priority::Normal,
                        metadata: Metadata::new(),
                        fingerprint: Some(SendFingerprint(u128::from(random).to_le_bytes())),
                    };
                    let started = Instant::now();
                    let sent = store.append_message(&caller, thread_id(thread), message);
                    if sent.await.is_ok() {
                        latencies.push(started.elapsed());
                    }
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(load.seconds)).await;
    stop.store(true, Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    latencies.sort_unstable();
    latencies
}

async fn read(store: &Arc<SqliteStore>, load: &Load) {
    let page = |before| MessagePage {
        start_time: Timestamp::EPOCH,
        before,
        limit: 100,
    };
    for (what, older) in [
        ("first page", false),
        ("first page again", false),
        ("older page", true),
    ] {
        let before = Usage::now(store);
        let (mut rows, mut pages) = (0, 0);
        for number in 0..load.threads.min(500) {
            let thread = thread_id(number);
            let caller = user(number % load.tasks);
            let before = older.then_some(cavansite_core::model::Version(
                i64::MAX - i64::from(number) - 1,
            ));
            let items = store.list_messages(&caller, thread, page(before)).await;
            rows += items.unwrap().len();
            pages += 1;
        }
        let used = Usage::now(store).since(&before);
        let cpu = used.cpu.as_secs_f64() * 1e6;
        println!(
            "{what}: {:.1} µs CPU, {:.1} rows each",
            cpu / f64::from(pages),
            rows as f64 / f64::from(pages)
        );
    }
}

fn report(latencies: &[Duration], elapsed: Duration, used: &Usage) {
    let sends = latencies.len() as f64;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / sends;
    let at = |percent: usize| {
        let place = latencies.len() * percent / 100;
        millis(latencies[place.min(latencies.len() - 1)])
    };
    println!(
        "{sends} sends, {:.0}/s, {:.1} µs CPU each (writer {:.1})",
        sends / elapsed.as_secs_f64(),
        micros(used.cpu),
        micros(used.writer)
    );
    println!(
        "{:.1} sends per commit, {:.0} commits/s, {:.1} kB written per send",
        sends / used.commits as f64,
        used.commits as f64 / elapsed.as_secs_f64(),
        used.written as f64 / 1e3 / sends
    );
    println!(
        "p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(50),
        at(99),
        at(100)
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What the process has used.
struct Usage {
    cpu: Duration,
    writer: Duration,
    written: u64,
    commits: u64,
}

impl Usage {
    fn now(store: &SqliteStore) -> Self {
        let (mut cpu, mut writer) = (Duration::ZERO, Duration::ZERO);
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let task = task.unwrap().path();
            let Ok(stat) = std::fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let nanos = stat.split(' ').next().unwrap().parse().unwrap();
            let time = Duration::from_nanos(nanos);
            cpu += time;
            if std::fs::read_to_string(task.join("comm")).unwrap().trim() == "cavansite-store" {
                writer += time;
            }
        }
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let written = io
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes: "))
            .unwrap();
        Self {
            cpu,
            writer,
            written: written.parse().unwrap(),
            commits: store.writes().groups,
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            writer: self.writer.saturating_sub(before.writer),
            written: self.written - before.written,
            commits: self.commits - before.commits,
        }
    }
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.unwrap().split_whitespace().next().unwrap();
    number.parse().unwrap()
}
