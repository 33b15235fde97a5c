//! Tests of what only this engine does: files and locks, settling, failures, memory, erasure. What
//! every engine promises is held by `tests/store_contract`.

mod directory;
mod failures;
mod memory;
mod settling;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::{Durability, OpenError, SqliteOptions, SqliteStore};
use crate::clock::Clock;
use crate::error::Result;
use crate::limits::Limits;
use crate::model::{
    Message, MessageChange, MessageContent, MessageId, Metadata, NewMessage, NewParticipant,
    NewThread, Priority, TextFormat, ThreadId, Timestamp, UserId,
};
use crate::store::{MessagePage, MessageStore, ThreadStore};

/// How long a test waits for what happens by itself.
const PATIENCE: Duration = Duration::from_mins(1);

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        // It moves with each look, so that versions are not all of one millisecond.
        Timestamp::from_millis(self.0.fetch_add(1, SeqCst))
    }
}

fn options(directory: &Path) -> SqliteOptions {
    SqliteOptions {
        directory: directory.to_owned(),
        durability: Durability::Synced,
        limits: Limits::default(),
        clock: Arc::new(TestClock(AtomicI64::new(1_600_000_000_000))),
    }
}

fn open(directory: &TempDir) -> Arc<SqliteStore> {
    open_with_runs(directory, super::RUN_KEYS)
}

fn open_with_runs(directory: &TempDir, run_keys: usize) -> Arc<SqliteStore> {
    let options = options(&directory.path().join("data"));
    Arc::new(SqliteStore::open_with(options, run_keys).unwrap())
}

/// The database, beside the engine.
fn database(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join("data/cavansite.db")).unwrap()
}

fn user(number: u8) -> UserId {
    UserId::new(Uuid::from_u128(1), Uuid::from_u128(number.into()))
}

fn id(number: u8) -> ThreadId {
    ThreadId::from_bytes([number; 16])
}

fn message(content: &str) -> NewMessage {
    NewMessage {
        sender_display_name: String::new(),
        format: TextFormat::Text,
        content: content.to_owned(),
        priority: Priority::Normal,
        metadata: Metadata::new(),
        fingerprint: None,
    }
}

fn edit(content: &str) -> MessageChange {
    MessageChange {
        content: Some(content.to_owned()),
        ..MessageChange::default()
    }
}

async fn thread(store: &SqliteStore, number: u8, users: &[u8]) -> ThreadId {
    let participants = users
        .iter()
        .map(|number| NewParticipant {
            user: user(*number),
            display_name: Some("display name".to_owned()),
            share_history_time: Timestamp::EPOCH,
            metadata: Metadata::new(),
        })
        .collect();
    let new = NewThread {
        id: id(number),
        topic: "topic".to_owned(),
        creator: user(users[0]),
        participants,
        metadata: Metadata::new(),
        retention: None,
    };
    store.create_thread(new).await.unwrap().id
}

async fn send(store: &SqliteStore, thread: ThreadId, content: &str) -> Result<MessageId> {
    let caller = user(1);
    store
        .append_message(&caller, thread, message(content))
        .await
}

async fn page(
    store: &SqliteStore,
    thread: ThreadId,
    before: Option<&Message>,
    limit: usize,
) -> Vec<Arc<Message>> {
    let page = MessagePage {
        start_time: Timestamp::EPOCH,
        before: before.map(|message| message.version),
        limit,
    };
    store.list_messages(&user(1), thread, page).await.unwrap()
}

/// The whole thread, newest first, with each text.
async fn texts(store: &SqliteStore, thread: ThreadId) -> Vec<String> {
    let mut all: Vec<Arc<Message>> = Vec::new();
    loop {
        let items = page(store, thread, all.last().map(|last| &**last), 17).await;
        if items.is_empty() {
            break;
        }
        all.extend(items);
    }
    all.iter()
        .filter_map(|message| match &message.content {
            MessageContent::User(sent) => Some(sent.content.clone()),
            _ => None,
        })
        .collect()
}

/// Keeps the writer busy, so that what is asked meanwhile makes one group.
struct Held {
    release: mpsc::Sender<()>,
    request: JoinHandle<Result<()>>,
}

async fn hold(store: &Arc<SqliteStore>) -> Held {
    let (release, released) = mpsc::channel::<()>();
    let (tell, held) = tokio::sync::oneshot::channel();
    let store = Arc::clone(store);
    let request = tokio::spawn(async move {
        let work = move |_: &mut super::Batch<'_>| {
            let _ = tell.send(());
            let _ = released.recv_timeout(PATIENCE);
            Ok(())
        };
        store.write(work).await
    });
    held.await.unwrap();
    Held { release, request }
}

impl Held {
    /// Lets the writer go on once that many requests wait.
    async fn release_when(self, store: &SqliteStore, waiting: usize) {
        while store.shared.queue.len() < waiting {
            tokio::task::yield_now().await;
        }
        self.release.send(()).unwrap();
        self.request.await.unwrap().unwrap();
    }
}

/// Waits until the condition holds.
async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "waited too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
